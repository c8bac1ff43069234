"""A camera that is turned against the belt, or sees it at a slant, measures as well as one that looks straight down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream_inspect.belt.background import BackgroundSettings
from stream_inspect.belt.geometry import BeltBox, BeltView
from stream_inspect.belt.look import BeltLook
from stream_inspect.messages import Corners
from tests.belt.pictures import CLIP_PX, CLIPS, MOUNTINGS, Mounting, clip, clip_truth

FRAMES = 80
LANES_PX = ((100.0, 358.0), (358.0, 620.0))
"""Of the sample clip with two lanes, seen from above."""


def lanes_mm(mounting: Mounting, view: BeltView) -> tuple[tuple[float, float], ...]:
    """The lanes as this camera's configuration has them."""
    sides = [view.belt_from_px(mounting.corners((0, low, 1280, high)), 0.0).across for low, high in LANES_PX]
    return tuple((side.low, side.high) for side in sides)


def is_in_picture(corners_px: Corners, view: BeltView) -> bool:
    return all(3 < x < view.width_px - 3 and 3 < y < view.height_px - 3 for x, y in corners_px)


def off_mm(seen: BeltBox, truth: BeltBox) -> float:
    """By how much the side that is off most is off."""
    pairs = (seen.along, truth.along), (seen.across, truth.across)
    return max(max(abs(one.low - other.low), abs(one.high - other.high)) for one, other in pairs)


@pytest.mark.parametrize(("mounting", "name"), list(zip(MOUNTINGS, CLIPS, strict=True)), ids=["turned", "slanted"])
def test_the_way_and_the_parts_are_those_of_the_clip(sample_data: Path, mounting: Mounting, name: str) -> None:
    """One pixel of the clip is a millimetre: each step is 12 mm, and each whole part is found once, within 6 mm."""
    view = BeltView(mounting.belt, 1280, 720)
    lanes = lanes_mm(mounting, view) if "cookies" in name else ()
    look = BeltLook(mounting.belt, BackgroundSettings(lanes_mm=lanes))
    truth, steps_mm, parts = clip_truth(sample_data, name), list[float](), 0
    for number, picture in enumerate(clip(sample_data, name, 0, FRAMES)):
        seen = look.see(mounting.picture(picture), number / 25)
        steps_mm += [np.nan if seen.moved_mm is None else seen.moved_mm] if number else []
        assert not seen.learning or not truth[number], "it is known before the first part enters"
        placed = [view.belt_from_px(sight.outline_px, 0.0) for sight in seen.parts]
        for part in truth[number] if not seen.learning else []:
            corners = mounting.corners(part.box_xyxy_px)
            if part.whole and is_in_picture(corners, view):
                wanted = view.belt_from_px(corners, 0.0)
                own = [box for box in placed if box.shared_mm2(wanted) > 0.5 * max(box.area_mm2, wanted.area_mm2)]
                assert len(own) == 1, (number, part)
                assert off_mm(own[0], wanted) <= 6, (number, part)
                parts += 1
    assert steps_mm == pytest.approx([CLIP_PX] * (FRAMES - 1), abs=0.5)
    assert sum(steps_mm) == pytest.approx(CLIP_PX * (FRAMES - 1), rel=0.005)
    assert parts > 20
