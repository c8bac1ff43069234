from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.capture.sampler import BeltSampler, Sampler, make_sampler
from tests.track.plant_line import config

RATES = st.floats(0.5, 60)


def due_times(rate_hz: float, times_s: list[float]) -> list[float]:
    sampler = Sampler(rate_hz)
    return [time_s for time_s in times_s if sampler.due(time_s)]


@given(rate_hz=RATES, fps=st.floats(1, 240), start_s=st.floats(-5, 1e5), seconds=st.floats(0, 20))
def test_a_steady_camera_gives_the_rate_or_all_it_has(
    rate_hz: float, fps: float, start_s: float, seconds: float
) -> None:
    count = 1 + math.floor(seconds * fps)
    times_s = [start_s + index / fps for index in range(count)]
    expected = min(rate_hz, fps) * (count - 1) / fps
    assert abs(len(due_times(rate_hz, times_s)) - 1 - expected) <= 1.01


@given(fps=st.floats(1, 60), factor=st.floats(1.0, 5.0), count=st.integers(1, 300))
def test_a_rate_at_or_above_the_frame_rate_takes_every_frame(fps: float, factor: float, count: int) -> None:
    times_s = [index / fps for index in range(count)]
    assert len(due_times(fps * factor * 1.000001, times_s)) == count


@given(rate_hz=RATES, gaps_s=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=300))
def test_variable_frame_rate_never_exceeds_the_rate(rate_hz: float, gaps_s: list[float]) -> None:
    times_s = [0.0]
    for gap_s in gaps_s:
        times_s.append(times_s[-1] + gap_s)
    found = due_times(rate_hz, times_s)
    # Half a frame early, half a frame late, and the first one: what rounding to frames can add over any span.
    assert len(found) <= times_s[-1] * rate_hz + max(gaps_s) * rate_hz + 2
    # No wait for the next due frame is longer than a period and the frames around its ends.
    for earlier_s, later_s in zip(found, [*found[1:], times_s[-1]], strict=True):
        assert later_s - earlier_s <= 1 / rate_hz + 2 * max(gaps_s) + 1e-6


@given(rate_hz=RATES, jump_s=st.one_of(st.floats(-1e6, -0.001), st.floats(21, 1e6)))
def test_a_jump_of_the_clock_is_a_new_beginning(rate_hz: float, jump_s: float) -> None:
    before_s = [index / 25 for index in range(50)]
    after_s = [before_s[-1] + jump_s + index / 25 for index in range(50)]
    sampler = Sampler(rate_hz)
    for time_s in before_s:
        sampler.due(time_s)
    assert [sampler.due(time_s) for time_s in after_s] == [
        Sampler.due(fresh, t) for fresh in [Sampler(rate_hz)] for t in after_s
    ]


def test_it_does_not_drift_in_a_day() -> None:
    seconds, fps = 24 * 3600, 2
    times_s = [index / fps for index in range(seconds * fps)]
    assert abs(len(due_times(0.7, times_s)) - 0.7 * seconds) <= 1


def test_jitter_around_the_periods_beginning_loses_no_frame() -> None:
    jitter_s = [0.0, 0.003, -0.003, 0.002, -0.002] * 40
    times_s = [index / 8 + jitter_s[index] for index in range(200)]
    assert len(due_times(8.0, times_s)) == 200


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        Sampler(0)


# --- on a belt whose parts need views ---


def picked(speeds_mm_s: list[float | None], fps: float = 25.0, every_mm: float = 100.0) -> list[int]:
    """The frames that are due, by the belt's speed from each frame to the next; None: its way is not known there."""
    sampler, way_mm, found = BeltSampler(Sampler(4.0), 300.0, every_mm), 0.0, []
    for frame, speed in enumerate(speeds_mm_s):
        way_mm += (speed or 0.0) / fps
        if sampler.due(frame / fps, None if speed is None else way_mm):
            found.append(frame)
    return found


def test_a_slow_belt_is_judged_at_the_configured_rate() -> None:
    assert picked([300.0] * 100) == due_frames(4.0, 100)


def due_frames(rate_hz: float, count: int) -> list[int]:
    return [round(25 * time_s) for time_s in due_times(rate_hz, [frame / 25 for frame in range(count)])]


@given(speed=st.floats(400, 2400), every_mm=st.floats(100, 400))
def test_however_fast_the_belt_is_no_two_due_frames_are_farther_apart_than_parts_need(
    speed: float, every_mm: float
) -> None:
    found = picked([speed] * 100, every_mm=every_mm)
    assert max(after - before for before, after in pairwise(found)) * speed / 25 <= every_mm + 1e-6


def test_a_belt_that_is_faster_than_the_camera_has_every_frame_judged() -> None:
    assert picked([5000.0] * 50) == list(range(50))


def test_a_belt_that_stands_is_judged_twice_a_second_and_at_once_when_it_runs() -> None:
    assert {after - before for before, after in pairwise(picked([0.0] * 100))} == {12, 13}
    assert picked([0.0] * 53 + [1000.0] * 8)[-4:] == [54, 56, 58, 60]


def test_where_the_way_is_not_known_the_belt_is_supposed_to_run_as_configured() -> None:
    assert picked([None] * 100, every_mm=61.0) == list(range(0, 100, 5))


def test_the_distance_follows_from_the_views_and_the_length_of_a_part() -> None:
    the_config = config(views=4)
    camera, line = the_config.cameras[0], the_config.lines[0]
    sampler = make_sampler(camera, line, (1280, 720))
    due = [frame for frame in range(200) if sampler.due(frame / 100, 20.0 * frame)]
    assert {after - before for before, after in pairwise(due)} == {11}, "(1280 - 120) mm / 5 is 232, 11 frames of 20"
