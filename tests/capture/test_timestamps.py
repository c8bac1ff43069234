from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.capture.timestamps import MissingPts, PtsRepair, RepeatedPts, RestartedClock

RTP = Fraction(1, 90_000)


@given(st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), max_size=100), st.booleans())
def test_whatever_comes_pts_grow(pts: list[int | None], live: bool) -> None:
    mender = PtsRepair(RTP, 25.0, live=live)
    mended = [mender.repair(one) for one in pts]
    assert all(later > earlier for earlier, later in pairwise(mended))


@given(st.lists(st.integers(1, 90_000 * 9), max_size=100), st.integers(-(2**40), 2**40), st.booleans())
def test_sound_pts_are_left_alone(steps: list[int], first: int, live: bool) -> None:
    pts = [first]
    for step in steps:
        pts.append(pts[-1] + step)
    mender = PtsRepair(RTP, None, live=live)
    assert [mender.repair(one) for one in pts] == pts


def test_a_missing_pts_is_one_interval_after_the_last_and_the_first_is_zero() -> None:
    missing = MissingPts(3600)
    assert [missing.repair(one) for one in (None, 3600, None, None, 14_400)] == [0, 3600, 7200, 10_800, 14_400]


def test_a_clock_that_begins_anew_goes_on() -> None:
    clock = RestartedClock(3600, back_limit=90_000, ahead_limit=900_000)
    assert [clock.repair(one) for one in (500_000, 503_600, 7, 3607)] == [500_000, 503_600, 507_200, 510_800]


def test_a_live_clock_that_leaps_ahead_goes_on_and_a_recorded_gap_stays() -> None:
    hour = 3600 * 90_000
    live = RestartedClock(3600, back_limit=90_000, ahead_limit=900_000)
    recorded = RestartedClock(3600, back_limit=90_000, ahead_limit=None)
    assert [live.repair(one) for one in (0, hour)] == [0, 3600]
    assert [recorded.repair(one) for one in (0, hour)] == [0, hour]


def test_two_frames_with_one_pts_are_told_apart() -> None:
    repeated = RepeatedPts()
    assert [repeated.repair(one) for one in (0, 0, 0, 3600, 3500)] == [0, 1, 2, 3600, 3601]
