"""What capture looks for on the belt: parts only where the background finds them, the way only where it is asked."""

from __future__ import annotations

import numpy as np
import pytest

from stream_inspect.belt.look import BeltLook
from stream_inspect.capture.belt_look import WayLook, make_look
from stream_inspect.picture import Picture
from tests.track.plant_line import config


def picture(moved_px: int) -> Picture:
    """A belt with texture, which has moved so far."""
    noise = np.random.default_rng(7).integers(40, 200, (240, 640), np.uint8)
    grey = np.full((120, 640), 128, np.uint8)
    return Picture(np.vstack([np.roll(noise, moved_px, axis=1), grey]), 640, 240)


@pytest.mark.parametrize(
    ("odometer", "sees_way"),
    [
        ({"kind": "speed"}, False),
        ({"kind": "encoder", "input": "plc", "mm_per_count": 0.5}, False),
        ({"kind": "encoder", "input": "plc", "mm_per_count": 0.5, "check_with": "picture"}, True),
        ({"kind": "picture"}, True),
    ],
)
def test_with_a_photo_eye_the_picture_is_asked_for_the_way_at_most(odometer: dict[str, object], sees_way: bool) -> None:
    the_config = config(odometer=odometer)
    look = make_look(the_config.cameras[0], the_config.lines[0])
    assert isinstance(look, WayLook)
    looked = [look.see(picture(24 * frame), frame / 25) for frame in range(8)][-1]
    assert (looked.parts, looked.learning) == ((), False)
    assert (looked.moved_mm is not None) is sees_way


def test_with_the_background_parts_are_looked_for() -> None:
    the_config = config(parts={"kind": "background", "min_area_mm2": 400})
    assert isinstance(make_look(the_config.cameras[0], the_config.lines[0]), BeltLook)


def test_without_a_line_nothing_is_looked_for() -> None:
    assert make_look(config().cameras[0], None) is None
