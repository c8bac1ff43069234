"""The way that each sight of a belt has: added up over a session, whatever the frames between do not show."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from stream_inspect.capture.belt_sights import BeltSights, make_sights
from stream_inspect.messages import FrameId
from stream_inspect.picture import Picture
from tests.capture.test_belt_look import picture
from tests.track.plant_line import config, header

STEP_PX = 24
"""Of 1 mm, in each frame: 600 mm/s at 25 frames a second."""
HAND = Picture(np.full((360, 640), 128, np.uint8), 640, 240)


def sights() -> BeltSights:
    the_config = config(odometer={"kind": "picture"})
    made = make_sights(the_config.cameras[0], the_config.lines[0])
    assert made is not None
    return made


def ways(made: BeltSights, frames: Sequence[int], session: int = 1, hidden: Sequence[int] = ()) -> list[float | None]:
    """How far the belt has run in these frames, some of which a hand hides."""
    seen = []
    for seq in frames:
        frame_id = FrameId(camera="top", session=session, seq=seq, pts=seq, time_base_num=1, time_base_den=25)
        frame = msgspec.structs.replace(header(seq, seq), id=frame_id, width_px=640, height_px=240)
        seen.append(made.see(frame, HAND if seq in hidden else picture(STEP_PX * seq)).way_mm)
    return seen


def test_the_way_is_counted_from_the_first_frame_of_the_session() -> None:
    assert ways(sights(), range(10)) == pytest.approx([STEP_PX * seq for seq in range(10)], abs=0.5)


def test_a_frame_that_does_not_show_the_belt_takes_nothing_from_the_way() -> None:
    """What the next one shows counts from the last one that showed it, and so does the time that it took."""
    assert ways(sights(), range(14), hidden=[8, 10, 11])[-1] == pytest.approx(13 * STEP_PX, abs=0.5)


def test_another_session_is_another_way() -> None:
    made = sights()
    ways(made, range(5))
    assert ways(made, range(100, 103), session=2) == pytest.approx([0, STEP_PX, 2 * STEP_PX], abs=0.5)
