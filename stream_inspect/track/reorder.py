"""Puts the results of several inspect workers back into the order of their frames.

Two workers judge frames of one camera at the same time and may finish in the wrong order. Due frames are numbered
without a gap, and one that will not be judged is reported as `Missed`. So a gap in the numbers is a frame on its way,
and only that one is waited for: by the ledger, for as long as a worker may well be judging it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable

from stream_inspect.messages import Inspection, Missed

LIMIT_S = 1.0
"""Longest wait for a frame that is in flight no longer: its result or its `Missed` is under way, or is lost."""
STUCK_S, STUCK_TIMES = 3.0, 3
"""Longest wait for a frame that is in flight: this long, or this many times as long as the slowest recent result took.
Its worker is stuck then, and that is reported (`service/judging.py` has the same rule)."""
MOST_WAITING = 4096
"""Missed frames behind a gap hold up no alert and wait without a limit in time; behind this many, whatever was killed
had the frame of the gap."""
_RESULTS_REMEMBERED = 64

InFlight = Callable[[int, int], bool]
"""Whether any frame between these two indices of the ledger is in flight, themselves excluded."""


class Reorder:
    """The waiting room of one camera. Without a ledger, no frame is known to be in flight."""

    def __init__(self, in_flight: InFlight = lambda after, before: False) -> None:
        self._in_flight = in_flight
        self._next = 0
        self._last_index = -1
        """In the ledger, of the last frame that was passed on."""
        self._waiting: dict[int, tuple[int, Inspection | Missed]] = {}
        self._numbers: list[int] = []
        """Those of `waiting`, as a heap."""
        self._seen_in_flight_ns = 0
        """When a frame of the gap was seen in flight last: its end may be in the mailbox."""
        self._took_ns: deque[int] = deque(maxlen=_RESULTS_REMEMBERED)
        """From a frame's capture to its result, of the last ones."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, number: int, message: Inspection | Missed, now_ns: int) -> bool:
        """Add the end of due frame `number`. False: it is too late, a later frame has already been passed on."""
        if isinstance(message, Inspection):
            self._took_ns.append(message.judged_mono_ns - message.frame.capture_mono_ns)
        if number < self._next:
            return False
        if number not in self._waiting:
            heapq.heappush(self._numbers, number)
        elif isinstance(message, Missed):
            return True  # its worker was killed between sending the result and noting it
        self._waiting[number] = now_ns, message
        return True

    def take(self, now_ns: int, *, everything: bool = False) -> list[Inspection | Missed]:
        """What has no gap before it, and what has waited long enough with all before it, in order."""
        ready: list[Inspection | Missed] = []
        while self._numbers:
            number = self._numbers[0]
            if number != self._next and not everything and not self._gives_up(number, now_ns):
                break
            heapq.heappop(self._numbers)
            message = self._waiting.pop(number)[1]
            ready.append(message)
            self._next = number + 1
            self._last_index = max(self._last_index, message.frame.ledger_index)
        return ready

    def waits_since_ns(self) -> int | None:
        """Since when the oldest of the results here has waited; None where there is none."""
        return min(
            (at_ns for at_ns, message in self._waiting.values() if isinstance(message, Inspection)), default=None
        )

    def _gives_up(self, number: int, now_ns: int) -> bool:
        """Whether the gap before the first of those that wait is waited for no longer."""
        if len(self._waiting) > MOST_WAITING:
            return True
        since_ns = self.waits_since_ns()
        if since_ns is None:
            return False
        stuck_ns = max(STUCK_S * 1e9, STUCK_TIMES * max(self._took_ns, default=0))
        if now_ns - since_ns >= stuck_ns:
            return True
        index = self._waiting[number][1].frame.ledger_index
        if index >= 0 and self._in_flight(self._last_index, index):
            self._seen_in_flight_ns = now_ns
            return False
        return now_ns - max(since_ns, self._seen_in_flight_ns) >= LIMIT_S * 1e9
