"""That finds are not followed is reported when they lie elsewhere, and not for false finds or a belt that stops."""

from __future__ import annotations

import random

import pytest

from stream_inspect.config.models import TrackConfig
from stream_inspect.messages import Detection
from stream_inspect.track.belt_tracker import BeltTracker
from stream_inspect.track.following import Following
from stream_inspect.track.tracker import TrackerFrame
from tests.track.line import HEIGHT_PX, WIDTH_PX, Line, Thing, camera, found, frame

RATE_HZ = 8.0


def followed(*ratios: float | None) -> Following:
    following = Following()
    for ratio in ratios:
        following.note(0, 0, [ratio])
    return following


def test_a_few_finds_that_agree_are_reported_with_how_far_they_went() -> None:
    assert not followed(*[2.0] * 5).detail
    detail = followed(2.0, 2.1, 1.9, 2.0, 2.05, 1.95).detail
    assert detail.startswith(
        "6 of the last 6 finds were not seen again where the belt should have carried them, but 2.0"
    )


def test_finds_that_do_not_agree_are_reported_when_almost_none_is_followed() -> None:
    ratios = [0.3, 2.5, -1.0, 4.0, None, 1.7, None, -2.0, 3.3]
    assert not followed(*ratios).detail
    assert "them: check" in followed(*ratios, None).detail


def test_it_ends_when_finds_are_followed_again_and_not_when_there_are_none() -> None:
    following = followed(*[2.0] * 12)
    following.note(0, 30, [])
    assert following.detail, "false finds are not followed either"
    for _ in range(48):
        following.note(1, 0, [])
    assert not following.detail


def test_a_few_that_are_followed_by_chance_do_not_end_it() -> None:
    following = followed(*[-1.0] * 12)
    for _ in range(10):
        following.note(5, 0, [])
        following.note(0, 1, [-1.0] * 2)
        assert following.detail


def noise(rng: random.Random, a_frame: float) -> list[Detection]:
    """False finds of about one size anywhere in the picture."""
    finds = []
    while rng.random() < a_frame / (1 + a_frame):
        x, y = rng.uniform(0, WIDTH_PX - 40), rng.uniform(0, HEIGHT_PX - 40)
        finds.append(found((x, y, x + 40, y + 40)))
    return finds


@pytest.mark.parametrize("a_frame", [0.02, 0.2, 1.0])
def test_false_finds_alone_are_not_a_belt_that_is_not_followed(a_frame: float) -> None:
    rng = random.Random(5)
    tracker = BeltTracker(camera(), TrackConfig())
    for step in range(8000):
        tracker.update(frame(step / RATE_HZ), noise(rng, a_frame))
        assert not tracker.not_followed, step


def test_a_camera_that_sends_a_larger_picture_than_its_scale_is_for_is_reported() -> None:
    """1280x720 was configured, and after a reset of the camera everything is three times as large."""
    line = Line([Thing(-400 * index, 300) for index in range(20)], 300.0)
    tracker = BeltTracker(camera(speed_mm_s=300.0), TrackConfig())
    reported = []
    for scale in (1, 3):
        for step in range(100):
            size = TrackerFrame(step / RATE_HZ, WIDTH_PX * scale, HEIGHT_PX * scale)
            boxes = [detection.box_xyxy_px for _, detection in line.look(step / RATE_HZ)]
            tracker.update(size, [found(tuple(side * scale for side in box)) for box in boxes])
        reported.append(tracker.not_followed)
        tracker.reset()
    assert not reported[0]
    assert "3.0 times as far" in reported[1]


def test_what_leaves_the_region_is_not_missed_where_it_was_due() -> None:
    """Finds are due beyond the end of the region, while the next ones enter it in the same lane."""
    region = [(0.0, 0.0), (110.0, 0.0), (110.0, float(HEIGHT_PX)), (0.0, float(HEIGHT_PX))]
    config = camera(speed_mm_s=800.0).model_copy(update={"region_px": region})
    line = Line([Thing(-100.0 * index, 300) for index in range(100)], 800.0)
    tracker = BeltTracker(config, TrackConfig())
    for step in range(90):
        seen = [detection for _, detection in line.look(step / RATE_HZ)]
        tracker.update(frame(step / RATE_HZ), [one for one in seen if one.box_xyxy_px[0] + 20 <= 110])
        assert not tracker.not_followed


@pytest.mark.parametrize(("mm_per_px", "times"), [(10.0, "10.0"), (0.1, "0.1")])
def test_a_wrong_scale_is_reported(mm_per_px: float, times: str) -> None:
    """The true one is 1 mm per pixel. A belt that seems to creep is followed later on, as one that stands."""
    line = Line([Thing(-400 * index, 300) for index in range(20)], 300.0)
    tracker = BeltTracker(camera(speed_mm_s=300.0, mm_per_px=mm_per_px), TrackConfig())
    reported = set()
    for step in range(60):
        tracker.update(frame(step / RATE_HZ), [detection for _, detection in line.look(step / RATE_HZ)])
        reported.add(tracker.not_followed)
    assert any(f"{times} times as far" in detail for detail in reported)
