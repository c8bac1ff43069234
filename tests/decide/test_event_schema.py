"""The schema that receivers of alerts hold on to: committed, up to date, and true of real events."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from stream_inspect.decide.event_log import MemoryLog
from stream_inspect.decide.event_schema import event_schema
from stream_inspect.decide.stage import DecideStage
from stream_inspect.messages import Event, as_sent
from tests.decide.scenes import condition, config, tracked, update

COMMITTED = Path(__file__).parents[2] / "docs" / "event.schema.json"


def test_the_committed_schema_is_the_programs():
    assert json.loads(COMMITTED.read_text()) == event_schema(), "run `make docs`"


def test_events_hold_what_the_schema_says_and_nothing_else():
    log = MemoryLog()
    stage = DecideStage(config(), log)
    stage.open()
    stage.process([tracked(0, update(seq=0)), tracked(1, update(seq=1)), condition(True), condition(False)])
    stage.process([tracked(2, ended=[update(seq=2, seen=False)])])
    stage.close()
    assert len(log.events) == 4
    schema = event_schema()
    shape = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    for logged in log.events:
        assert "late_s" not in json.loads(msgspec.json.encode(logged)), "it is of the alert, not of the event"
        event = as_sent(logged, "log", late_s=0.5)
        written = json.loads(msgspec.json.encode(event))
        assert written.keys() == shape["properties"].keys()
        assert set(shape["required"]) <= written.keys()
        assert written["state"] in schema["$defs"]["EventState"]["enum"]
        assert msgspec.json.decode(msgspec.json.encode(written), type=Event) == event
