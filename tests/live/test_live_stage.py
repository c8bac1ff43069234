"""The live stage on real rings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from stream_inspect.live.stage import LiveStage
from stream_inspect.messages import (
    ActiveCondition,
    ConditionKind,
    FrameHeader,
    LineStatus,
    LivePicture,
    PartsShown,
    ShownPart,
    Tracked,
    Verdict,
)
from stream_inspect.picture import Picture, UInt8Array
from tests.record.filmed import DEFECT_PX, Belt, config, number_in

SECOND_NS = 1_000_000_000


@pytest.fixture
def belt(tmp_path: Path) -> Iterator[Belt]:
    belt = Belt(tmp_path)
    yield belt
    belt.close()


def stage_for(belt: Belt, silent_after_s: float = 1.5, **web: object) -> LiveStage:
    camera = {
        "name": "cam",
        "source": {"kind": "synthetic"},
        "conditions": {"no_signal_after_s": silent_after_s},
    }
    stage = LiveStage(config(belt.ring_dir, web=web, cameras=[camera]), ring_dir=belt.ring_dir)
    stage.open()
    return stage


def pictures(stage: LiveStage, now_mono_ns: int | None = None) -> list[LivePicture]:
    now_mono_ns = time.monotonic_ns() if now_mono_ns is None else now_mono_ns
    found = [output.message for output in stage.tick(now_mono_ns)]
    assert all(isinstance(picture, LivePicture) for picture in found)
    return [picture for picture in found if isinstance(picture, LivePicture)]


def bgr_of(picture: LivePicture) -> UInt8Array:
    decoded = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(decoded, np.uint8)


def status(*kinds: ConditionKind, camera: str = "cam") -> LineStatus:
    """The supervisor's, with these conditions of a camera."""
    now_ns = time.time_ns()
    conditions = [
        ActiveCondition(kind=kind, camera=camera, source=f"capture.{camera}", detail="", since_utc_ns=now_ns)
        for kind in kinds
    ]
    return LineStatus(
        state="degraded" if kinds else "ok", conditions=conditions, mono_ns=time.monotonic_ns(), utc_ns=now_ns
    )


def red_part(bgr: UInt8Array) -> float:
    """How much of the picture is the red of a warning."""
    blue, green, red = (bgr[..., channel].astype(int) for channel in range(3))
    return float(((red > 180) & (blue < 110) & (green < 110)).mean())


def test_the_picture_is_the_newest_frame_scaled_with_its_identity(belt: Belt) -> None:
    stage = stage_for(belt, live_height_px=180)
    headers = [belt.shoot() for _ in range(5)]
    list(stage.process(headers))
    (picture,) = pictures(stage)
    assert (picture.camera, picture.frame_seq) == ("cam", 4)
    assert (picture.capture_mono_ns, picture.capture_utc_ns) == (headers[4].capture_mono_ns, headers[4].capture_utc_ns)
    assert bgr_of(picture).shape == (180, 320, 3)
    assert number_in(bgr_of(picture)) == 4


def test_a_frame_is_shown_once_and_no_faster_than_the_rate(belt: Belt) -> None:
    stage = stage_for(belt, silent_after_s=100, live_rate_hz=10)
    now_ns, shown = time.monotonic_ns(), []
    for step in range(200):  # four seconds of ticks every 20 ms, a frame at every other
        if step % 2 == 0:
            list(stage.process([belt.shoot()]))
        shown += pictures(stage, now_ns + step * 20_000_000)
    assert 39 <= len(shown) <= 42
    assert len({picture.frame_seq for picture in shown}) == len(shown)
    assert pictures(stage, now_ns + 200 * 20_000_000) == [] or shown[-1].frame_seq < belt.seq - 1


def test_boxes_are_moved_to_the_time_of_the_frame(belt: Belt) -> None:
    stage = stage_for(belt, live_height_px=360)
    headers = [belt.shoot() for _ in range(26)]
    list(stage.process([*headers, belt.tracked(headers[20], first_pts_s=0.5)]))
    (picture,) = pictures(stage)
    bgr = bgr_of(picture).astype(int)
    left, top = round(belt.defect_x(25)), 160
    edge = bgr[top + 5 : top + DEFECT_PX - 5]
    here = edge[:, left - 1 : left + 1].mean(axis=(0, 1))
    assert here[2] - here[0] > 60, "the box stands at the defect in this frame"
    before = round(belt.defect_x(20))
    there = edge[:, before - 1 : before + 1].mean(axis=(0, 1))
    assert there[2] - there[0] < 40, "and not where it was judged"


def test_parts_are_outlined_where_they_are_in_this_frame_with_their_verdict(belt: Belt) -> None:
    stage = stage_for(belt, live_height_px=360)
    headers = [belt.shoot() for _ in range(6)]
    part = ShownPart(part=12, box_xyxy_px=(300.0, 200.0, 400.0, 300.0), views=3, verdict=Verdict.PASS)
    shown = PartsShown(frame=headers[0], odometer_mm=0.0, velocity_px_s=(-100.0, 0.0), parts=[part])
    list(stage.process([*headers, shown]))
    (picture,) = pictures(stage)
    edge = bgr_of(picture)[290:298].astype(int).mean(axis=0)
    green = edge[:, 1] - edge[:, [0, 2]].max(axis=1)
    assert abs(int(green[:330].argmax()) - 280) <= 2, "it has moved by 20 px since"
    assert green[280] > 2 * green[295:305].max()


def test_boxes_stay_while_judging_is_slow_and_go_when_nothing_is_known_any_more(belt: Belt) -> None:
    stage = stage_for(belt, live_height_px=360)
    headers = [belt.shoot() for _ in range(60)]
    list(stage.process([belt.tracked(headers[20], first_pts_s=0.5)]))
    edges = []
    for step, seq in enumerate((45, 59)):  # 1.0 s and 1.56 s after the judged frame
        list(stage.process([headers[seq]]))
        (picture,) = pictures(stage, time.monotonic_ns() + step * SECOND_NS)
        label = bgr_of(picture)[140:158, round(belt.defect_x(seq)) + 2 : round(belt.defect_x(seq)) + 30].astype(int)
        edges.append(float((label[..., 2] - label[..., 0]).max()))
    assert edges[0] > 100, "a second later the label is still there"
    assert edges[1] < 60


def test_a_silent_camera_shows_a_notice_and_never_its_old_picture(belt: Belt) -> None:
    stage = stage_for(belt, silent_after_s=0.3)
    list(stage.process([belt.shoot()]))
    (fresh,) = pictures(stage)
    assert red_part(bgr_of(fresh)) < 0.05
    time.sleep(0.15)
    assert pictures(stage) == [], "not silent for long enough"
    time.sleep(0.2)
    (notice,) = pictures(stage)
    assert red_part(bgr_of(notice)) > 0.15
    time.sleep(0.15)
    assert pictures(stage) == [], "once a second is enough"
    list(stage.process([belt.shoot()]))
    (again,) = pictures(stage)
    assert number_in(bgr_of(again)) == 1


def slow_frames(belt: Belt, interval_s: float, count: int) -> list[FrameHeader]:
    """Headers as a camera of this interval makes them; the newest has just arrived."""
    now_ns = time.monotonic_ns()
    return [
        msgspec.structs.replace(belt.shoot(), capture_mono_ns=now_ns - round((count - 1 - n) * interval_s * 1e9))
        for n in range(count)
    ]


def test_a_slow_camera_keeps_its_picture_until_three_of_its_frames_are_missing(belt: Belt) -> None:
    stage = stage_for(belt)
    list(stage.process(slow_frames(belt, interval_s=4.0, count=4)))
    started_ns = time.monotonic_ns()
    (picture,) = pictures(stage, started_ns)
    assert picture.fresh_for_s == pytest.approx(12.0, abs=0.1)
    for waited_s in (2, 4, 8, 11):
        assert pictures(stage, started_ns + waited_s * SECOND_NS) == [], "between two frames it is not silent"
    (panel,) = pictures(stage, started_ns + 13 * SECOND_NS)
    assert red_part(bgr_of(panel)) > 0.15


def test_a_pause_of_a_fast_camera_does_not_make_it_a_slow_one(belt: Belt) -> None:
    stage = stage_for(belt)
    before, after = slow_frames(belt, 0.04, 4), slow_frames(belt, 0.04, 2)
    paused = [msgspec.structs.replace(one, capture_mono_ns=one.capture_mono_ns - 60 * SECOND_NS) for one in before]
    list(stage.process([*paused, *after]))
    started_ns = time.monotonic_ns()
    pictures(stage, started_ns)
    assert len(pictures(stage, started_ns + 2 * SECOND_NS)) == 1, "silent for longer than no_signal_after_s"


def test_a_camera_that_never_delivered_shows_a_notice(belt: Belt) -> None:
    stage = stage_for(belt)
    (picture,) = pictures(stage, time.monotonic_ns() + 2 * SECOND_NS)
    assert red_part(bgr_of(picture)) > 0.15


def test_a_recording_that_has_ended_is_no_alarm(belt: Belt) -> None:
    stage = stage_for(belt)
    ended = msgspec.structs.replace(status(), ended=["cam"])
    list(stage.process([belt.shoot(), ended]))
    pictures(stage)
    (panel,) = pictures(stage, time.monotonic_ns() + 3 * SECOND_NS)
    shown = bgr_of(panel)
    assert red_part(shown) < 0.01
    assert (shown.mean(axis=2) > 200).mean() > 0.005, "it says so in letters"


@pytest.mark.parametrize("kind", [ConditionKind.BLACK, ConditionKind.FROZEN, ConditionKind.NO_SIGNAL])
def test_a_condition_is_written_over_the_picture_while_the_status_has_it(belt: Belt, kind: ConditionKind) -> None:
    stage = stage_for(belt)  # as after a restart: it began before this process did
    list(stage.process([status(kind), belt.shoot()]))
    (during,) = pictures(stage)
    list(stage.process([status(), belt.shoot()]))
    (after,) = pictures(stage, time.monotonic_ns() + SECOND_NS)
    assert red_part(bgr_of(during)) > 0.15
    assert red_part(bgr_of(after)) < 0.05


def test_conditions_that_do_not_concern_the_picture_are_not_written_over_it(belt: Belt) -> None:
    stage = stage_for(belt)
    list(stage.process([status(ConditionKind.MODEL_FAILED), belt.shoot()]))
    (picture,) = pictures(stage)
    assert red_part(bgr_of(picture)) < 0.05


def test_a_frame_that_is_gone_is_left_out(tmp_path: Path) -> None:
    belt = Belt(tmp_path, slots=4)
    stage = stage_for(belt)
    headers = [belt.shoot() for _ in range(10)]
    list(stage.process(headers[:2]))
    assert pictures(stage) == []
    list(stage.process(headers[2:]))
    (picture,) = pictures(stage)
    assert picture.frame_seq == 9
    belt.close()


def test_pictures_of_odd_size_can_be_shown(tmp_path: Path) -> None:
    belt = Belt(tmp_path, width_px=641, height_px=361)
    for height_px in (360, 2000):
        stage = stage_for(belt, live_height_px=height_px)
        list(stage.process([belt.shoot()]))
        (picture,) = pictures(stage)
        assert number_in(bgr_of(picture)) == belt.seq - 1
    belt.close()


def test_messages_of_unknown_cameras_are_ignored(belt: Belt) -> None:
    stage = stage_for(belt)
    header = belt.shoot()
    strange = msgspec.structs.replace(header, id=msgspec.structs.replace(header.id, camera="elsewhere"))
    list(stage.process([strange, status(ConditionKind.BLACK, camera="elsewhere")]))
    assert pictures(stage) == []


def test_a_picture_that_stands_alone_is_shown_once_judged_with_its_own_marks(belt: Belt) -> None:
    camera = {"name": "cam", "source": {"kind": "images", "path": belt.ring_dir}}
    stage = LiveStage(config(belt.ring_dir, cameras=[camera], web={"live_height_px": 360}), ring_dir=belt.ring_dir)
    headers = [belt.shoot() for _ in range(3)]
    list(stage.process([*headers, belt.tracked(headers[1], first_pts_s=headers[1].id.pts_s)]))
    (picture,) = pictures(stage)
    assert number_in(bgr_of(picture)) == 1
    list(stage.process([Tracked(frame=headers[2], tracks=[])]))
    (clean,) = pictures(stage, time.monotonic_ns() + SECOND_NS // 5)
    assert number_in(bgr_of(clean)) == 2
    plain = Picture.from_bgr(belt.picture(2)).to_bgr()
    assert np.abs(bgr_of(clean).astype(int) - plain)[100:].max() < 90, "the marks of the picture before are drawn on it"
