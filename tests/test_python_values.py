"""Every message holds Python values, whatever its maker was given: NumPy's scalars cannot be sent.

`msgspec` refuses them, so that one that slips through kills its process each time: a comparison of a NumPy number with
a Python one is a NumPy bool, and `np.count_nonzero` gives a NumPy integer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_inspect.capture.camera import CapturedFrame
from stream_inspect.capture.conditions import Change, ConditionWatch
from stream_inspect.capture.reports import at_media_time, condition, frame_header
from stream_inspect.config.models import ConditionsConfig
from stream_inspect.decide.event_log import MemoryLog
from stream_inspect.inspect import masks
from stream_inspect.inspect.detect.detector import PromptSet, RawDetections
from stream_inspect.inspect.inspector import CameraSettings, Inspector
from stream_inspect.levels import Levels
from stream_inspect.messages import (
    Clock,
    ConditionKind,
    Detection,
    Message,
    Output,
    decode,
    encode,
    event_json,
)
from stream_inspect.picture import Picture, UInt8Array
from stream_inspect.service.chain import judging_chain
from tests.decide import scenes
from tests.inspect.scripted import ScriptedDetector, black, rectangle
from tests.inspect.test_inspector import GREEN, RED
from tests.live.test_live_stage import pictures, stage_for
from tests.record.filmed import Belt
from tests.track.test_track_stage import S, inspection

_INTS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
_FLOATS = (np.float16, np.float32, np.float64)

ints = st.builds(lambda kind, value: kind(value), st.sampled_from(_INTS), st.integers(1, 60))
floats = st.builds(lambda kind, value: kind(value), st.sampled_from(_FLOATS), st.floats(0, 60))
numbers = ints | floats
bools = st.sampled_from((np.True_, np.False_))
properties = settings(deadline=None)


def same_after_the_wire(message: Message) -> bool:
    return decode(encode(message)) == message


def messages(outputs: Iterable[Output]) -> list[Message]:
    return [output.message for output in outputs]


def a_frame(pts=np.int64(7), ns=np.int64(5), base=np.int64(90_000), side=np.int64(64), full=np.True_) -> CapturedFrame:  # noqa: B008
    """As a camera class hands it over that reads its numbers from arrays."""
    picture = Picture(i420=np.zeros((96, 64), np.uint8), width_px=side, height_px=side, full_range=full)
    return CapturedFrame(
        picture=picture,
        pts=pts,
        time_base=Fraction(1, base),
        capture_mono_ns=ns,
        capture_utc_ns=ns,
        clock=Clock.DEVICE,
    )


@properties
@given(ints, ints, ints, ints, ints, bools)
def test_a_frames_header(pts, ns, base, seq, index, full):
    for frame in (a_frame(pts, ns, base, full=full), at_media_time(a_frame(pts, ns, base, full=full))):
        assert same_after_the_wire(frame_header(frame, camera="top", session=seq, seq=seq, ledger_index=index))


@properties
@given(bools, numbers, ints)
def test_a_cameras_condition(active, since_s, offset_ns):
    change = Change(ConditionKind.FROZEN, active, since_s, "")
    assert same_after_the_wire(condition(change, camera="top", frame=None, utc_offset_ns=offset_ns))


@pytest.mark.parametrize("belt_moves", [False, True])
@pytest.mark.parametrize("noise", [0, 3, 60])
@pytest.mark.parametrize("brightness", [0, 120])
def test_the_conditions_of_a_picture_that_stands_still(belt_moves: bool, noise: int, brightness: int):
    """With a belt and a noisy picture every connection ended after 0.7 s, with the first level of FROZEN."""
    rng = np.random.default_rng(1)
    watch = ConditionWatch(ConditionsConfig(), belt_moves=belt_moves, expect_frames=True, now_s=0.0)
    still = rng.integers(0, brightness + 1, (120, 160))
    levels = Levels("capture.top")
    known: set[ConditionKind] = set()
    for frame in range(100):
        luma = np.clip(still + rng.integers(-noise, noise + 1, still.shape), 0, 255).astype(np.uint8)
        for change in [*watch.frame(luma, frame / 25), *watch.tick(frame / 25)]:
            levels.put(condition(change, camera="top", frame=None, utc_offset_ns=0))
            known.add(change.kind)
        assert all(map(same_after_the_wire, messages(levels.due(frame * S))))
    assert (ConditionKind.FROZEN in known) == belt_moves


@properties
@given(bools)
def test_a_level(active):
    levels = Levels("inspect.0")
    levels.set(ConditionKind.MODEL_FAILED, active)
    assert all(map(same_after_the_wire, messages(levels.due(0))))
    levels.set(ConditionKind.MODEL_FAILED, not active)
    assert [message.active for message in messages(levels.due(1))] == [not active], "a change is seen as one"


@properties
@given(st.tuples(numbers, numbers, numbers, numbers), st.none() | floats, ints, ints)
def test_a_detections_extent_mask_and_outline(box, mm_per_px, left_px, top_px):
    mask = masks.CroppedMask(np.ones((5, 4), np.bool_), left_px, top_px)
    left, top, width, height = box
    for extent in (
        masks.extent_of_mask(mask, mm_per_px),
        masks.extent_of_box((left, top, left + width, top + height), mm_per_px),
    ):
        found = Detection(
            defect="stain",
            score=0.5,
            box_xyxy_px=mask.box_xyxy_px,
            extent=extent,
            mask_rle=masks.to_rle(mask, np.int64(300), np.int32(200)),
            outline_px=masks.outline(mask),
        )
        assert same_after_the_wire(msgspec.structs.replace(inspection(0), detections=[found]))


@properties
@given(
    st.lists(st.tuples(st.sampled_from(("red", "green")), st.integers(0, 100), st.integers(0, 80)), max_size=4),
    st.sampled_from((np.float16, np.float32, np.float64)),
)
def test_an_inspection_whatever_numbers_the_detector_uses(places, kind):
    class Detector(ScriptedDetector):
        def detect(self, pictures: Sequence[UInt8Array], prompts: PromptSet) -> list[RawDetections]:
            return [
                RawDetections(found.boxes_xyxy_px.astype(kind), found.scores.astype(kind))
                for found in super().detect(pictures, prompts)
            ]

    picture = black()
    for colour, x, y in places:
        rectangle(picture, colour, (x, y, x + 30, y + 20))
    inspector = Inspector(Detector(), None, model_hash="m")
    inspector.open()
    inspector.set_defects([RED, GREEN])
    (found,) = inspector.judge([picture], [CameraSettings(scale=0.5)])
    assert same_after_the_wire(msgspec.structs.replace(inspection(0), detections=found))


@properties
@given(
    st.lists(st.lists(st.tuples(st.floats(0, 1200), st.floats(0, 600)), max_size=5), min_size=4, max_size=30),
    st.booleans(),
)
def test_tracks_events_and_conditions(frames, has_belt):
    belt = {"direction": "left_to_right", "speed_mm_s": 80.0, "mm_per_px": 1.0}
    camera = {"name": "top", "source": {"kind": "synthetic"}, "belt": belt if has_belt else None}
    log = MemoryLog()
    chain = judging_chain(scenes.config(cameras=[camera]), log)
    chain.open()
    sent = []
    for seq, places in enumerate(frames):
        boxes = [(x, y, x + 40, y + 40) for x, y in places]
        still, carried = (5.0, 5.0, 60.0, 60.0), (10.0 * seq, 300.0, 10.0 * seq + 40, 340.0)
        sent += chain.process([inspection(seq, *boxes, still, carried, camera="top")])
        sent += chain.tick(seq * S)
    sent += chain.finish()
    assert {output.topic for output in sent} >= {"tracked", "events"}
    assert all(map(same_after_the_wire, messages(sent)))
    assert [event_json(event) for event in log.events]


def test_a_live_picture(tmp_path: Path):
    belt = Belt(tmp_path)
    stage = stage_for(belt)
    list(stage.process([belt.shoot()]))
    assert all(map(same_after_the_wire, pictures(stage)))
    belt.close()
