"""The belt's way by its picture: with parts and without, whatever the belt is made of, however it runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from stream_inspect.belt.clip_motion import Clip
from stream_inspect.belt.rectified import Rectifier
from stream_inspect.belt.visual_odometer import NOT_SEEN, Moved, VisualOdometer
from stream_inspect.config.models import BeltConfig
from stream_inspect.picture import Picture
from stream_inspect.sim import SyntheticLine
from tests.belt.pictures import (
    CLIP_PX,
    CLIPS,
    F32,
    FPS,
    HEIGHT_PX,
    TEXTURES,
    WIDTH_PX,
    belt,
    clip,
    clip_truth,
    grey,
    texture,
    views,
)


class Odometer:
    """The odometer, with what rectifies its pictures."""

    def __init__(self, config: BeltConfig) -> None:
        self._rectifier, self._odometer = Rectifier(config), VisualOdometer(config)
        self.reset = self._odometer.reset

    def see(self, picture: Picture, pts_s: float) -> Moved:
        return self._odometer.see(self._rectifier.see(picture), pts_s)


def look(config: BeltConfig, pictures: Iterable[Picture]) -> list[Moved]:
    """What each frame but the first shows."""
    odometer = Odometer(config)
    moved = [odometer.see(picture, number / FPS) for number, picture in enumerate(pictures)]
    assert moved[0] == NOT_SEEN
    return moved[1:]


def steps(moved: Sequence[Moved]) -> list[float]:
    """The ways in mm, all of which must have been seen."""
    return [one.mm if one.mm is not None else float("nan") for one in moved]


@pytest.mark.parametrize("kind", TEXTURES)
def test_the_way_is_measured_on_every_kind_of_belt(kind: str) -> None:
    moved = look(belt(8), views(texture(kind), range(0, 480, 8)))
    assert steps(moved) == pytest.approx([8.0] * len(moved), abs=0.6)
    assert sum(steps(moved)) == pytest.approx(472, abs=1.0), "errors do not add up"
    assert min(one.confidence for one in moved) > 0.5


@pytest.mark.parametrize(("direction", "sign"), [("left_to_right", 1), ("right_to_left", -1)])
def test_the_way_is_signed_by_the_direction_and_scaled(direction: str, sign: int) -> None:
    moved = look(belt(8, direction, mm_per_px=0.25), views(texture("rubber"), range(0, 160, 8)))
    assert steps(moved) == pytest.approx([2.0 * sign] * 19, abs=0.1)


@pytest.mark.parametrize(("direction", "sign"), [("top_to_bottom", 1), ("bottom_to_top", -1)])
def test_a_belt_may_run_up_or_down_the_picture(direction: str, sign: int) -> None:
    turned = [grey(one.luma.T, noise=0) for one in views(texture("weave"), range(0, 160, 8))]
    assert steps(look(belt(8, direction), turned)) == pytest.approx([8.0 * sign] * 19, abs=0.3)


@pytest.mark.parametrize("kind", TEXTURES)
def test_a_belt_that_stands_has_moved_by_nothing_for_certain(kind: str) -> None:
    moved = look(belt(8), views(texture(kind), [400] * 10))
    assert steps(moved) == pytest.approx([0.0] * 9, abs=0.2)
    assert min(one.confidence for one in moved) > 0.8


@pytest.mark.parametrize("kind", TEXTURES)
def test_stops_ramps_and_reversals_are_followed(kind: str) -> None:
    ways = [8] * 20 + [0] * 10 + [1, 2, 3, 5, 7, 9, 11, 13, 14] + [14] * 8 + [9, 5, 2, 0, -3, -6, -9] + [-9] * 20 + [0]
    moved = look(belt(8), views(texture(kind), np.cumsum([300, *ways])))
    assert steps(moved) == pytest.approx(ways, abs=1.0)
    assert sum(steps(moved)) == pytest.approx(sum(ways), abs=1.0)


def test_a_belt_that_comes_to_a_stop_just_beyond_a_reference_is_followed() -> None:
    """The reference is replaced after 168 px here; what follows is too little to be told from standing by itself."""
    ways = [24] * 7 + [4, 0, 0, 0]
    assert steps(look(belt(24), views(texture("rubber"), np.cumsum([300, *ways])))) == pytest.approx(ways, abs=1.0)


def test_dirt_that_stands_still_does_not_hold_the_belt() -> None:
    rng = np.random.default_rng(3)
    dirt = np.ones((HEIGHT_PX, WIDTH_PX), np.float32)
    for _ in range(30):
        centre = (int(rng.integers(WIDTH_PX)), int(rng.integers(HEIGHT_PX)))
        cv2.circle(dirt, centre, int(rng.integers(3, 12)), float(rng.uniform(0.5, 0.9)), -1)
    seen = [grey(one.luma * dirt, noise=0) for one in views(texture("rubber"), range(0, 400, 8))]
    moved = look(belt(8), seen)
    assert steps(moved) == pytest.approx([8.0] * 49, abs=1.0)


def test_what_shows_no_texture_is_not_seen() -> None:
    black = [grey(np.full((HEIGHT_PX, WIDTH_PX), 16.0), noise=0)] * 5
    assert look(belt(8), black) == [NOT_SEEN] * 4
    flat = [grey(np.full((HEIGHT_PX, WIDTH_PX), 90.0), noise=3, seed=number) for number in range(20)]
    assert max(one.confidence for one in look(belt(8), flat)) < 0.1


def test_the_next_frame_that_is_seen_brings_the_way_of_those_that_were_not() -> None:
    seen = list(views(texture("rubber"), range(0, 160, 8)))
    seen[8:11] = [grey(np.full((HEIGHT_PX, WIDTH_PX), 16.0))] * 3
    moved = look(belt(8), seen)
    assert moved[7:10] == [NOT_SEEN] * 3
    assert steps(moved)[:7] + steps(moved)[10:] == pytest.approx([8.0] * 7 + [32.0] + [8.0] * 8, abs=0.5)


def test_a_way_that_was_too_long_to_be_seen_is_unknown_and_the_next_is_known_again() -> None:
    before, after = views(texture("rubber"), range(0, 80, 8)), views(texture("rubber"), range(2000, 2080, 8))
    odometer = Odometer(belt(8))
    for number, picture in enumerate(before):
        odometer.see(picture, number / FPS)
    moved = [odometer.see(picture, 60.0 + number / FPS) for number, picture in enumerate(after)]
    assert moved[0] == NOT_SEEN
    assert steps(moved)[1:] == pytest.approx([8.0] * 9, abs=0.3)


def test_a_session_begins_without_a_way() -> None:
    first, second, third = views(texture("rubber"), (0, 8, 16))
    odometer = Odometer(belt(8))
    odometer.see(first, 0.0)
    odometer.reset()
    assert odometer.see(second, 0.04) == NOT_SEEN
    assert odometer.see(third, 0.08).mm == pytest.approx(8.0, abs=0.3)


def tiled(period_px: int) -> F32:
    """A belt that looks the same after each period, exactly."""
    return np.tile(texture("rubber", 40 * period_px)[:, :period_px], (1, 60))


def test_the_expected_speed_says_which_of_equal_shifts_it_was() -> None:
    moved = look(belt(8), views(tiled(40), range(0, 400, 8)))
    seen = [one.mm for one in moved if one.mm is not None]
    assert len(seen) > 25
    assert sum(seen) == pytest.approx(8 * 49, abs=17), "the last frames may not be seen, but none is off by a period"


def test_where_the_expected_speed_does_not_say_it_the_confidence_does() -> None:
    """20 px forwards or backwards: the picture is the same, and neither is what was expected."""
    moved = look(belt(10), views(tiled(40), [400] * 5 + [420]))
    assert moved[-1].confidence < 0.3


def test_the_same_frames_give_the_same_ways() -> None:
    seen = list(views(texture("modular"), range(0, 160, 8)))
    assert look(belt(8), seen) == look(belt(8), seen)


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize(("first", "count"), [(0, 15), (60, 80)], ids=["empty", "with parts"])
def test_the_sample_clips_are_measured_within_half_a_percent(
    sample_data: Path, name: str, first: int, count: int
) -> None:
    assert any(clip_truth(sample_data, name)[first]) == bool(first)
    moved = look(belt(CLIP_PX), clip(sample_data, name, first, count))
    assert sum(steps(moved)) == pytest.approx((count - 1) * CLIP_PX, rel=0.005)
    assert steps(moved) == pytest.approx([CLIP_PX] * (count - 1), abs=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_a_whole_sample_clip_is_measured_within_half_a_percent(sample_data: Path, name: str) -> None:
    moved = look(belt(CLIP_PX), clip(sample_data, name))
    assert sum(steps(moved)) == pytest.approx(len(moved) * CLIP_PX, rel=0.005)
    assert steps(moved) == pytest.approx([CLIP_PX] * len(moved), abs=0.5)


def test_a_sample_clip_that_stops_and_runs_back_is_followed(sample_data: Path) -> None:
    frames = list(clip(sample_data, CLIPS[0], 60, 41))
    order = [*range(41), *[40] * 10, *range(39, -1, -1)]
    moved = look(belt(CLIP_PX), (frames[number] for number in order))
    assert steps(moved) == pytest.approx(np.diff(order) * CLIP_PX, abs=0.6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_the_synthetic_line_is_followed_for_ten_seconds(seed: int) -> None:
    line = SyntheticLine(seed)
    config = BeltConfig(direction="right_to_left", speed_mm_s=line.speed_mm_s, mm_per_px=line.mm_per_px)
    moved = look(config, (Picture(line.i420(number), line.width_px, line.height_px) for number in range(250)))
    way_mm = (line.left_px(249) - line.left_px(0)) * line.mm_per_px
    assert sum(steps(moved)) == pytest.approx(way_mm, abs=1.0)
    assert min(one.confidence for one in moved) > 0.3


@pytest.mark.parametrize("direction_deg", [0, 37, 90, 200, 315])
def test_direction_and_speed_of_an_unknown_belt_are_measured(direction_deg: float) -> None:
    lying = texture("rubber", 1400)
    lying = np.vstack([lying, lying[:, ::-1], lying[::-1]])
    right, down = 6.5 * np.cos(np.deg2rad(direction_deg)), 6.5 * np.sin(np.deg2rad(direction_deg))
    seen = []
    for number in range(20):
        place = np.array([[1, 0, number * right - 380], [0, 1, number * down - 350]])
        seen.append(grey(np.asarray(cv2.warpAffine(lying, place, (WIDTH_PX, HEIGHT_PX))), seed=number))
    motion = Clip(picture.luma for picture in seen).motion()
    assert motion is not None
    assert (motion.direction_deg - direction_deg + 180) % 360 - 180 == pytest.approx(0, abs=0.5)
    assert motion.speed_px == pytest.approx(6.5, rel=0.005)
    assert motion.confidence > 0.8


@pytest.mark.parametrize("name", CLIPS)
def test_direction_and_speed_of_the_sample_clips_are_measured(sample_data: Path, name: str) -> None:
    motion = Clip(picture.luma for picture in clip(sample_data, name, 0, 100)).motion()
    assert motion is not None
    assert (motion.direction_deg + 180) % 360 - 180 == pytest.approx(0, abs=1)
    assert motion.speed_px == pytest.approx(CLIP_PX, rel=0.005)


def test_what_stands_has_no_direction() -> None:
    assert Clip(picture.luma for picture in views(texture("rubber"), [100] * 10)).motion() is None
    with pytest.raises(ValueError, match="at least 3 frames, got 2"):
        Clip(picture.luma for picture in views(texture("rubber"), [0, 8]))
