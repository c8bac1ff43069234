"""Puts the results of several inspect workers back into the order of their frames, and waits no longer than needed.

Two workers judge frames of one camera at the same time and may finish in the wrong order. Waiting for a frame that may
still come costs latency on every frame, so the wait is learned: it is as long as frames have lately been late, and no
less than the floor, since workers that have kept in step for long may fall out of it at any time. With one worker there
is none. A frame later than `LIMIT_S` is given up and counted.
"""

from __future__ import annotations

import heapq
from collections import deque

from stream_inspect.messages import FrameOrder, Inspection

LIMIT_S = 1.0
"""Longest wait for a late frame: more would delay the alert."""
_MEMORY = 64
"""Arrivals that the wait is learned from."""
_MARGIN = 1.25


class Reorder:
    """The waiting room of one camera. `first_wait_s` is used until there is something to learn from."""

    def __init__(self, first_wait_s: float, floor_s: float = 0.0) -> None:
        self._first_wait_s = first_wait_s
        self._floor_s = floor_s
        self._waiting: list[tuple[FrameOrder, int, Inspection]] = []
        self._arrivals: deque[tuple[FrameOrder, int]] = deque(maxlen=_MEMORY)
        self._lateness_s: deque[float] = deque(maxlen=_MEMORY)
        self._released: FrameOrder | None = None

    @property
    def wait_s(self) -> float:
        """How long a frame waits for earlier ones now."""
        if len(self._lateness_s) < _MEMORY // 4:
            return self._first_wait_s
        return min(LIMIT_S, max(self._floor_s, _MARGIN * max(self._lateness_s)))

    def put(self, inspection: Inspection, now_ns: int) -> bool:
        """Add one. False: it is too late, a later frame has already been passed on."""
        order = inspection.frame.id.order
        overtaken = [at_ns for other, at_ns in self._arrivals if other > order]
        self._lateness_s.append((now_ns - overtaken[0]) / 1e9 if overtaken else 0.0)
        self._arrivals.append((order, now_ns))
        if self._released is not None and order <= self._released:
            return False
        heapq.heappush(self._waiting, (order, now_ns, inspection))
        return True

    def take(self, now_ns: int, *, everything: bool = False) -> list[Inspection]:
        """The inspections that are due, in order: a frame that has waited long enough takes all earlier ones along."""
        waited = [order for order, at_ns, _ in self._waiting if everything or now_ns - at_ns >= self.wait_s * 1e9]
        ready: list[Inspection] = []
        while waited and self._waiting and self._waiting[0][0] <= max(waited):
            self._released, _, inspection = heapq.heappop(self._waiting)
            ready.append(inspection)
        return ready
