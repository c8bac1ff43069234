"""An encoder's count, which wraps around, as millimetres of belt that do not.

A count of `bits` bits says where the encoder is modulo 2**bits. Two counts say how far it moved as long as that was
less than half the range: 3.2 s at 10 kHz with 16 bits. After a longer gap every whole turn of the counter would fit as
well, so the position is *lost*: that is reported, nothing is guessed, and the drift says how far the belt may be off.
"""

from __future__ import annotations

from stream_inspect.belt.position import Position

_SET_AFTER = 3
"""A count that jumped is refused; so many in a row that follow each other are a counter that was set."""


class Counter:
    """Turns the counts of one encoder into positions of the belt. It reads no clock.

    `mm_per_count` is the belt's way for one count; `reverse` is for an encoder that counts down while the belt runs
    forward. `max_speed_mm_s` is the greatest believable speed; a count may be `age_s` older than its time says (the
    scan of a PLC, the way there and back).
    """

    def __init__(
        self,
        *,
        bits: int,
        mm_per_count: float,
        max_speed_mm_s: float,
        signed: bool = False,
        reverse: bool = False,
        age_s: float = 0.01,
    ) -> None:
        if bits not in (16, 32):
            raise ValueError(f"expected a counter of 16 or 32 bits, got {bits}")
        if not (mm_per_count > 0 and max_speed_mm_s > 0 and age_s >= 0):
            raise ValueError("expected mm_per_count > 0, max_speed_mm_s > 0 and age_s >= 0")
        self._bits = bits
        self._half = 1 << (bits - 1)
        self._mask = (1 << bits) - 1
        self._lowest = -self._half if signed else 0
        self._mm_per_count = mm_per_count
        self._direction = -1 if reverse else 1
        self._max_speed_mm_s = max_speed_mm_s
        self._age_s = age_s
        self._last: tuple[int, int] | None = None
        self._jumped: list[tuple[int, int]] = []
        """(mono_ns, count) of the counts that were refused since, each of which follows the one before."""
        self._counts = 0
        """Unwrapped, since the first count; an int, so that years of counting add no rounding."""
        self._drift_mm = 0.0
        self.problem = ""
        """What was wrong with the last count, in words; "" if nothing was."""
        self.lost = 0
        """How often the position was lost."""
        if self.longest_gap_s <= 0:
            raise ValueError(f"{bits} bits wrap around within {age_s} s at {max_speed_mm_s} mm/s: a count says nothing")

    @property
    def longest_gap_s(self) -> float:
        """Two counts that are farther apart in time do not say how far the belt moved."""
        return (self._half - 1) * self._mm_per_count / self._max_speed_mm_s - self._age_s

    def resume(self, mono_ns: int, count: int, position: Position) -> None:
        """Continue from a count that another counter read before, at this position."""
        self._last = mono_ns, count
        self._counts = round(self._direction * position.mm / self._mm_per_count)
        self._drift_mm = position.drift_mm

    def read(self, mono_ns: int, count: int) -> Position | None:
        """The belt's position since the first count; None for a count that is refused. `problem` says why."""
        self.problem = ""
        if not self._lowest <= count <= self._lowest + self._mask:
            self.problem = (
                f"expected a count from {self._lowest} to {self._lowest + self._mask}, got {count}: check the "
                "encoder's bits and signed"
            )
            return None
        if self._last is None:
            self._last = mono_ns, count
            return self._position(0.0)
        last_ns, last = self._last
        if mono_ns <= last_ns:
            self.problem = "count is not later than the one before"
            return None
        over_s = (mono_ns - last_ns) / 1e9
        if over_s >= self.longest_gap_s:
            return self._begin_again(
                mono_ns, count, f"no count for {over_s:.1f} s, in which it may have wrapped around"
            )
        moved = self._moved(last, count)
        if abs(moved) > self._believable(over_s):
            return self._refuse(mono_ns, count, moved, over_s)
        self._last = mono_ns, count
        self._jumped.clear()
        self._counts += moved
        return self._position(abs(moved) * self._mm_per_count / over_s)

    def _moved(self, old: int, new: int) -> int:
        """Counts from one to the other, by the shorter way round."""
        return ((new - old + self._half) & self._mask) - self._half

    def _believable(self, over_s: float) -> float:
        """Counts that the belt can have moved in this time; one more for the two parts of a count at the ends."""
        return self._max_speed_mm_s * (over_s + self._age_s) / self._mm_per_count + 1

    def _refuse(self, mono_ns: int, count: int, moved: int, over_s: float) -> Position | None:
        if self._jumped:
            jumped_ns, jumped = self._jumped[-1]
            if mono_ns <= jumped_ns or abs(self._moved(jumped, count)) > self._believable((mono_ns - jumped_ns) / 1e9):
                self._jumped.clear()
        self._jumped.append((mono_ns, count))
        mm = self._direction * moved * self._mm_per_count
        what = f"count jumped by {moved} ({mm:.0f} mm) in {over_s:.3g} s, faster than max_speed_mm_s allows"
        if len(self._jumped) >= _SET_AFTER:
            return self._begin_again(mono_ns, count, what)
        self.problem = what
        return None

    def _begin_again(self, mono_ns: int, count: int, why: str) -> Position:
        """Count from here. Where the belt is, is known only to what it can have moved since the last good count."""
        assert self._last is not None
        self._drift_mm += self._max_speed_mm_s * (mono_ns - self._last[0]) / 1e9
        self._last = mono_ns, count
        self._jumped.clear()
        self.lost += 1
        self.problem = f"position lost: {why}"
        return self._position(self._max_speed_mm_s)

    def _position(self, speed_mm_s: float) -> Position:
        return Position(
            self._direction * self._counts * self._mm_per_count,
            self._mm_per_count + speed_mm_s * self._age_s,
            self._drift_mm,
        )
