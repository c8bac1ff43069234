"""A belt that stands, from the picture to the events: no condition, no track that ends, no second event."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path

import pytest

from stream_inspect.capture.conditions import ConditionWatch
from stream_inspect.capture.reports import condition
from stream_inspect.config.models import BeltConfig, CameraConfig, Config, DefectConfig, FileSource, SamplingConfig
from stream_inspect.decide.event_log import MemoryLog
from stream_inspect.messages import Clock, Detection, Event, EventState, FrameHeader, FrameId, Inspection
from stream_inspect.service.chain import judging_chain
from tests.capture.standing_line import StandingLine
from tests.capture.test_conditions import FPS, HEIGHT, WIDTH, encoded

S = 1_000_000_000
JUDGED_EVERY = 3
RUNS_S = 5.0


def header(index: int) -> FrameHeader:
    return FrameHeader(
        id=FrameId(camera="top", session=1, seq=index, pts=index, time_base_num=1, time_base_den=FPS),
        width_px=WIDTH,
        height_px=HEIGHT,
        color_matrix="bt601",
        full_range=False,
        capture_mono_ns=index * S // FPS,
        capture_utc_ns=index * S // FPS,
        clock=Clock.MEDIA,
        ledger_index=index,
        due=index // JUDGED_EVERY,
    )


def inspection(line: StandingLine, index: int) -> Inspection:
    found = [
        Detection(defect=defect.name.replace("-", "_"), score=0.5, box_xyxy_px=defect.box_xyxy_px)
        for defect in line.truth(index).defects
    ]
    return Inspection(frame=header(index), detections=found, model_hash="", prompts_hash="", judged_mono_ns=0)


@pytest.mark.parametrize("crf", [24, 32])
@pytest.mark.parametrize("stands_s", [1.0, 5.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_a_stop_makes_no_condition_and_no_second_event(stands_s: float, crf: int) -> None:
    line = StandingLine(3, WIDTH, HEIGHT, FPS, speed_px_s=200, stops_at_s=2.0, stands_s=stands_s)
    count = round((2.0 + stands_s + RUNS_S) * FPS)
    lumas = encoded([line.i420(index)[:HEIGHT] for index in range(count)], crf)
    names = {defect.name.replace("-", "_") for index in range(count) for defect in line.truth(index).defects}
    belt = BeltConfig(direction="right_to_left", speed_mm_s=line.speed_mm_s, mm_per_px=line.mm_per_px)
    source = FileSource(kind="file", path=Path("none"))
    camera = CameraConfig(name="top", source=source, belt=belt, sampling=SamplingConfig(rate_hz=FPS / JUDGED_EVERY))
    defects = [DefectConfig(name=name, prompts=[name]) for name in sorted(names)]
    now_ns, log = 0, MemoryLog()
    config = Config(version=1, cameras=[camera], defects=defects)
    chain = judging_chain(config, log, clock=lambda: now_ns)
    chain.open()
    watch = ConditionWatch(camera.conditions, belt_moves=True, expect_frames=True, now_s=0.0)
    for index, luma in enumerate(lumas):
        now_ns = index * S // FPS
        changes = watch.frame(luma, now_ns / S, key=index % FPS == 0) + watch.tick(now_ns / S)
        reported = [condition(one, camera="top", frame=header(index), utc_offset_ns=0) for one in changes]
        judged = [inspection(line, index)] if index % JUDGED_EVERY == 0 else []
        deque(chain.process([*reported, *judged]), maxlen=0)
        deque(chain.tick(now_ns), maxlen=0)
    chain.close()

    confirmed = [event for event in log.events if event.state is EventState.CONFIRMED]
    assert [event.name for event in confirmed if event.kind == "condition"] == []
    in_view = {defect.defect_id for defect in line.truth(round(2.1 * FPS)).defects}
    reported = Counter(defect_id for event in confirmed for defect_id in covered(line, event))
    assert in_view, "the scene must show what it is about"
    assert {defect_id: reported[defect_id] for defect_id in in_view} == dict.fromkeys(in_view, 1)


def covered(line: StandingLine, event: Event) -> set[int]:
    """The defects that the event's box covers in its frame."""
    assert event.frame is not None
    assert event.box_xyxy_px is not None
    left, top, right, bottom = event.box_xyxy_px
    found = set()
    for defect in line.truth(event.frame.seq).defects:
        x0, y0, x1, y1 = defect.box_xyxy_px
        width, height = min(right, x1) - max(left, x0), min(bottom, y1) - max(top, y0)
        if width > 0 and height > 0 and width * height > 0.5 * (x1 - x0) * (y1 - y0):
            found.add(defect.defect_id)
    return found
