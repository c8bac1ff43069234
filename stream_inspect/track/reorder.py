"""Puts the results of several inspect workers back into the order of their frames.

Two workers judge frames of one camera at the same time and may finish in the wrong order. Due frames are numbered
without a gap, and one that will not be judged is reported as `Missed`. So a gap in the numbers is a frame on its way,
and only that one is waited for.
"""

from __future__ import annotations

import heapq

from stream_inspect.messages import Inspection, Missed

LIMIT_S = 1.0
"""Longest wait for a late frame: more would delay the alert."""
MOST_WAITING = 4096
"""Missed frames behind a gap hold up no alert and wait without a limit in time; behind this many, whatever was killed
had the frame of the gap."""


class Reorder:
    """The waiting room of one camera."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, tuple[int, Inspection | Missed]] = {}
        self._numbers: list[int] = []
        """Those of `waiting`, as a heap."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, number: int, message: Inspection | Missed, now_ns: int) -> bool:
        """Add the end of due frame `number`. False: it is too late, a later frame has already been passed on."""
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
        if not self._waiting:
            return []
        overdue = max(self._waiting) if everything else self._overdue(now_ns)
        ready: list[Inspection | Missed] = []
        while self._numbers and (self._numbers[0] == self._next or self._numbers[0] <= overdue):
            number = heapq.heappop(self._numbers)
            ready.append(self._waiting.pop(number)[1])
            self._next = number + 1
        return ready

    def _overdue(self, now_ns: int) -> int:
        """The last number that must wait no longer; -1 if there is none."""
        numbers = [
            number
            for number, (at_ns, message) in self._waiting.items()
            if isinstance(message, Inspection) and now_ns - at_ns >= LIMIT_S * 1e9
        ]
        if len(self._waiting) > MOST_WAITING:
            numbers.append(self._numbers[0])
        return max(numbers, default=-1)
