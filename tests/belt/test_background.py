"""Parts by what differs from the empty belt: each found once, tight, whatever the belt and the light do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from stream_inspect.belt.background import BackgroundParts, BackgroundSettings
from stream_inspect.belt.look import BeltLook
from stream_inspect.belt.rectified import Rectifier
from stream_inspect.boxes import iou
from stream_inspect.config.models import BeltConfig
from stream_inspect.messages import Box, PartSight
from stream_inspect.picture import Picture
from stream_inspect.sim import SyntheticLine
from tests.belt.pictures import (
    CLIP_PX,
    CLIPS,
    F32,
    HEIGHT_PX,
    TEXTURES,
    WIDTH_PX,
    belt,
    clip,
    clip_truth,
    grey,
    texture,
)

STEP_PX = 8
LEARNED = 30
"""Frames of empty belt that each run begins with."""


class Run:
    """A belt under a camera, run on and looked at."""

    def __init__(self, kind: str = "rubber", settings: BackgroundSettings | None = None) -> None:
        self.lying = texture(kind)
        self.rectifier = Rectifier(belt(STEP_PX))
        self.background = BackgroundParts(settings)
        self.frames = 0
        self.way_px = 0
        for _ in range(LEARNED):
            self.look()

    def picture(self, light: float = 1.0) -> Picture:
        start = self.lying.shape[1] - WIDTH_PX - self.way_px
        return grey(self.lying[:, start : start + WIDTH_PX] * light, seed=self.frames)

    def look(self, moved_px: int = STEP_PX, light: float = 1.0) -> list[PartSight]:
        self.way_px += moved_px
        self.frames += 1
        return self.background.see(self.rectifier.see(self.picture(light)), float(moved_px))

    def lay(self, x: int, y: int, radius: int = 40, level: float = 180.0, hole: int = 0) -> Box:
        """Lay a disc on the belt, at (x, y) of the present picture. Returns its box there."""
        start = self.lying.shape[1] - WIDTH_PX - self.way_px
        under = self.lying.copy()
        cv2.circle(self.lying, (start + x, y), radius, level, -1)
        if hole:
            open_px = np.zeros(self.lying.shape, np.uint8)
            cv2.circle(open_px, (start + x, y), hole, 1, -1)
            self.lying[open_px > 0] = under[open_px > 0]
        return (x - radius, y - radius, x + radius + 1, y + radius + 1)


def check(sights: list[PartSight], boxes: list[Box], within_px: float = 6.0) -> None:
    """Each box is seen once, and nothing else."""
    seen = sorted(sight.box_xyxy_px for sight in sights)
    assert len(seen) == len(boxes), seen
    for one, truth in zip(seen, sorted(boxes), strict=True):
        assert one == pytest.approx(truth, abs=within_px)


@pytest.mark.parametrize("kind", TEXTURES)
def test_a_part_is_found_once_where_it_is(kind: str) -> None:
    run = Run(kind)
    assert not run.background.learning
    assert run.look() == []
    box = run.lay(100, 150)
    for step in range(1, 50):
        moved = (box[0] + STEP_PX * step, box[1], box[2] + STEP_PX * step, box[3])
        check(run.look(), [moved])


def test_nothing_is_seen_before_the_empty_belt_is_known() -> None:
    background, rectifier = BackgroundParts(), Rectifier(belt(STEP_PX))
    lying = texture("rubber")
    states = []
    for number in range(30):
        assert background.see(rectifier.see(grey(lying[:, 1000 - 8 * number :][:, :WIDTH_PX], seed=number)), 8.0) == []
        states.append(background.learning)
    assert states == sorted(states, reverse=True)
    assert states[8]
    assert not states[-1]


def test_a_belt_that_stands_teaches_nothing() -> None:
    background, rectifier = BackgroundParts(), Rectifier(belt(STEP_PX))
    lying = texture("rubber")
    for number in range(60):
        background.see(rectifier.see(grey(lying[:, :WIDTH_PX], seed=number)), 0.0 if number else None)
    assert background.learning


def test_a_part_that_stands_does_not_become_background() -> None:
    run = Run()
    box = run.lay(300, 150)
    for _ in range(200):
        check(run.look(moved_px=0), [box])


def test_light_that_changes_slowly_is_followed() -> None:
    run = Run()
    for number in range(100):
        assert run.look(light=1.0 - 0.002 * number) == []
    check(run.look(moved_px=0, light=0.8), [])
    box = run.lay(300, 150)
    check(run.look(moved_px=0, light=0.8), [box])


def test_a_light_that_is_switched_off_is_not_a_part() -> None:
    run = Run()
    box = run.lay(300, 150)
    assert run.look(moved_px=0, light=0.1) == []
    assert run.background.learning
    check(run.look(moved_px=0), [box])
    assert not run.background.learning


def test_the_belt_is_learned_again_in_another_light() -> None:
    run = Run()
    for _ in range(60):
        run.look(light=0.5)
    assert not run.background.learning
    box = run.lay(300, 150)
    check(run.look(moved_px=0, light=0.5), [box])


def test_a_shadow_belongs_to_no_part() -> None:
    run = Run()
    start = run.lying.shape[1] - WIDTH_PX - run.way_px
    shadow = np.zeros(run.lying.shape, np.uint8)
    cv2.circle(shadow, (start + 312, 162), 40, 1, -1)
    run.lying[shadow > 0] *= 0.55
    check(run.look(moved_px=0), [(272, 122, 353, 203)])  # by itself it is a dark part
    box = run.lay(300, 150)
    check(run.look(moved_px=0), [box])


def test_what_is_small_is_not_a_part_and_a_hole_is_of_its_part() -> None:
    run = Run(settings=BackgroundSettings(min_area_mm2=0.01 * WIDTH_PX * HEIGHT_PX))
    run.lay(100, 100, radius=20)
    ring = run.lay(300, 150, radius=60, hole=30)
    check(run.look(moved_px=0), [ring])


def test_a_part_of_which_the_rim_alone_differs_from_the_belt_is_one_while_it_comes_in() -> None:
    run = Run()
    run.lay(20, 150, radius=60, hole=50)
    run.lay(20, 150, radius=20)
    check(run.look(moved_px=0), [(0, 90, 81, 211)])


def test_parts_that_touch_are_two_where_their_lanes_are_known() -> None:
    lanes = BackgroundSettings(lanes_mm=((0.0, 180.0), (180.0, 360.0)))
    for settings, count in ((None, 1), (lanes, 2)):
        run = Run(settings=settings)
        boxes = [run.lay(300, 140), run.lay(310, 220)]
        sights = run.look(moved_px=0)
        assert len(sights) == count
        if count == 2:
            check(sights, boxes)


def test_a_part_that_reaches_a_little_into_the_next_lane_is_one() -> None:
    run = Run(settings=BackgroundSettings(lanes_mm=((0.0, 180.0), (180.0, 360.0))))
    box = run.lay(300, 150)
    check(run.look(moved_px=0), [box])


def test_quality_tells_blur_and_glare_whatever_the_size() -> None:
    rng = np.random.default_rng(5)
    pattern = cv2.GaussianBlur(rng.normal(180, 60, (HEIGHT_PX, WIDTH_PX)).astype(np.float32), (0, 0), 1)

    def sight(radius: int, blur: float = 0.0, level: float = 0.0) -> PartSight:
        run = Run()
        start = run.lying.shape[1] - WIDTH_PX - run.way_px
        face: F32 = np.asarray(cv2.GaussianBlur(pattern, (0, 0), blur) if blur else pattern, np.float32) + level
        disc = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
        cv2.circle(disc, (300, 160), radius, 1, -1)
        run.lying[:, start : start + WIDTH_PX][disc > 0] = face[disc > 0]
        (seen,) = run.look(moved_px=0)
        return seen

    sharp = sight(60)
    assert sight(100).sharpness == pytest.approx(sharp.sharpness, rel=0.1)
    assert sight(60, blur=2).sharpness < sharp.sharpness / 4
    assert sharp.clipped_share < 0.1
    assert sight(60, level=80).clipped_share > 0.8


CRUMBS = "P018"
"""Its true box holds crumbs that lie 30 px off, each smaller than any part."""
TWO_LANES = BackgroundSettings(lanes_mm=((100.0, 358.0), (358.0, 620.0)))


def clip_check(sample_data: Path, name: str, frames: int | None) -> None:
    """Every whole part of every frame is found once, none is invented, and boxes are within 6 px.

    One in 500 may be off by 12: at the picture's edge, where the codec smears a part that has just entered.
    """
    look = BeltLook(belt(CLIP_PX), TWO_LANES if "cookies" in name else None)
    off_px: list[float] = []
    truth = clip_truth(sample_data, name)
    found: set[str] = set()
    for number, picture in enumerate(clip(sample_data, name, 0, frames)):
        seen = look.see(picture, number / 25)
        assert not seen.learning or not truth[number], "it is known before the first part enters"
        free = [sight.box_xyxy_px for sight in seen.parts]
        for part in truth[number] if not seen.learning else []:
            own = [box for box in free if iou(box, part.box_xyxy_px) > 0.5]
            free = [box for box in free if box not in own]
            if part.whole:
                assert len(own) == 1, (number, part)
                found.add(part.part_id)
                if part.part_id != CRUMBS:
                    off_px.append(max(abs(a - b) for a, b in zip(own[0], part.box_xyxy_px, strict=True)))
        entering = [box for box in free if box[0] <= 2 or box[2] >= picture.width_px - 2]
        assert free == entering, (number, free)
    assert max(off_px) <= 12
    assert sum(off > 6 for off in off_px) <= len(off_px) / 500
    assert found == {part.part_id for parts in truth[: frames or len(truth)] for part in parts if part.whole}


@pytest.mark.parametrize("name", CLIPS)
def test_the_parts_of_a_sample_clip_are_found(sample_data: Path, name: str) -> None:
    clip_check(sample_data, name, 90)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_all_parts_of_a_sample_clip_are_found(sample_data: Path, name: str) -> None:
    clip_check(sample_data, name, None)


def line_frames(
    line: SyntheticLine, count: int
) -> Iterator[tuple[Picture, list[tuple[tuple[int, int, int, int], float]]]]:
    for number in range(count):
        parts = [(part.box_xyxy_px, part.visible_fraction) for part in line.truth(number).parts]
        yield Picture(line.i420(number), line.width_px, line.height_px), parts


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_the_parts_of_the_synthetic_line_are_found(seed: int) -> None:
    line = SyntheticLine(seed)
    look = BeltLook(BeltConfig(direction="right_to_left", speed_mm_s=line.speed_mm_s, mm_per_px=line.mm_per_px))
    frames = wrong = 0
    for number, (picture, parts) in enumerate(line_frames(line, 200)):
        seen = look.see(picture, number / line.fps)
        assert not seen.learning or number < 20
        whole = [box for box, visible in parts if visible == 1]
        once = [sum(iou(sight.box_xyxy_px, box) > 0.75 for sight in seen.parts) == 1 for box in whole]
        frames += not seen.learning
        wrong += not seen.learning and not (all(once) and len(seen.parts) <= len(parts))
    assert wrong <= 0.02 * frames, "a grey part on a grey ribbed belt may fall into two, in a few frames"
