"""The inspect stage on a real ring and a real ledger, with a scripted model."""

from __future__ import annotations

import select
import time
from pathlib import Path

import pytest

from stream_inspect.config.load import load
from stream_inspect.inspect import batching
from stream_inspect.inspect.inspector import Found
from stream_inspect.inspect.model_slot import RELOAD_WAITS_S
from stream_inspect.inspect.prompts import prompts_hash
from stream_inspect.messages import (
    CONDITION_REPEAT_S,
    MAX_MESSAGE_BYTES,
    Condition,
    ConditionKind,
    DueFrame,
    encode,
)
from tests.inspect.frames import header
from tests.inspect.scripted import black, rectangle
from tests.inspect.test_wire_size import noise
from tests.inspect.worker_line import OWNER, SLOTS, Line, conditions, inspections

S = 1_000_000_000
FIRST_RELOAD_NS, LONGEST_RELOAD_NS = round(RELOAD_WAITS_S[0] * S), round(RELOAD_WAITS_S[-1] * S)


def test_a_due_frame_is_judged_and_accounted_for(running: Line) -> None:
    due = running.frame("a", rectangle(black(), "red", (20, 30, 60, 40)))
    running.stage.process([due])
    (inspection,) = inspections(running.tick())
    assert inspection.frame == due.header
    assert [(hit.defect, hit.box_xyxy_px) for hit in inspection.detections] == [("red-spot", (20, 30, 60, 40))]
    assert inspection.prompts_hash == prompts_hash(load(running.config_path).defects)
    assert len(inspection.model_hash) == 64
    assert (running.totals().judged, running.totals().in_flight, running.totals().residual) == (1, 0, 0)


def test_the_parts_of_a_line_that_has_prompts_for_them_come_with_the_result(line: Line) -> None:
    belt = {"direction": "left_to_right", "speed_mm_s": 100, "mm_per_px": 0.5}
    cameras = [
        {"name": "a", "source": {"kind": "synthetic"}, "belt": belt},
        {"name": "b", "source": {"kind": "synthetic"}, "line": "line2"},
    ]
    parts = {"kind": "prompt", "prompts": ["green"]}
    line.write_config(cameras=cameras, lines=[{"name": "line1", "parts": parts}])
    line.stage.close()
    line.stage = line.new_stage()
    line.stage.open()
    line.tick()
    picture = rectangle(black(), "green", (10, 20, 90, 60))
    line.stage.process([line.frame("a", picture), line.frame("b", picture)])
    line.ahead_ns = batching.MAX_ANSWER_TIMEOUT_NS
    found = {inspection.frame.id.camera: inspection for inspection in inspections(line.tick())}
    assert [part.box_xyxy_px for part in found["a"].parts or ()] == [(10, 20, 90, 60)]
    assert found["b"].parts is None
    assert found["a"].detections == found["b"].detections == []


def test_a_worker_that_keeps_up_asks_for_the_next_frame_before_it_judges_this_one(running: Line) -> None:
    running.stage.process([running.frame("a")])
    running.tick()
    running.tick()
    running.stage.process([running.frame("a")])
    outputs = running.tick()
    assert [output.topic for output in outputs] == ["credit", "inspections"]
    assert outputs[0].key == "a"


def test_a_slow_worker_judges_first_and_asks_when_it_has_seen_what_came_meanwhile(
    running: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching.JudgingRate, "keeps_up", lambda pace, frames: False)
    running.stage.process([running.frame("a"), running.frame("b")])
    outputs = running.tick()
    assert [output.topic for output in outputs] == ["inspections", "inspections"]
    assert select.select([running.stage.wake_fd], [], [], 0)[0]
    assert {output.key for output in running.tick()} == {"a", "b"}
    assert not select.select([running.stage.wake_fd], [], [], 0)[0]


def test_a_slow_worker_waits_a_little_for_a_full_batch(running: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching.JudgingRate, "keeps_up", lambda pace, frames: False)
    running.stage.process([running.frame("a"), running.frame("b")])
    running.tick()
    now_ns = time.monotonic_ns()
    running.tick(now_ns)  # both are asked
    running.stage.process([running.frame("a")])
    assert running.tick(now_ns + 1) == []
    assert len(inspections(running.tick(now_ns + batching.MAX_ANSWER_TIMEOUT_NS))) == 1


def test_frames_of_two_cameras_go_into_one_batch(running: Line) -> None:
    running.stage.process([running.frame("a"), running.frame("b", rectangle(black(), "red", (20, 30, 60, 40)))])
    found = {inspection.frame.id.camera: len(inspection.detections) for inspection in inspections(running.tick())}
    assert found == {"a": 0, "b": 1}


def test_no_credit_for_a_camera_whose_frame_is_waiting_and_the_loop_is_woken(running: Line) -> None:
    running.stage.process([running.frame("a") for _ in range(5)] + [running.frame("b") for _ in range(5)])
    outputs = running.tick()
    assert len(inspections(outputs)) == 4
    assert not [output for output in outputs if output.topic == "credit"]
    assert select.select([running.stage.wake_fd], [], [], 0)[0]
    outputs = running.tick()
    assert not [output for output in outputs if output.topic == "credit"]  # of each camera a frame is waiting
    assert len(inspections(outputs)) == 4
    outputs = running.tick()
    assert {output.key for output in outputs if output.topic == "credit"} == {"a", "b"}
    assert len(inspections(outputs)) == 2
    assert not select.select([running.stage.wake_fd], [], [], 0)[0]
    assert (running.totals("a").judged, running.totals("b").judged) == (5, 5)


def test_a_frame_for_an_earlier_life_is_ignored(running: Line) -> None:
    running.stage.process([running.frame("a", owner=OWNER - 1)])
    assert inspections(running.tick()) == []
    assert (running.totals().judged, running.totals().in_flight) == (0, 1)  # the supervisor's sweep takes it


def test_a_frame_that_was_swept_meanwhile_is_not_judged(running: Line) -> None:
    due = running.frame("a")
    running.keeper.sweep_owner(OWNER)
    running.stage.process([due])
    assert inspections(running.tick()) == []
    assert running.totals().dropped == {("inspect", "died"): 1}


def test_a_frame_whose_slot_was_written_again_is_dropped(running: Line) -> None:
    old = running.frame("a")
    fresh = [running.frame("a") for _ in range(SLOTS)]
    running.stage.process([old, fresh[-1]])
    judged = [inspection.frame.id.seq for inspection in inspections(running.tick())]
    assert judged == [SLOTS]
    assert running.totals().dropped == {("inspect", "overwritten"): 1}


def test_a_frame_that_points_nowhere_is_dropped(running: Line) -> None:
    due = running.frame("a")
    head = header("a", ledger_index=due.header.ledger_index, slot=None)
    running.stage.process([DueFrame(header=head, owner=OWNER, ticket=due.ticket)])
    assert inspections(running.tick()) == []
    assert running.totals().dropped == {("inspect", "failed"): 1}


def test_out_of_memory_halves_the_batch_and_loses_nothing(running: Line) -> None:
    running.set_script("fits", "1")
    running.stage.process([running.frame("a") for _ in range(4)])
    assert len(inspections(running.tick())) == 4
    running.stage.process([running.frame("a") for _ in range(2)])
    assert len(inspections(running.tick())) == 1  # the smaller batch is remembered
    assert len(inspections(running.tick())) == 1
    assert (running.totals().judged, running.totals().dropped) == (6, {})


def test_the_batch_grows_back(running: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    running.set_script("fits", "2")
    running.stage.process([running.frame("a") for _ in range(4)])
    running.tick()
    running.clear_script("fits")
    monkeypatch.setattr(batching, "GROW_AFTER_NS", 0)
    running.stage.process([running.frame("a")])
    running.tick()
    running.stage.process([running.frame("a") for _ in range(4)])
    assert len(inspections(running.tick())) == 4


def test_a_single_frame_that_does_not_fit_is_a_failed_model(running: Line) -> None:
    running.set_script("fits", "0")
    running.stage.process([running.frame("a")])
    outputs = running.tick()
    assert [condition.active for condition in conditions(outputs, ConditionKind.MODEL_FAILED)] == [True, True]
    assert running.totals().dropped == {("inspect", "failed"): 1}


def test_a_failed_model_is_reported_and_loaded_again_with_back_off(
    running: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_inspect.levels.CONDITION_REPEAT_S", 60.0)  # what is sent is news, not a repeat
    running.set_script("fail")
    running.tick(time.monotonic_ns() + 3 * S)
    running.stage.process([running.frame("a"), running.frame("b")])
    outputs = running.tick()
    begun = conditions(outputs, ConditionKind.MODEL_FAILED)
    assert {condition.camera for condition in begun} == {"a", "b"}
    assert all(condition.active and "the scripted model fails" in condition.detail for condition in begun)
    assert running.totals("b").dropped == {("inspect", "failed"): 1}

    running.stage.process([running.frame("a")])  # an answer to the credit that was out
    assert running.tick() == []  # the conditions have been told
    assert running.totals("a").dropped == {("inspect", "failed"): 2}

    now_ns = time.monotonic_ns()
    assert running.tick(now_ns + FIRST_RELOAD_NS + 1) == []  # fails again, quietly
    running.clear_script("fail")
    assert running.tick(now_ns + FIRST_RELOAD_NS + 2) == []  # not yet: twice as long this time
    outputs = running.tick(now_ns + 4 * FIRST_RELOAD_NS)  # loads, which is no sign yet that it can judge
    assert all(condition.active for condition in conditions(outputs, ConditionKind.MODEL_FAILED))
    running.stage.process([running.frame("a")])
    outputs = running.tick(now_ns + 5 * FIRST_RELOAD_NS)
    assert len(inspections(outputs)) == 1
    ended = conditions(outputs, ConditionKind.MODEL_FAILED)
    assert {(condition.camera, condition.active) for condition in ended} == {("a", False), ("b", False)}
    assert running.totals("a").residual == 0


def test_a_model_that_loads_again_and_fails_again_is_one_condition_and_not_many(running: Line) -> None:
    running.set_script("fits", "0")
    now_ns = time.monotonic_ns()
    told = []
    for turn in range(40):
        running.stage.process([running.frame("a")])
        told += conditions(running.tick(now_ns + turn * FIRST_RELOAD_NS // 2), ConditionKind.MODEL_FAILED)
    assert all(condition.active for condition in told)
    assert len({(condition.camera, condition.mono_ns) for condition in told}) == 2, "one for each camera"


def test_a_model_that_cannot_be_loaded_at_the_start_is_a_condition_too(line: Line) -> None:
    line.set_script("fail")
    line.stage.open()
    begun = conditions(line.tick(), ConditionKind.MODEL_FAILED)
    assert {(condition.camera, condition.active) for condition in begun} == {("a", True), ("b", True)}
    assert not line.tickets
    line.clear_script("fail")
    outputs = line.tick(time.monotonic_ns() + 2 * FIRST_RELOAD_NS)
    assert not any(condition.active for condition in conditions(outputs, ConditionKind.MODEL_FAILED))
    assert set(line.tickets) == {"a", "b"}


def test_how_things_stand_is_repeated_whether_it_changes_or_not(line: Line) -> None:
    line.stage.open()
    now_ns = time.monotonic_ns()
    told = [
        output.message
        for turn in range(9)
        for output in line.tick(now_ns + turn * round(CONDITION_REPEAT_S * S) // 4)
        if isinstance(output.message, Condition)
    ]
    each = [("a", "model_failed", False), ("b", "model_failed", False), ("", "prompts_refused", False)]
    assert [(condition.camera, condition.kind, condition.active) for condition in told] == each * 3
    assert {condition.source for condition in told} == {"inspect.0"}
    assert len({(condition.camera, condition.kind, condition.mono_ns) for condition in told}) == len(each)


def test_results_nobody_takes_are_kept_in_order_and_no_more_is_asked_for(running: Line) -> None:
    running.refuse = lambda output: output.topic == "inspections"
    running.stage.process([running.frame("a"), running.frame("a")])
    assert inspections(running.tick()) == []
    running.tickets.clear()
    running.stage.process([running.frame("a")])
    for _ in range(3):
        outputs = running.tick(time.monotonic_ns() + 2 * batching.RESEND_NS)
        assert {output.topic for output in outputs} <= {"conditions"}
    assert running.totals().judged == 0
    running.refuse = lambda output: False
    outputs = running.tick()
    assert [inspection.frame.id.seq for inspection in inspections(outputs)] == [1, 0, 2]
    assert (running.totals().judged, running.totals().residual) == (3, 0)


def test_the_memory_of_a_deleted_ring_is_freed_while_no_frames_come(
    running: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_inspect.transport.ring.UNMAP_EVERY_S", 0.02)
    running.stage.process([running.frame("a")])
    assert len(inspections(running.tick())) == 1
    path = str(running.folder / "a.ring")
    assert path in Path("/proc/self/maps").read_text()
    running.rings.pop("a").close()
    until_s = time.monotonic() + 5
    while path in Path("/proc/self/maps").read_text():
        assert time.monotonic() < until_s, "the ring is still mapped"
        time.sleep(0.01)


def test_a_result_with_masks_of_noise_is_sent_all_the_same(running: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        running.stage._model.inspector, "find", lambda pictures, cameras: [Found(noise(20), None) for _ in pictures]
    )
    running.stage.process([running.frame("a")])
    (inspection,) = inspections(running.tick())
    assert len(inspection.detections) == 20
    assert len(encode(inspection)) < MAX_MESSAGE_BYTES // 2
    assert running.totals().judged == 1


def test_frames_left_at_the_end_are_accounted_for(running: Line) -> None:
    running.refuse = lambda output: output.topic == "inspections"
    running.stage.process([running.frame("a")])
    running.tick()  # judged, but nobody took the result
    running.stage.process([running.frame("a")])
    running.stage.close()
    assert running.totals().dropped == {("inspect", "stopped"): 2}
    assert running.totals().in_flight == 0


def test_back_off_is_bounded(line: Line) -> None:
    line.set_script("fail")
    line.stage.open()
    now_ns = time.monotonic_ns()
    for _ in range(10):
        now_ns += LONGEST_RELOAD_NS + 1
        line.tick(now_ns)
    line.clear_script("fail")
    now_ns = time.monotonic_ns() + LONGEST_RELOAD_NS + 1
    assert not any(condition.active for condition in conditions(line.tick(now_ns), ConditionKind.MODEL_FAILED))
    assert line.tickets
