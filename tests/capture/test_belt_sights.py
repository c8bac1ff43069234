"""The way that each sight of a belt has: added up over a session, whatever the frames between do not show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import structlog.testing

from stream_inspect.capture.belt_sights import BeltSights, make_sights
from stream_inspect.messages import FrameHeader, FrameId
from stream_inspect.picture import Picture
from tests.capture.test_belt_look import picture
from tests.track.plant_line import config, header

STEP_PX = 24
"""Of 1 mm, in each frame: 600 mm/s at 25 frames a second."""
LEARNED = 40
"""Frames in which the empty belt becomes known."""
HAND = Picture(np.full((360, 640), 128, np.uint8), 640, 240)


def sights(memory: Path | None = None) -> BeltSights:
    parts = {} if memory is None else {"parts": {"kind": "background"}}
    the_config = config(odometer={"kind": "picture"}, **parts)
    made = make_sights(the_config.cameras[0], the_config.lines[0], memory)
    assert made is not None
    return made


def frame(seq: int, session: int = 1) -> FrameHeader:
    frame_id = FrameId(camera="top", session=session, seq=seq, pts=seq, time_base_num=1, time_base_den=25)
    return msgspec.structs.replace(header(seq, seq), id=frame_id, width_px=640, height_px=240)


def is_learning(made: BeltSights, seq: int) -> bool:
    """Whether the empty belt is not known after this frame."""
    return made.see(frame(seq), picture(STEP_PX * seq)).learning


def ways(made: BeltSights, frames: Sequence[int], session: int = 1, hidden: Sequence[int] = ()) -> list[float | None]:
    """How far the belt has run in these frames, some of which a hand hides."""
    shown = [HAND if seq in hidden else picture(STEP_PX * seq) for seq in frames]
    return [made.see(frame(seq, session), one).way_mm for seq, one in zip(frames, shown, strict=True)]


def test_the_way_is_counted_from_the_first_frame_of_the_session() -> None:
    assert ways(sights(), range(10)) == pytest.approx([STEP_PX * seq for seq in range(10)], abs=0.5)


def test_a_frame_that_does_not_show_the_belt_takes_nothing_from_the_way() -> None:
    """What the next one shows counts from the last one that showed it, and so does the time that it took."""
    assert ways(sights(), range(14), hidden=[8, 10, 11])[-1] == pytest.approx(13 * STEP_PX, abs=0.5)


def test_another_session_is_another_way() -> None:
    made = sights()
    ways(made, range(5))
    assert ways(made, range(100, 103), session=2) == pytest.approx([0, STEP_PX, 2 * STEP_PX], abs=0.5)


def test_the_next_process_knows_the_empty_belt_that_this_one_has_learned(tmp_path: Path) -> None:
    """The belt is full of parts when a killed capture process is restarted, and shows itself empty to no other."""
    memory = tmp_path / "empty_belt"
    first = sights(memory)
    assert [is_learning(first, seq) for seq in range(LEARNED)][0 :: LEARNED - 1] == [True, False]
    assert not is_learning(sights(memory), LEARNED)


def test_a_memory_that_cannot_be_read_is_reported_and_the_belt_is_learned_again(tmp_path: Path) -> None:
    memory = tmp_path / "empty_belt"
    memory.write_bytes(b"not what was learned")
    with structlog.testing.capture_logs() as logs:
        assert is_learning(sights(memory), 0)
    (said,) = logs
    assert said["event"] == "the empty belt is learned again"
