"""Which stretches of the belt were judged, and how often: every millimetre is judged K times, or it is reported."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import pairwise

from stream_inspect.messages import Interval


class Coverage:
    """How often each place of the belt was judged, as a step function of s in mm.

    Counts above `most` are not distinguished: a belt that stands is judged thousands of times at places that differ by
    a tenth of a millimetre, and each would leave a step.
    """

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"expected most >= 1, got {most}")
        self._most = most
        self._edges: list[float] = []
        self._counts: list[int] = []
        """`_counts[i]` holds from `_edges[i]` up to the next edge, without it; the last one is 0."""
        self._forgotten = -math.inf

    @classmethod
    def of(cls, most: int, steps: Iterable[tuple[float, int]]) -> Coverage:
        """The coverage that has these `steps`."""
        coverage = cls(most)
        for edge, count in steps:
            coverage._edges.append(edge)
            coverage._counts.append(count)
        return coverage

    def steps(self) -> list[tuple[float, int]]:
        """Each edge with the count that holds from there up to the next one."""
        return list(zip(self._edges, self._counts, strict=True))

    def __len__(self) -> int:
        """Steps that are held in memory."""
        return len(self._edges)

    def add(self, low: float, high: float) -> None:
        """The stretch from `low` up to `high` was judged once more. What lies before a forgotten place is left out."""
        low = max(low, self._forgotten)
        if not low < high:
            return
        start, end = self._edge(low), self._edge(high)
        for place in range(start, end):
            self._counts[place] = min(self._most, self._counts[place] + 1)
        for place in range(end, start - 1, -1):
            if self._counts[place] == (self._counts[place - 1] if place else 0):
                del self._edges[place], self._counts[place]

    def below(self, k: int, low: float, high: float) -> list[Interval]:
        """The stretches between `low` and `high` that were judged fewer than `k` times, in order.

        No two of them touch. What was forgotten counts as never judged. Raises ValueError for a `k` above `most`.
        """
        if k > self._most:
            raise ValueError(f"expected k <= {self._most}, got {k}")
        first, last = bisect_right(self._edges, low), bisect_left(self._edges, high)
        edges = [low, *self._edges[first:last], high]
        found: list[Interval] = []
        for place, (start, end) in enumerate(pairwise(edges), first - 1):
            if start >= end or (self._counts[place] if place >= 0 else 0) >= k:
                continue
            joins = bool(found) and found[-1].high == start
            found.append(Interval(found.pop().low if joins else start, end))
        return found

    def forget_before(self, s: float) -> None:
        """Give up what is known of the belt before `s`, for good: nothing is added there any more."""
        if s <= self._forgotten:
            return
        self._forgotten = s
        if self._edges and self._edges[0] < s:
            place = self._edge(s)
            del self._edges[:place], self._counts[:place]
            if self._counts and self._counts[0] == 0:
                del self._edges[0], self._counts[0]

    def _edge(self, at: float) -> int:
        """Index of the edge at this place, which is made if there is none."""
        place = bisect_left(self._edges, at)
        if place == len(self._edges) or self._edges[place] != at:
            self._edges.insert(place, at)
            self._counts.insert(place, self._counts[place - 1] if place else 0)
        return place
