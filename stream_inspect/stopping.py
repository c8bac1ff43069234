"""How long a stop may take, from which the waits of every stage follow.

A process that is asked to stop works off its mailbox for `DRAIN_S` and then closes its stage. The supervisor kills what
has not exited by the row's `stop_share_s`, which is the sum of the two (`service/plan.py`). What a stage waits for in
`close` is computed from its own time here, so that it is done, or has given up in good order, before it is killed.
"""

from __future__ import annotations

DRAIN_S = 0.2
"""How long a stopping stage continues with what is already in its mailbox."""
CAPTURE_CLOSE_S = 0.3
INSPECT_CLOSE_S = 0.6
"""A batch that takes longer than this is cut short by the kill."""
PLANT_CLOSE_S = 0.3
"""An input that is in a request ends within a quarter of a second."""
TRACK_CLOSE_S = 0.2
OUTPUT_CLOSE_S = 0.6
"""Alerts, live picture and web; the recorder closes at the same time and has longer."""
RECORDER_CLOSE_S = 5.0
"""The recorder alone has longer, and takes what it needs: events name the clips that it has to encode and to write."""
