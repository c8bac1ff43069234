"""A line whose camera cannot show its parts whole for K frames is told so before it runs."""

from __future__ import annotations

from typing import Any

import pytest

from stream_inspect.config.fits import part_misfits
from stream_inspect.config.sections.lines import LineConfig
from tests.track.plant_line import config

BACKGROUND = {"kind": "background"}


def misfit(speed_mm_s: float = 600.0, fps: float | None = 25.0, width_px: int = 1280, **line: Any) -> tuple[str, bool]:
    """What does not fit, and whether nothing can pass."""
    the_config = config(speed_mm_s=speed_mm_s, **line)
    found = part_misfits(the_config.cameras[0], the_config.lines[0], (width_px, 720), fps)
    return (str(found[0]), found[0].fatal) if found else ("", False)


@pytest.mark.parametrize("fps", [25.0, None])
def test_parts_that_are_whole_in_enough_frames_fit(fps: float | None) -> None:
    assert misfit(fps=fps) == ("", False)


def test_a_belt_that_is_too_fast_for_the_camera_is_reported_with_the_rate_that_is_needed() -> None:
    text, is_fatal = misfit(speed_mm_s=10_000.0, views=4)
    assert text == (
        "the belt runs 400 mm between two frames, and a part of 120 mm is whole for 1160 mm: in 2 or 3 of them, and "
        "line1 wants 4 views: take a camera of at least 35 fps, see more of the belt, or set views to 2"
    )
    assert is_fatal
    assert misfit(speed_mm_s=10_000.0, views=3)[1] is False, "some pass"


def test_a_part_that_is_longer_than_the_picture_is_never_whole() -> None:
    text, is_fatal = misfit(width_px=100)
    assert text.startswith("a part of 120 mm is never whole in the 100 mm of belt that are seen")
    assert is_fatal


def test_where_the_length_is_not_stated_nothing_is_certain() -> None:
    text, is_fatal = misfit(speed_mm_s=10_000.0, parts=BACKGROUND)
    assert "(half of what is seen: state lines[].part_length_mm)" in text
    assert not is_fatal
    assert misfit(speed_mm_s=10_000.0, parts=BACKGROUND, part_length_mm=50) == ("", False)


def test_a_length_that_is_stated_twice_must_be_the_same() -> None:
    line = config(part_length_mm=100).lines[0]
    assert [finding.path for finding in line.crosscheck()] == [("part_length_mm",)]
    assert list(LineConfig.model_validate({**line.model_dump(), "part_length_mm": 120}).crosscheck()) == []
