"""A changed configuration file: used from the next frame on, or rejected whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, get_args

import pytest
import structlog.testing

from stream_inspect.config.adopted import Adopted
from stream_inspect.config.base import RELOADABLE, Model
from stream_inspect.config.load import load
from stream_inspect.config.models import Config
from stream_inspect.config.watch import ConfigWatcher
from stream_inspect.inspect import batching
from stream_inspect.inspect.defects_follower import CONFIG_POLL_NS
from stream_inspect.inspect.stage import InspectStage
from stream_inspect.messages import ConditionKind, Detection, Output
from stream_inspect.picture import UInt8Array
from stream_inspect.service.build import BUILDERS, ProcessContext
from stream_inspect.service.plan import plan
from stream_inspect.service.run_dir import adopted_path
from tests.inspect.scripted import black, rectangle
from tests.inspect.worker_line import OWNER, Line, conditions, inspections


def _wait_for_poll(line: Line) -> list[Output]:
    """Tick until the watcher's settling time has passed, twenty times even where the machine is slow."""
    outputs: list[Output] = []
    for _ in range(20):
        line.ahead_ns += CONFIG_POLL_NS
        outputs += line.tick()
        time.sleep(0.02)
    return outputs


def _judged(line: Line, picture: UInt8Array) -> list[Detection]:
    """What the worker finds in a picture."""
    line.stage.process([line.frame("a", picture)])
    (inspection,) = inspections(line.tick())
    return inspection.detections


def _painted(**boxes: tuple[tuple[int, int, int, int], int]) -> UInt8Array:
    picture = black()
    for colour, (box, value) in boxes.items():
        rectangle(picture, colour, box, value)
    return picture


RED = _painted(red=((20, 30, 60, 40), 255))  # 400 px², 100 mm²
RED_AND_SOME_GREEN = _painted(red=((20, 30, 60, 40), 180), green=((20, 30, 60, 40), 250))
OVERLAPPING = _painted(red=((20, 20, 60, 60), 255), blue=((44, 20, 84, 60), 255))
APART = _painted(red=((20, 20, 40, 40), 255), blue=((100, 20, 120, 40), 255))
TWO_COLOURS = {"prompts": ["red", "blue"]}
PROOFS: dict[str, tuple[UInt8Array, Mapping[str, Any], Mapping[str, Any], Callable[[Detection], object], Any, Any]] = {
    "defects[].name": (RED, {}, {"defect": {"name": "spot"}}, lambda hit: hit.defect, ["red-spot"], ["spot"]),
    "defects[].prompts": (RED, {}, {"defect": {"prompts": ["green"]}}, lambda hit: hit.defect, ["red-spot"], []),
    "defects[].counter_prompts": (
        RED_AND_SOME_GREEN,
        {},
        {"defect": {"counter_prompts": ["green"]}},
        lambda hit: hit.defect,
        ["red-spot"],
        [],
    ),
    "defects[].threshold": (
        RED_AND_SOME_GREEN,
        {},
        {"defect": {"threshold": 0.9}},
        lambda hit: hit.defect,
        ["red-spot"],
        [],
    ),
    "defects[].min_area_px": (RED, {}, {"defect": {"min_area_px": 500}}, lambda hit: hit.defect, ["red-spot"], []),
    "defects[].min_area_mm2": (RED, {}, {"defect": {"min_area_mm2": 150}}, lambda hit: hit.defect, ["red-spot"], []),
    "defects[].severity": (RED, {}, {"defect": {"severity": "minor"}}, lambda hit: hit.severity, ["major"], ["minor"]),
    "inspect.fuse_overlap": (
        OVERLAPPING,
        {"defect": TWO_COLOURS},
        {"defect": TWO_COLOURS, "inspect": {"fuse_overlap": 0.9}},
        lambda hit: hit.defect,
        ["red-spot"],
        ["red-spot", "red-spot"],
    ),
    "inspect.max_detections": (
        APART,
        {"defect": TWO_COLOURS},
        {"defect": TWO_COLOURS, "inspect": {"max_detections": 1}},
        lambda hit: hit.defect,
        ["red-spot", "red-spot"],
        ["red-spot"],
    ),
}
"""For each reloadable key: a picture, the file before and after a change, and what is found in the picture then."""


def _reloadable_keys(model: type[Model] = Config, above: str = "") -> set[str]:
    keys: set[str] = set()
    for name, field in model.model_fields.items():
        marked = field.json_schema_extra == RELOADABLE
        (item,) = get_args(field.annotation)[:1] or (None,)
        if marked and isinstance(item, type) and issubclass(item, Model):
            keys |= {f"{above}{name}[].{key}" for key in item.model_fields}
        elif marked:
            keys.add(f"{above}{name}")
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Model):
            keys |= _reloadable_keys(field.annotation, f"{above}{name}.")
    return keys


def test_every_key_that_is_marked_reloadable_has_a_proof() -> None:
    assert _reloadable_keys() == PROOFS.keys()


@pytest.mark.parametrize("key", PROOFS)
def test_a_reloadable_key_takes_effect_from_the_next_frame_on_and_the_log_says_so(line: Line, key: str) -> None:
    picture, before, after, look, found_before, found_after = PROOFS[key]
    line.write_config(**before)
    line.stage = line.new_stage()
    line.stage.open()
    line.tick()
    line.ahead_ns = batching.MAX_ANSWER_TIMEOUT_NS
    assert [look(hit) for hit in _judged(line, picture)] == found_before
    line.write_config(**after)
    line.ahead_ns += CONFIG_POLL_NS
    with structlog.testing.capture_logs() as logs:
        assert [look(hit) for hit in _judged(line, picture)] == found_after
    (entry,) = logs
    named = ["defects[red-spot]", "defects[spot]"] if key == "defects[].name" else [key.replace("[]", "[red-spot]")]
    assert (entry["event"], entry["log_level"]) == ("configuration reloaded", "info")
    assert (entry["applied"], entry["needs_restart"]) == (named, [])


def test_the_log_names_the_keys_that_wait_for_a_restart_until_they_are_put_back(running: Line) -> None:
    def logged(**changes: Any) -> tuple[list[str], list[str]]:
        running.write_config(**changes)
        running.ahead_ns += CONFIG_POLL_NS
        with structlog.testing.capture_logs() as logs:
            running.tick()
        (entry,) = logs
        return entry["applied"], entry["needs_restart"]

    rule, threshold = {"confirm_hits": 3}, {"threshold": 0.4}
    assert logged(decide=rule, defect=threshold) == (["defects[red-spot].threshold"], ["decide.confirm_hits"])
    assert logged(decide=rule, defect=threshold, web={"port": 0}) == ([], ["decide.confirm_hits", "web.port"])
    assert logged(defect=threshold) == ([], [])


def test_a_rejected_configuration_is_logged_with_its_error(running: Line) -> None:
    running.write_config(defect={"prompts": ["red" * 20]})
    running.ahead_ns += CONFIG_POLL_NS
    with structlog.testing.capture_logs() as logs:
        running.tick()
    (entry,) = logs
    assert (entry["event"], entry["log_level"]) == ("new configuration rejected; keeping the current one", "warning")
    assert "is too long" in entry["error"]


def test_new_prompts_count_from_the_next_frame_on(running: Line) -> None:
    weak = rectangle(black(), "red", (20, 30, 60, 40), value=100)
    running.stage.process([running.frame("a", weak)])
    (before,) = inspections(running.tick())
    assert before.detections == []
    running.write_config(defect={"threshold": 0.3})
    running.tick(time.monotonic_ns() + CONFIG_POLL_NS)
    running.stage.process([running.frame("a", weak)])
    (after,) = inspections(running.tick())
    assert len(after.detections) == 1
    assert after.prompts_hash != before.prompts_hash


def test_a_wrong_configuration_is_refused_whole_with_the_reason_until_it_is_put_right(running: Line) -> None:
    weak = rectangle(black(), "red", (20, 30, 60, 40), value=100)
    running.write_config(defect={"threshold": 0.3}, no_such_key=1)
    begun = conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1]
    assert (begun.camera, begun.active) == ("", True)
    assert "no_such_key" in begun.detail
    running.stage.process([running.frame("a", weak)])
    assert inspections(running.tick())[0].detections == []

    running.write_config(defect={"threshold": 0.3})
    ended = conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1]
    assert not ended.active
    running.stage.process([running.frame("a", weak)])
    assert len(inspections(running.tick())[0].detections) == 1


def test_putting_the_old_configuration_back_ends_the_condition_too(running: Line) -> None:
    running.write_config(no_such_key=1)
    assert conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1].active
    running.write_config()
    assert not conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1].active


UNUSABLE = pytest.mark.parametrize(
    ("defect", "reason"),
    [
        ({"counter_prompts": ["red"]}, "as prompt and as counter-prompt"),  # seen when the file is read
        ({"prompts": ["red" * 20]}, "is too long"),  # seen by the detector alone
    ],
)


@UNUSABLE
def test_defects_that_cannot_be_used_are_refused(running: Line, defect: dict[str, Any], reason: str) -> None:
    running.write_config(defect=defect)
    begun = conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1]
    assert begun.active
    assert reason in begun.detail
    assert all(c.active for c in conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED))  # it lasts
    running.write_config(defect={"threshold": 0.31})
    ended = conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1]
    assert not ended.active


@UNUSABLE
def test_refused_defects_stay_refused_when_the_file_was_broken_meanwhile(
    running: Line, defect: dict[str, Any], reason: str
) -> None:
    running.write_config(defect=defect)
    _wait_for_poll(running)
    running.write_config(defect=defect, no_such_key=1)
    assert "no_such_key" in conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1].detail
    running.write_config(defect=defect)
    reported = conditions(_wait_for_poll(running), ConditionKind.PROMPTS_REFUSED)[-1]
    assert reported.active
    assert reason in reported.detail


def test_a_model_that_cannot_use_the_prompts_is_loaded_once_and_waits_for_others(line: Line) -> None:
    line.write_config(defect={"prompts": ["red" * 20]})
    line.stage = line.new_stage()
    with structlog.testing.capture_logs() as logs:
        line.stage.open()
        for _ in range(20):
            line.ahead_ns += 60 * 10**9  # far beyond every back-off
            failed = conditions(line.tick(), ConditionKind.MODEL_FAILED)
    assert [entry["event"] for entry in logs] == [
        "loading models",
        "models ready",
        "prompts unusable; waiting for others",
    ]
    assert [(each.camera, each.active) for each in failed] == [("a", True), ("b", True)]
    assert "inspect.0: the prompt 'redred" in failed[0].detail

    line.write_config()
    line.ahead_ns += CONFIG_POLL_NS
    with structlog.testing.capture_logs() as logs:
        outputs = line.tick()
    assert [entry["event"] for entry in logs] == ["configuration reloaded"]
    assert not any(each.active for each in conditions(outputs, ConditionKind.MODEL_FAILED))
    line.ahead_ns += batching.MAX_ANSWER_TIMEOUT_NS
    assert [hit.defect for hit in _judged(line, RED)] == ["red-spot"]


def test_a_restarted_worker_judges_with_what_was_adopted_while_the_file_is_wrong(line: Line) -> None:
    """It judged with the defects of the start of the run, until the file was put right."""
    at_start = load(line.config_path)
    row = plan(at_start).row("inspect.0")

    def built() -> InspectStage:
        stage = BUILDERS["inspect"](
            ProcessContext(at_start, line.config_path, (), run_dir=line.folder, owner=OWNER), row
        )
        assert isinstance(stage, InspectStage)
        stage.open()
        return stage

    weak = rectangle(black(), "red", (20, 30, 60, 40), value=100)
    line.stage = built()
    line.write_config(defect={"threshold": 0.3}, inspect={"max_detections": 7}, decide={"confirm_hits": 3})
    _wait_for_poll(line)
    line.stage.close()
    line.write_config(no_such_key=1)
    line.stage = built()
    line.tickets.clear()
    until = time.monotonic() + 30
    while not any(level.active for level in conditions(_wait_for_poll(line), ConditionKind.PROMPTS_REFUSED)):
        assert time.monotonic() < until
    assert len(_judged(line, weak)) == 1
    kept = Adopted(adopted_path(line.folder)).into(at_start)
    assert (kept.inspect.max_detections, kept.decide.confirm_hits) == (7, at_start.decide.confirm_hits)
    line.write_config()
    _wait_for_poll(line)
    assert _judged(line, weak) == [], "the file is right again"


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
    assert conditions(_wait_for_poll(line), ConditionKind.PROMPTS_REFUSED) == []
