"""The plan is a table computed from the configuration, and nothing else."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

from stream_inspect.alerts.stage import CLOSE_S as ALERTS_CLOSE_S
from stream_inspect.config.models import Config
from stream_inspect.record.media_store import _CLOSE_WITHIN_S as MEDIA_CLOSE_S
from stream_inspect.record.stage import _CLOSE_BUDGET_S as ENCODING_CLOSE_S
from stream_inspect.service import conditions, supervisor
from stream_inspect.service.build import BUILDERS
from stream_inspect.service.plan import SUPERVISOR, SUPERVISOR_READS, SUPERVISOR_WRITES, Plan, Row, plan
from stream_inspect.stopping import DRAIN_S, OUTPUT_CLOSE_S, RECORDER_CLOSE_S
from stream_inspect.store.database import BUSY_TIMEOUT_S
from stream_inspect.topics import TOPICS, Delivery
from stream_inspect.web.stage import _STOP_WITHIN_S as WEB_CLOSE_S


def config(**changes: Any) -> Config:
    return Config.model_validate(
        {
            "version": 1,
            "cameras": [
                {"name": "top", "source": {"kind": "synthetic"}},
                {"name": "side", "source": {"kind": "synthetic", "seed": 2}},
            ],
            "defects": [{"name": "hole", "prompts": ["hole"]}],
            "alerts": [{"kind": "file"}],
            "inputs": [{"kind": "modbus", "name": "plc", "host": "plc.example", "encoder": {"address": 100}}],
            **changes,
        }
    )


def test_every_row_has_a_builder_and_only_known_topics():
    for row in plan(config()).rows:
        assert row.stage in BUILDERS
        assert {topic for topic, _ in row.reads} <= TOPICS.keys()
        assert set(row.writes) <= TOPICS.keys()


def test_every_topic_that_is_written_is_read_and_the_other_way_round():
    rows = plan(config()).rows
    written = {*SUPERVISOR_WRITES, *(topic for row in rows for topic in row.writes)}
    read = {*SUPERVISOR_READS, *(topic for row in rows for topic, _ in row.reads)}
    assert written == read == TOPICS.keys()


def test_readers_start_before_writers():
    names = [row.name for row in plan(config()).rows]
    assert names.index("track") < names.index("inspect.0") < names.index("capture.top") < names.index("capture.side")


def test_one_row_for_each_camera_and_each_inspect_worker():
    rows = plan(config(inspect={"workers": [{"device": "cuda:0"}, {"device": "cuda:1"}]})).rows
    assert [row.unit for row in rows if row.stage == "capture"] == ["top", "side"]
    assert [row.unit for row in rows if row.stage == "inspect"] == ["inspect.0", "inspect.1"]


@pytest.mark.parametrize(
    ("change", "absent"),
    [
        ({"web": {"enabled": False}}, {"web", "live"}),
        ({"recorder": {"enabled": False}}, {"recorder"}),
        ({"alerts": []}, {"alerts"}),
        ({"inputs": []}, {"plant"}),
    ],
)
def test_what_is_switched_off_has_no_process(change: dict[str, Any], absent: set[str]):
    everything = {row.name for row in plan(config()).rows}
    assert {row.name for row in plan(config(**change)).rows} == everything - absent


def test_a_reader_of_frames_connects_to_every_camera():
    assert plan(config()).writers()["frames"] == ["capture.top", "capture.side"]


def test_a_row_is_found_by_its_name_and_an_unknown_name_is_a_key_error():
    assert plan(config()).row("track").stage == "track"
    with pytest.raises(KeyError, match="gate"):
        plan(config()).row("gate")


def names(rows: tuple[Row, ...]) -> list[str]:
    return [row.name for row in rows]


def test_the_cameras_stop_first_then_what_they_feed_and_the_outputs_last():
    two_workers = plan(config(inspect={"workers": [{}, {}]}))
    assert [names(group) for group in two_workers.stop_groups()] == [
        ["capture.side", "capture.top", "plant"],
        ["inspect.1", "inspect.0"],
        ["track"],
        ["alerts", "recorder", "live", "web"],
    ]


def test_a_whole_stop_takes_seven_seconds_at_most_and_two_and_a_half_where_no_clip_is_left_to_write():
    shares_s = [max(row.stop_share_s for row in group) for group in plan(config()).stop_groups()]
    assert shares_s == [0.5, 0.8, 0.4, 5.2]
    without_recorder = plan(config(recorder={"enabled": False})).stop_groups()
    assert [max(row.stop_share_s for row in group) for group in without_recorder] == [0.5, 0.8, 0.4, 0.8]


def made_up(**changes: Any) -> Row:
    return Row("gate", "gate", **{"reads": (), "writes": (), "stop_group": "gate", "stop_share_s": 0.3, **changes})


def test_what_lives_with_the_line_does_not_stop_with_the_run():
    rows = (*plan(config()).rows, made_up(lives="line"))
    assert Plan(rows).stop_groups() == plan(config()).stop_groups()


def test_only_the_topics_of_what_lives_with_the_line_outlive_the_run():
    assert plan(config()).line_topics() == set()
    gate = made_up(reads=(("events", ""), ("due", "gate")), writes=("conditions",), lives="line")
    assert Plan((*plan(config()).rows, gate)).line_topics() == {"events", "due", "conditions"}


def test_cameras_wait_for_those_who_judge_and_track_and_not_for_the_outputs():
    two_workers = plan(config(inspect={"workers": [{}, {}]}))
    sources = [row for row in two_workers.rows if row.source]
    assert names(tuple(sources)) == ["capture.top", "capture.side"]
    for row in sources:
        assert two_workers.downstream(row) == {"inspect.0", "inspect.1", "track"}


def test_the_supervisor_and_the_maker_of_events_hear_of_every_condition():
    """Both of the same ones: health, the line's status and the events never disagree."""
    line = plan(config())
    assert TOPICS["conditions"].delivery is Delivery.BROADCAST
    assert line.readers("conditions") == {"track"}
    assert set(line.writers()["conditions"]) == {
        SUPERVISOR, "recorder", "alerts", "track", "inspect.0", "plant", "capture.top", "capture.side",
    }  # fmt: skip


def test_the_plan_reads_as_a_table():
    assert "capture.top" in str(plan(config()))
    assert "credit[top]" in str(plan(config()))


def test_no_process_counts_as_hung_while_it_waits_for_a_locked_event_log():
    assert min(row.silent_limit_s for row in plan(config()).rows) > BUSY_TIMEOUT_S


def test_every_stage_has_time_to_close_after_it_has_worked_off_its_mailbox():
    rows = plan(config()).rows
    assert all(row.stop_share_s > DRAIN_S for row in rows)
    shares_s = {row.name: row.stop_share_s for row in rows if row.stop_group == "outputs"}
    assert shares_s.pop("recorder") == DRAIN_S + RECORDER_CLOSE_S
    assert set(shares_s.values()) == {DRAIN_S + OUTPUT_CLOSE_S}
    assert MEDIA_CLOSE_S + ENCODING_CLOSE_S < RECORDER_CLOSE_S
    assert max(ALERTS_CLOSE_S, WEB_CLOSE_S) < OUTPUT_CLOSE_S


def test_the_supervisor_names_no_stage():
    """What it has to know of a process stands in the process's row: a new stage is then treated like every other."""
    for module in (supervisor, conditions):
        strings = {
            node.value for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Constant)
        }
        assert strings.isdisjoint(BUILDERS), module
