"""Slip: two sources that should measure the same belt, and do not.

The wheel of an encoder slides, its coupling is loose, its `mm_per_count` is wrong; or the picture has a wrong scale.
Which of them is right is not known here. Positions of two sources cannot be compared, ways can: both ways over the last
stretch of belt, as soon as either of them is that long.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from stream_inspect.belt.position import Position, Trace

_COMPARED_NS = 30 * 10**9
"""A stretch that takes longer is not compared: what a picture imagines of a belt that stands adds up."""
_DUE = 1000
"""Readings of the second source that wait for one of the first: while that is silent, the oldest are given up."""


@dataclass(frozen=True, slots=True)
class SlipLimits:
    """From which difference on two ways are not of the same belt."""

    over_mm: float = 200.0
    """Length of the stretch."""
    share: float = 0.05
    """Of the longer way."""
    at_least_mm: float = 10.0


class SlipCheck:
    """The ways of two sources over the last stretch of belt; `detail` says by how much they disagree.

    They are compared at the times of the second one's readings, once the first one is known there: so the result does
    not depend on which of them is delivered first.
    """

    def __init__(self, names: tuple[str, str], traces: tuple[Trace, Trace], limits: SlipLimits) -> None:
        self._names = names
        self._first, self._second = traces
        self._limits = limits
        self._due: deque[int] = deque(maxlen=_DUE)
        self._seen: deque[tuple[int, Position, Position]] = deque()
        self.detail = ""
        """What disagrees, in words and numbers; "" while they agree. Not judged again while the belt stands."""

    def second_read(self, mono_ns: int) -> None:
        """The second source has a reading of this time."""
        self._due.append(mono_ns)
        self.first_read()

    def first_read(self) -> None:
        """The first source has another reading."""
        newest_ns = self._first.newest_ns
        while self._due and newest_ns is not None and self._due[0] <= newest_ns:
            self._compare(self._due.popleft())

    def _compare(self, mono_ns: int) -> None:
        first, second = self._first.at(mono_ns), self._second.at(mono_ns)
        if first is None or second is None:
            return
        self._seen.append((mono_ns, first, second))
        while len(self._seen) > 1 and (self._long_enough(1) or mono_ns - self._seen[0][0] > _COMPARED_NS):
            self._seen.popleft()
        if self._long_enough(0):
            self._judge()

    def _long_enough(self, since: int) -> bool:
        _, first, second = self._seen[since]
        _, first_now, second_now = self._seen[-1]
        return max(abs(first_now.mm - first.mm), abs(second_now.mm - second.mm)) >= self._limits.over_mm

    def _judge(self) -> None:
        since_ns, first_then, second_then = self._seen[0]
        until_ns, first_now, second_now = self._seen[-1]
        first, second = first_now.way_since(first_then), second_now.way_since(second_then)
        allowed_mm = max(self._limits.share * max(abs(first.mm), abs(second.mm)), self._limits.at_least_mm)
        if self.detail:
            allowed_mm /= 2  # raised, it is cleared when they agree well
        if abs(first.mm - second.mm) <= allowed_mm + first.sigma_mm + second.sigma_mm:
            self.detail = ""
            return
        self.detail = (
            f"{self._names[0]} says {first.mm:.0f} mm, {self._names[1]} {second.mm:.0f} mm "
            f"over the last {(until_ns - since_ns) / 1e9:.1f} s"
        )
