"""Whether what is found on a belt is found again where the belt should have carried it.

A belt at quite another speed or in the other direction, a wrong scale, a picture of another size: each sight of a find
then begins a track of its own, none is ever confirmed, and defects pass. What distinguishes this from false finds is
that something alike is found in the next judged frame, elsewhere in the same lane, and always as far away.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from enum import Enum

_RECENT, _RAISED_FROM, _RAISED_ALONE = 12, 6, 10
"""Of so many sights this many were elsewhere, by ratios that agree, or this many by any. Stops, starts, and speeds that
are found out cost 3 of 12 (`tests/track/test_disturbed_belt.py`), random false finds 1 or 2."""
_REMEMBERED, _CLEARED_BELOW, _CLEARED_BY = 48, 3, 24
"""Of so many sights fewer than this many are elsewhere and at least this many where they were due: some are by chance,
at any speed."""
_AGREE, _AGREE_NEAR_0 = 0.2, 0.05


class Sight(Enum):
    """Where a find was in the next judged frame."""

    DUE = 0
    ELSEWHERE = 1
    GONE = 2


class Following:
    """The sights of the last finds on one camera's belt, over all sessions: a wrong speed survives a reconnect."""

    def __init__(self) -> None:
        self._sights: deque[Sight] = deque(maxlen=_REMEMBERED)
        self._ratios: deque[float] = deque(maxlen=_RAISED_FROM)
        self._active = False

    def note(self, due: int, gone: int, elsewhere: Sequence[float | None]) -> None:
        """The sights of one judged frame: how many tracks were seen where they were due, how many finds of the frame
        before were seen nowhere though due in view, and of those that may have gone elsewhere how far they went over
        the way due, None where several are alike."""
        self._sights.extend([Sight.DUE] * due + [Sight.GONE] * gone + [Sight.ELSEWHERE] * len(elsewhere))
        self._ratios.extend(ratio for ratio in elsewhere if ratio is not None)
        if self._active:
            elsewhere_still, due_again = map(self._sights.count, (Sight.ELSEWHERE, Sight.DUE))
            self._active = elsewhere_still >= _CLEARED_BELOW or due_again < _CLEARED_BY
        else:
            lost = self._recent.count(Sight.ELSEWHERE)
            self._active = lost >= _RAISED_ALONE or (lost >= _RAISED_FROM and self._ratio is not None)

    @property
    def detail(self) -> str:
        """What is wrong, in words; "" while finds are followed."""
        if not self._active:
            return ""
        ratio = self._ratio
        instead = "" if ratio is None else f", but {abs(ratio):.1f} times as far"
        if ratio is not None and ratio < 0:
            instead += " in the opposite direction"
        lost, of = self._recent.count(Sight.ELSEWHERE), len(self._recent)
        return (
            f"{lost} of the last {of} finds were not seen again where the belt should have carried them{instead}: "
            "check belt.speed_mm_s, belt.direction, belt.mm_per_px and the size of the picture"
        )

    @property
    def _recent(self) -> list[Sight]:
        return list(self._sights)[-_RECENT:]

    @property
    def _ratio(self) -> float | None:
        """How far finds went over the way due; None where the last ones do not agree."""
        if len(self._ratios) < _RAISED_FROM:
            return None
        middle = statistics.median(self._ratios)
        near = sum(abs(ratio - middle) <= max(_AGREE * abs(middle), _AGREE_NEAR_0) for ratio in self._ratios)
        return middle if near * 3 >= len(self._ratios) * 2 else None
