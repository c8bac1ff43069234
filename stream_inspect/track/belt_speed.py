"""Whether judged frames show how fast a belt runs, or several speeds explain them equally well.

Parts at a regular pitch that move by about a pitch, or by some, from one judged frame to the next look alike at many
speeds: the belt may have stood, or carried each part to where its neighbour was. What is known of the speed then
decides which is likelier, and by how much. Where that is not enough the tracks still follow the likeliest speed, but
nothing is learned from them, and it is reported. A burst of frames, so near in time that a part moves by less than half
a pitch, shows the speed.
"""

from __future__ import annotations

import math
import statistics
from collections import deque

import numpy as np

from stream_inspect.track.belt_boxes import Floats

_SIGMA, _SIGMA_SEEN = 0.1, 0.03
"""Standard deviation of the logarithm of true over configured speed, and over a speed that was seen: 20 % is rare."""
_LIKELY = 2.5
"""In standard deviations."""
_AS_LIKELY = 3.2
"""Twice the logarithm of the odds, below which two speeds are about as likely: one to five."""
_ALIKE = 0.25
"""Two ways whose shares of explained tracks differ by less explain them equally: one part in ten is missed."""
_SEEN_FROM = 3
"""A speed is seen when so many frames in a row show it."""
_REPORTED_FROM = 3
"""So many frames in a row that do not show it are reported,"""
_KNOWN_FOR_S = 5.0
"""when it was last seen longer ago than this."""


class BeltSpeed:
    """What is known of one belt's speed; `ratio` is of the odometer's."""

    def __init__(self) -> None:
        self.ratio = 1.0
        self._sigma = _SIGMA
        self._ratios: deque[float] = deque(maxlen=_SEEN_FROM)
        """Of the last frames in a row that showed one speed only."""
        self._hidden = 0
        """Frames in a row that did not."""
        self._other = 1.0
        """Over the supposed way of the last of them, one that explains it as well."""
        self._seen_s = -math.inf
        self._witnessed_s = 0.0
        self._reported = False

    @property
    def seen(self) -> bool:
        """Whether the speed is known by what the pictures showed."""
        return self._sigma == _SIGMA_SEEN

    @property
    def detail(self) -> str:
        """Why the speed is not observable, in words; "" while it is, or is not needed."""
        if not self._reported:
            return ""
        other = "a belt that stands" if not self._other else f"{self._other:.2f} times the speed"
        return (
            f"{other} would show the same: parts move by about a pitch, or several, between two judged frames; "
            "a burst of frames, or a higher sampling.rate_hz, shows which"
        )

    def likeliest(self, ways_mm: Floats, marks: Floats, due_mm: float, reach_mm: float) -> tuple[float, float | None]:
        """(the likeliest of the ways, another that is about as likely): None where there is only one.

        `marks` says how well each explains the tracks.
        """
        good = marks > marks.max() - _ALIKE
        ways_mm, marks = ways_mm[good], marks[good]
        unlikely = (np.log(ways_mm / due_mm / self.ratio) / self._sigma) ** 2
        first = int(unlikely.argmin())
        near = np.abs(ways_mm - ways_mm[first]) <= reach_mm
        best = float(ways_mm[near][marks[near].argmax()])
        rivals = ~near & (unlikely < unlikely[first] + _AS_LIKELY)
        return best, float(ways_mm[rivals][unlikely[rivals].argmin()]) if rivals.any() else None

    def is_likely(self, ratio: float) -> bool:
        """Whether the belt may well run at this ratio, by what is known of its speed."""
        return abs(math.log(ratio / self.ratio)) <= _LIKELY * self._sigma

    @staticmethod
    def as_good(mark: float, other_mark: float) -> bool:
        """Whether another way explains the tracks as well."""
        return other_mark > max(mark - _ALIKE, 0.5)

    def show(self, ratio: float, now_s: float) -> None:
        """A frame shows one speed only."""
        self._witnessed_s = self._seen_s = now_s
        self._hidden, self._reported = 0, False
        self._ratios.append(ratio)
        if len(self._ratios) == _SEEN_FROM:
            self.ratio, self._sigma = max(statistics.median(self._ratios), 0.1), _SIGMA_SEEN

    def known(self, now_s: float) -> None:
        """It is measured, so that no frame has to show it."""
        self._witnessed_s = now_s
        self._hidden, self._reported = 0, False

    def hide(self, other: float, now_s: float) -> None:
        """A frame shows another speed as well, `other` times the one that is believed; 0: a belt that stands."""
        self._witnessed_s = now_s
        self._ratios.clear()
        self._hidden, self._other = self._hidden + 1, other
        self._reported |= self._hidden >= _REPORTED_FROM and now_s - self._seen_s > _KNOWN_FOR_S

    def doubt(self) -> None:
        """The belt does not run as it did."""
        self._sigma = _SIGMA
        self._ratios.clear()

    def pause(self, now_s: float) -> None:
        """Nothing in this frame shows a speed: when that lasts, none is needed."""
        if now_s - self._witnessed_s > _KNOWN_FOR_S:
            self._hidden, self._reported = 0, False

    def begin_session(self) -> None:
        """Time begins at zero again; the speed is the same belt's."""
        self._hidden, self._seen_s, self._witnessed_s = 0, -math.inf, 0.0
        self._ratios.clear()
