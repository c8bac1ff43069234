"""The inspect stage on a real ring and a real ledger, with a scripted model."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from stream_inspect import registry
from stream_inspect.config.load import load
from stream_inspect.config.watch import ConfigWatcher
from stream_inspect.inspect import batching, stage
from stream_inspect.inspect.prompts import prompts_hash
from stream_inspect.inspect.stage import CONFIG_POLL_NS, FIRST_RELOAD_NS, InspectStage
from stream_inspect.messages import (
    MAX_MESSAGE_BYTES,
    Condition,
    ConditionKind,
    Credit,
    DueFrame,
    Inspection,
    Output,
    encode,
)
from stream_inspect.picture import Picture, UInt8Array
from stream_inspect.transport.ledger import Ledger, LedgerKeeper, Totals
from stream_inspect.transport.ring import RingWriter
from tests.inspect.frames import header
from tests.inspect.scripted import black, rectangle
from tests.inspect.test_wire_size import noise

OWNER = 7
CAPTURE_OWNER = 1
SLOTS = 8


class Line:
    """Two cameras' rings and ledger, a configuration file, and a worker; frames are sent to it as capture would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = folder / "model"
        self.model.mkdir()
        self.config_path = folder / "line.yaml"
        self.write_config()
        self.ledger = Ledger.create(folder / "ledger", ["a", "b"])
        self.keeper = LedgerKeeper(self.ledger)
        self.rings = {name: RingWriter(folder / f"{name}.ring", SLOTS, 160, 120) for name in "ab"}
        self.seq = dict.fromkeys("ab", -1)
        self.tickets: dict[str, int] = {}
        self.stage = self.new_stage()
        self.refuse: Callable[[Output], bool] = lambda output: False
        self.ahead_ns = 0
        """How far the time that the stage is told is ahead."""

    def write_config(self, *, threshold: float = 0.5, counter_prompts: Sequence[str] = (), **more: object) -> None:
        """Replace the file, as editors do. `more` are further keys."""
        tree = {
            **more,
            "version": 1,
            "cameras": [{"name": name, "source": {"kind": "synthetic"}} for name in "ab"],
            "defects": [
                {
                    "name": "red-spot",
                    "prompts": ["red"],
                    "counter_prompts": list(counter_prompts),
                    "threshold": threshold,
                }
            ],
            "inspect": {
                "detector": {"kind": "scripted", "model": str(self.model)},
                "segmenter": None,
                "batch_max_frames": 4,
            },
        }
        replacement = self.config_path.with_suffix(".new")
        replacement.write_text(json.dumps(tree))
        replacement.replace(self.config_path)

    def new_stage(self) -> InspectStage:
        config = load(self.config_path)
        return InspectStage(
            config,
            worker="inspect.0",
            worker_index=0,
            owner=OWNER,
            ledger=self.ledger,
            ring_dir=self.folder,
            watcher=ConfigWatcher(self.config_path, current=config),
        )

    def frame(self, camera: str, picture: UInt8Array | None = None, *, owner: int = OWNER) -> DueFrame:
        """A frame of this camera, captured, in the ring, and sent to the worker."""
        self.seq[camera] += 1
        ring, ledger = self.rings[camera], self.ledger.camera(camera)
        index = ledger.captured(CAPTURE_OWNER)
        rgb = black() if picture is None else picture
        ring.begin()[:] = Picture.from_bgr(np.ascontiguousarray(rgb[..., ::-1])).i420
        slot = ring.commit()
        assert ledger.sent(index, owner)
        head = header(camera, seq=self.seq[camera], capture_mono_ns=time.monotonic_ns(), slot=slot, ledger_index=index)
        return DueFrame(header=head, owner=owner, ticket=self.tickets.get(camera, 0))

    def tick(self, now_mono_ns: int | None = None) -> list[Output]:
        """One turn of the loop: what was sent, in order."""
        sent = []
        for output in self.stage.tick((now_mono_ns or time.monotonic_ns()) + self.ahead_ns):
            if self.refuse(output):
                self.stage.undelivered(output)
                continue
            sent.append(output)
            if isinstance(output.message, Credit):
                self.tickets[output.key] = output.message.ticket
        return sent

    def totals(self, camera: str = "a") -> Totals:
        return self.keeper.collect()[camera]

    def set_script(self, name: str, text: str = "") -> None:
        (self.model / name).write_text(text)

    def clear_script(self, name: str) -> None:
        (self.model / name).unlink()


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setitem(registry.BUILT_IN["detector"], "scripted", "tests.inspect.scripted:ScriptedPlugin")
    line = Line(tmp_path)
    yield line
    line.stage.close()
    for ring in line.rings.values():
        ring.close()


@pytest.fixture
def running(line: Line) -> Line:
    """The stage is open, has sent its first conditions and given its first credit, and waits for no camera any more."""
    line.stage.open()
    outputs = line.tick()
    assert {output.key for output in outputs if output.topic == "credit"} == {"a", "b"}
    line.ahead_ns = batching.MOST_PATIENCE_NS
    return line


def _inspections(outputs: list[Output]) -> list[Inspection]:
    return [output.message for output in outputs if isinstance(output.message, Inspection)]


def _conditions(outputs: list[Output], kind: ConditionKind) -> list[Condition]:
    found = [output.message for output in outputs if isinstance(output.message, Condition)]
    return [condition for condition in found if condition.kind is kind]


def test_a_due_frame_is_judged_and_accounted_for(running: Line) -> None:
    due = running.frame("a", rectangle(black(), "red", (20, 30, 60, 40)))
    running.stage.process([due])
    (inspection,) = _inspections(running.tick())
    assert inspection.frame == due.header
    assert [(hit.defect, hit.box_xyxy_px) for hit in inspection.detections] == [("red-spot", (20, 30, 60, 40))]
    assert inspection.prompts_hash == prompts_hash(load(running.config_path).defects)
    assert len(inspection.model_hash) == 64
    assert (running.totals().judged, running.totals().in_flight, running.totals().residual) == (1, 0, 0)


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
    assert len(_inspections(running.tick(now_ns + batching.MOST_PATIENCE_NS))) == 1


def test_frames_of_two_cameras_go_into_one_batch(running: Line) -> None:
    running.stage.process([running.frame("a"), running.frame("b", rectangle(black(), "red", (20, 30, 60, 40)))])
    found = {inspection.frame.id.camera: len(inspection.detections) for inspection in _inspections(running.tick())}
    assert found == {"a": 0, "b": 1}


def test_no_credit_for_a_camera_whose_frame_is_waiting_and_the_loop_is_woken(running: Line) -> None:
    running.stage.process([running.frame("a") for _ in range(5)] + [running.frame("b") for _ in range(5)])
    outputs = running.tick()
    assert len(_inspections(outputs)) == 4
    assert not [output for output in outputs if output.topic == "credit"]
    assert select.select([running.stage.wake_fd], [], [], 0)[0]
    outputs = running.tick()
    assert not [output for output in outputs if output.topic == "credit"]  # of each camera a frame is waiting
    assert len(_inspections(outputs)) == 4
    outputs = running.tick()
    assert {output.key for output in outputs if output.topic == "credit"} == {"a", "b"}
    assert len(_inspections(outputs)) == 2
    assert not select.select([running.stage.wake_fd], [], [], 0)[0]
    assert (running.totals("a").judged, running.totals("b").judged) == (5, 5)


def test_a_frame_for_an_earlier_life_is_ignored(running: Line) -> None:
    running.stage.process([running.frame("a", owner=OWNER - 1)])
    assert _inspections(running.tick()) == []
    assert (running.totals().judged, running.totals().in_flight) == (0, 1)  # the supervisor's sweep takes it


def test_a_frame_that_was_swept_meanwhile_is_not_judged(running: Line) -> None:
    due = running.frame("a")
    running.keeper.sweep_owner(OWNER)
    running.stage.process([due])
    assert _inspections(running.tick()) == []
    assert running.totals().dropped == {("inspect", "died"): 1}


def test_a_frame_whose_slot_was_written_again_is_dropped(running: Line) -> None:
    old = running.frame("a")
    fresh = [running.frame("a") for _ in range(SLOTS)]
    running.stage.process([old, fresh[-1]])
    judged = [inspection.frame.id.seq for inspection in _inspections(running.tick())]
    assert judged == [SLOTS]
    assert running.totals().dropped == {("inspect", "overwritten"): 1}


def test_a_frame_that_points_nowhere_is_dropped(running: Line) -> None:
    due = running.frame("a")
    head = header("a", ledger_index=due.header.ledger_index, slot=None)
    running.stage.process([DueFrame(header=head, owner=OWNER, ticket=due.ticket)])
    assert _inspections(running.tick()) == []
    assert running.totals().dropped == {("inspect", "failed"): 1}


def test_out_of_memory_halves_the_batch_and_loses_nothing(running: Line) -> None:
    running.set_script("fits", "1")
    running.stage.process([running.frame("a") for _ in range(4)])
    assert len(_inspections(running.tick())) == 4
    running.stage.process([running.frame("a") for _ in range(2)])
    assert len(_inspections(running.tick())) == 1  # the smaller batch is remembered
    assert len(_inspections(running.tick())) == 1
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
    assert len(_inspections(running.tick())) == 4


def test_a_single_frame_that_does_not_fit_is_a_failed_model(running: Line) -> None:
    running.set_script("fits", "0")
    running.stage.process([running.frame("a")])
    outputs = running.tick()
    assert [condition.active for condition in _conditions(outputs, ConditionKind.MODEL_FAILED)] == [True, True]
    assert running.totals().dropped == {("inspect", "failed"): 1}


def test_a_failed_model_is_told_of_and_loaded_again_with_back_off(running: Line) -> None:
    running.set_script("fail")
    running.stage.process([running.frame("a"), running.frame("b")])
    outputs = running.tick()
    begun = _conditions(outputs, ConditionKind.MODEL_FAILED)
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
    assert all(condition.active for condition in _conditions(outputs, ConditionKind.MODEL_FAILED))
    running.stage.process([running.frame("a")])
    outputs = running.tick(now_ns + 5 * FIRST_RELOAD_NS)
    assert len(_inspections(outputs)) == 1
    ended = _conditions(outputs, ConditionKind.MODEL_FAILED)
    assert {(condition.camera, condition.active) for condition in ended} == {("a", False), ("b", False)}
    assert running.totals("a").residual == 0


def test_a_model_that_loads_again_and_fails_again_is_one_condition_and_not_many(running: Line) -> None:
    running.set_script("fits", "0")
    now_ns = time.monotonic_ns()
    told = []
    for turn in range(40):
        running.stage.process([running.frame("a")])
        told += _conditions(running.tick(now_ns + turn * FIRST_RELOAD_NS // 2), ConditionKind.MODEL_FAILED)
    assert all(condition.active for condition in told)
    assert len({condition.mono_ns for condition in told}) == 1


def test_a_model_that_cannot_be_loaded_at_the_start_is_a_condition_too(line: Line) -> None:
    line.set_script("fail")
    line.stage.open()
    begun = _conditions(line.tick(), ConditionKind.MODEL_FAILED)
    assert {(condition.camera, condition.active) for condition in begun} == {("a", True), ("b", True)}
    assert not line.tickets
    line.clear_script("fail")
    outputs = line.tick(time.monotonic_ns() + 2 * FIRST_RELOAD_NS)
    assert not any(condition.active for condition in _conditions(outputs, ConditionKind.MODEL_FAILED))
    assert set(line.tickets) == {"a", "b"}


def test_how_things_stand_is_repeated_whether_it_changes_or_not(line: Line) -> None:
    line.stage.open()
    now_ns = time.monotonic_ns()
    told = [
        output.message
        for turn in range(9)
        for output in line.tick(now_ns + turn * stage.CONDITIONS_NS // 4)
        if isinstance(output.message, Condition)
    ]
    each = [("a", "model_failed", False), ("b", "model_failed", False), ("", "prompts_refused", False)]
    assert [(condition.camera, condition.kind, condition.active) for condition in told] == each * 3
    assert {condition.source for condition in told} == {"inspect.0"}
    assert len({condition.mono_ns for condition in told if condition.kind is ConditionKind.MODEL_FAILED}) == 1


def test_results_nobody_takes_are_kept_in_order_and_no_more_is_asked_for(running: Line) -> None:
    running.refuse = lambda output: output.topic == "inspections"
    running.stage.process([running.frame("a"), running.frame("a")])
    assert _inspections(running.tick()) == []
    running.tickets.clear()
    running.stage.process([running.frame("a")])
    for _ in range(3):
        outputs = running.tick(time.monotonic_ns() + 2 * batching.RESEND_NS)
        assert {output.topic for output in outputs} <= {"conditions"}
    assert running.totals().judged == 0
    running.refuse = lambda output: False
    outputs = running.tick()
    assert [inspection.frame.id.seq for inspection in _inspections(outputs)] == [1, 0, 2]
    assert (running.totals().judged, running.totals().residual) == (3, 0)


def test_the_memory_of_a_ring_that_is_gone_is_given_back(running: Line) -> None:
    running.stage.process([running.frame("a")])
    assert len(_inspections(running.tick())) == 1
    path = str(running.folder / "a.ring")
    assert path in Path("/proc/self/maps").read_text()
    running.rings.pop("a").close()
    running.tick(time.monotonic_ns() + stage.FORGET_RINGS_NS)
    assert path not in Path("/proc/self/maps").read_text()


def test_a_result_with_masks_of_noise_is_sent_all_the_same(running: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.stage._inspector, "judge", lambda pictures, cameras: [noise(20) for _ in pictures])
    running.stage.process([running.frame("a")])
    (inspection,) = _inspections(running.tick())
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


def _wait_for_poll(line: Line) -> list[Output]:
    """Tick until the watcher's settling time has passed."""
    outputs: list[Output] = []
    until = time.monotonic() + 0.4
    while time.monotonic() < until:
        line.ahead_ns += CONFIG_POLL_NS
        outputs += line.tick()
        time.sleep(0.02)
    return outputs


def test_new_prompts_count_from_the_next_frame_on(running: Line) -> None:
    weak = rectangle(black(), "red", (20, 30, 60, 40), value=100)
    running.stage.process([running.frame("a", weak)])
    (before,) = _inspections(running.tick())
    assert before.detections == []
    running.write_config(threshold=0.3)
    running.tick(time.monotonic_ns() + CONFIG_POLL_NS)
    running.stage.process([running.frame("a", weak)])
    (after,) = _inspections(running.tick())
    assert len(after.detections) == 1
    assert after.prompts_hash != before.prompts_hash


def test_a_wrong_configuration_is_refused_whole_with_the_reason_until_it_is_put_right(running: Line) -> None:
    weak = rectangle(black(), "red", (20, 30, 60, 40), value=100)
    running.write_config(threshold=0.3, no_such_key=1)
    begun = _conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1]
    assert (begun.camera, begun.active) == ("", True)
    assert "no_such_key" in begun.detail
    running.stage.process([running.frame("a", weak)])
    assert _inspections(running.tick())[0].detections == []

    running.write_config(threshold=0.3)
    ended = _conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1]
    assert not ended.active
    running.stage.process([running.frame("a", weak)])
    assert len(_inspections(running.tick())[0].detections) == 1


def test_putting_the_old_configuration_back_ends_the_condition_too(running: Line) -> None:
    running.write_config(no_such_key=1)
    assert _conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1].active
    running.write_config()
    assert not _conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1].active


def test_defects_that_contradict_themselves_are_refused(running: Line) -> None:
    running.write_config(counter_prompts=["red"])
    begun = _conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1]
    assert begun.active
    assert "as prompt and as counter-prompt" in begun.detail
    assert all(c.active for c in _conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED))  # it lasts
    running.write_config(threshold=0.31)
    ended = _conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1]
    assert not ended.active


def test_refused_defects_stay_refused_when_the_file_was_broken_meanwhile(running: Line) -> None:
    running.write_config(counter_prompts=["red"])
    _wait_for_poll(running)
    running.write_config(counter_prompts=["red"], no_such_key=1)
    assert "no_such_key" in _conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1].detail
    running.write_config(counter_prompts=["red"])
    told = _conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1]
    assert told.active
    assert "as prompt and as counter-prompt" in told.detail


def test_only_one_worker_speaks_of_the_configuration(line: Line) -> None:
    config = load(line.config_path)
    inspect = config.inspect.model_copy(update={"workers": [config.inspect.workers[0]] * 2})
    line.stage = InspectStage(
        config.model_copy(update={"inspect": inspect}),
        worker="inspect.1",
        worker_index=1,
        owner=OWNER,
        ledger=line.ledger,
        ring_dir=line.folder,
        watcher=ConfigWatcher(line.config_path, current=config),
    )
    line.stage.open()
    line.write_config(no_such_key=1)
    assert _conditions(_wait_for_poll(line), ConditionKind.PROMPTS_REFUSED) == []


def test_back_off_is_bounded(line: Line) -> None:
    line.set_script("fail")
    line.stage.open()
    now_ns = time.monotonic_ns()
    for _ in range(10):
        now_ns += stage.LONGEST_RELOAD_NS + 1
        line.tick(now_ns)
    line.clear_script("fail")
    now_ns = time.monotonic_ns() + stage.LONGEST_RELOAD_NS + 1
    assert not any(condition.active for condition in _conditions(line.tick(now_ns), ConditionKind.MODEL_FAILED))
    assert line.tickets
