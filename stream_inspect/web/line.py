"""How the line stands, for the page: the supervisor's last status, and for how long it has been overdue."""

from __future__ import annotations

import time
from typing import Any

from stream_inspect.messages import CONDITION_REPEAT_S, LineStatus

SILENT_AFTER_S = 3 * CONDITION_REPEAT_S
"""By now two repeats are missing: what was reported last is not known to hold any more."""


class Line:
    """The one source of the page's state, its banners and its lamps. `put` may be called from any thread."""

    def __init__(self) -> None:
        self._last: tuple[LineStatus | None, float] = (None, time.monotonic())
        """The status and when it arrived, or when waiting for the first one began."""

    def put(self, status: LineStatus) -> None:
        """The supervisor reports."""
        self._last = (status, time.monotonic())

    def known(self) -> dict[str, Any]:
        """{"state", "silent_s", "conditions", "ended", "judging_in_s"}: the status.

        The state is "unknown" when it is too old, or before the first one.

        The conditions that were reported last stay listed. `silent_s` is set where a status is overdue.
        """
        status, arrived_s = self._last
        silent_s = time.monotonic() - arrived_s
        is_silent = silent_s > SILENT_AFTER_S
        return {
            "state": "unknown" if status is None or is_silent else status.state,
            "silent_s": round(silent_s) if is_silent else None,
            "ended": list(status.ended) if status else [],
            "judging_in_s": status.judging_in_s if status and not is_silent else None,
            "conditions": [
                {
                    "kind": str(one.kind),
                    "camera": one.camera,
                    "source": one.source,
                    "detail": one.detail,
                    "since_ms": one.since_utc_ns // 1_000_000,
                }
                for one in (status.conditions if status else ())
            ],
        }
