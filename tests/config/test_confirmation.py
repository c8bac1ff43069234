"""A rate and a rule that can never confirm a defect are refused where the picture's size is known, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.config.confirmation import Passing, too_few_views
from stream_inspect.config.models import BeltConfig, CameraConfig, DecideConfig, FileSource, SamplingConfig
from tests.config.test_load import CAMERA, problems, right

FAST = "belt: {direction: left_to_right, speed_mm_s: 700, mm_per_px: 0.5}\n    sampling: {rate_hz: %s}\n    "
SYNTHETIC = "source: {kind: synthetic}\n"


def test_a_belt_that_is_too_fast_for_the_rate_is_refused_with_the_rate_that_it_needs() -> None:
    (problem,) = problems(CAMERA + FAST % 1 + SYNTHETIC)
    assert problem.endswith(
        "cameras[0].sampling.rate_hz: the belt moves 1400 of 1280 px between two judged frames: a defect is in at most "
        "1 of them, and decide.confirm_hits is 2, so none is confirmed: set sampling.rate_hz to at least 2.2, or "
        "decide.confirm_hits to 1, or check belt.speed_mm_s and belt.mm_per_px"
    )
    assert right(CAMERA + FAST % 2.2 + SYNTHETIC)
    assert right(CAMERA + FAST % 1 + SYNTHETIC + "decide: {confirm_hits: 1}\n")


@pytest.mark.parametrize(
    ("direction", "region", "along_px"),
    [
        ("left_to_right", "[[500, 0], [700, 0], [700, 720], [500, 720]]", 200),
        ("right_to_left", "[[500, 0], [700, 0], [600, 720]]", 200),
        ("left_to_right", "[[0.5, 0], [0.625, 0], [0.6, 1]]", 160),
        ("bottom_to_top", "[[0, 100], [1280, 100], [1280, 250], [0, 250]]", 150),
        ("left_to_right", "[[0, 100], [1280, 100], [1280, 250], [0, 250]]", 1280),
    ],
)
def test_only_the_region_shows_a_defect(direction: str, region: str, along_px: int) -> None:
    """One judged frame a second, a belt of 350 px/s: a defect is in 3 of the picture, and in 1 of the region."""
    belt = f"belt: {{direction: {direction}, speed_mm_s: 175, mm_per_px: 0.5}}\n    sampling: {{rate_hz: 1}}\n    "
    key = "region" if "0." in region else "region_px"
    text = CAMERA + belt + f"{key}: {region}\n    source: {{kind: usb, width_px: 1280, height_px: 720}}\n"
    if along_px == 1280:
        assert right(text)
        return
    (problem,) = problems(text)
    assert f"the belt moves 350 of {along_px} px of its region between two judged frames" in problem
    assert f"set sampling.rate_hz to at least {2 * 350 / along_px:.2g}"[:-1] in problem
    assert "lengthen the region along the belt" in problem


def test_a_region_outside_of_the_picture_is_reported_as_that_alone() -> None:
    region = "region_px: [[2000, 0], [2100, 0], [2100, 700]]\n    "
    (problem,) = problems(CAMERA + FAST % 1 + region + SYNTHETIC)
    assert "is outside the picture" in problem


def test_a_rate_that_the_camera_does_not_deliver_does_not_help() -> None:
    belt = "belt: {direction: top_to_bottom, speed_mm_s: 700, mm_per_px: 0.5}\n    rotate_deg: 90\n    "
    (problem,) = problems(CAMERA + belt + "source: {kind: usb, width_px: 640, height_px: 480, fps: 1}\n")
    assert "moves 1400 of 640 px" in problem
    assert "take a camera of at least 4.4 fps" in problem


@pytest.mark.parametrize("source", ["{kind: usb}", "{kind: rtsp, url: 'rtsp://a/'}", "{kind: file, path: a.mp4}"])
def test_a_camera_whose_picture_is_not_known_yet_is_left_to_check(source: str) -> None:
    assert right(CAMERA + FAST % 1 + f"source: {source}\n")


@given(
    speed_mm_s=st.floats(1, 5000),
    mm_per_px=st.floats(0.02, 5),
    along_px=st.integers(100, 8000),
    rate_hz=st.floats(0.05, 240),
    hits=st.integers(1, 20),
    front_mm=st.floats(0, 1e4),
)
def test_what_is_said_of_a_belt_is_so(
    speed_mm_s: float, mm_per_px: float, along_px: int, rate_hz: float, hits: int, front_mm: float
) -> None:
    """Count the judged frames in which the picture shows the front of something, and try the rate that is advised."""

    def passing(rate: float) -> Passing:
        camera = CameraConfig(
            name="c1",
            source=FileSource(kind="file", path=Path("none")),
            belt=BeltConfig(direction="left_to_right", speed_mm_s=speed_mm_s, mm_per_px=mm_per_px),
            sampling=SamplingConfig(rate_hz=rate),
        )
        return Passing(camera, (along_px, 10))

    one = passing(rate_hz)
    if one.fewest > 1000:
        return
    first = front_mm % one.step_px
    in_view = sum(first + number * one.step_px <= along_px for number in range(one.fewest + 3))
    assert one.fewest <= in_view <= one.fewest + 1
    what, _, never = too_few_views(one, DecideConfig(confirm_hits=hits, confirm_window=max(4, hits)))
    assert bool(what) == (one.fewest < hits)
    assert never == (one.fewest + 1 < hits)
    if what and one.rate_hz(hits) <= 240:
        assert not too_few_views(passing(one.rate_hz(hits)), DecideConfig(confirm_hits=hits, confirm_window=100))[0]
