"""True runs of a belt for the tests of its odometers: speed and acceleration are bounded, with exact positions."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from stream_inspect.belt.position import BeltLimits

S, MS = 10**9, 10**6
LIMITS = BeltLimits(max_speed_mm_s=1000.0, max_acceleration_mm_s2=4000.0, silent_after_s=0.5)


@dataclass(frozen=True)
class BeltRun:
    """A belt that is at 0 mm at time 0, and then accelerates by each `(for_s, mm_s2)`, as far as its limits allow."""

    steps: tuple[tuple[float, float], ...]
    speed_mm_s: float = 0.0
    """At time 0."""

    def mm(self, mono_ns: int) -> float:
        """Where it is."""
        mm, speed, left_s = 0.0, self.speed_mm_s, mono_ns / 1e9
        for for_s, acceleration in self.steps:
            over_s = min(for_s, left_s)
            reached = max(-1000.0, min(1000.0, speed + acceleration * over_s))
            ramp_s = (reached - speed) / acceleration if acceleration else 0.0
            mm += (speed + reached) / 2 * ramp_s + reached * (over_s - ramp_s)
            speed, left_s = reached, left_s - over_s
        return mm + speed * left_s


def steady(speed_mm_s: float) -> BeltRun:
    """A belt that runs at one speed."""
    return BeltRun((), speed_mm_s)


def runs(acceleration_mm_s2: float = LIMITS.max_acceleration_mm_s2) -> st.SearchStrategy[BeltRun]:
    """Stops, ramps and reversals."""
    step = st.tuples(st.floats(0.01, 1.0), st.floats(-acceleration_mm_s2, acceleration_mm_s2))
    return st.builds(BeltRun, st.lists(step, max_size=12).map(tuple), st.floats(-1000, 1000))
