"""The way from picture to picture, added up to positions of the belt."""

from __future__ import annotations

import math

from stream_inspect.belt.position import BeltLimits, Position, Reckoning


class Ways:
    """Positions from a visual odometer, which says for each frame how far the belt moved since the frame before.

    A frame that is not sure of it (an empty belt without texture, a hand in the picture, a frame that was not
    delivered) is bridged by the last speed, and what the belt can have done otherwise is added to the drift. After
    `bridged_mm`, or `silent_after_s`, there are no positions until a frame is sure again; the drift then says that the
    way between is lost.
    """

    def __init__(self, limits: BeltLimits, *, sure_from: float = 0.5, bridged_mm: float = 100.0) -> None:
        self._limits = limits
        self._sure_from = sure_from
        self._bridged_mm = bridged_mm
        self._reckoning = Reckoning(limits)
        self._sure: tuple[int, Position] | None = None
        """The last frame that was sure."""
        self._last_ns = 0

    def moved(
        self, since_ns: int, mono_ns: int, moved_mm: float, sigma_mm: float, confidence: float
    ) -> Position | None:
        """The belt's position at a frame, counted from the first one, where it is 0; None where it is not known.

        `moved_mm`, good to `sigma_mm`, is the way since the frame of `since_ns`; `confidence` is 0..1. A frame that is
        not later than the last one gives None and changes nothing.
        """
        if self._sure is None:
            return self._now_sure(mono_ns, Position(0.0))
        if mono_ns <= self._last_ns:
            return None
        self._last_ns = mono_ns
        sure_ns, _ = self._sure
        if confidence >= self._sure_from and sure_ns <= since_ns < mono_ns:
            most_mm = self._limits.max_speed_mm_s * (mono_ns - since_ns) / 1e9 + sigma_mm
            if abs(moved_mm) <= most_mm < math.inf and sigma_mm >= 0:
                return self._now_sure(mono_ns, self._bridged(since_ns).shifted(moved_mm, sigma_mm))
        return self._bridged(mono_ns) if (mono_ns - sure_ns) / 1e9 <= self._bridged_s else None

    def _now_sure(self, mono_ns: int, position: Position) -> Position:
        self._sure = mono_ns, position
        self._last_ns = mono_ns
        self._reckoning.read(mono_ns, position)
        return position

    @property
    def _bridged_s(self) -> float:
        """For how long the last speed is followed."""
        speed = abs(self._reckoning.speed.mm)
        limit_s = self._limits.silent_after_s
        return min(limit_s, self._bridged_mm / speed) if speed else limit_s

    def _bridged(self, mono_ns: int) -> Position:
        """The position at a frame since the last sure one; what is not known of it stays, and so is drift."""
        ahead = self._reckoning.ahead(mono_ns, self._bridged_s)
        return Position(ahead.mm, 0.0, ahead.drift_mm + ahead.noise_mm)
