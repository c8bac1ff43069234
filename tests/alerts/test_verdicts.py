"""Verdicts of parts at the outputs: each gets those that it asks for, and what it does not want costs it nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_inspect.alerts.outbox import POLL_S, Outbox
from stream_inspect.alerts.stage import AlertsStage
from stream_inspect.config.models import Config
from stream_inspect.messages import Event, Verdict
from stream_inspect.store.events import EventStore
from tests.alerts.events import a_config, a_part, an_event
from tests.alerts.receivers import HttpReceiver, Mosquitto, Subscriber, free_port, wait_until
from tests.alerts.test_outbox import Clock, Receiver, ScriptedAlert, all_steps

PASS, FAIL, UNDECIDED = Verdict.PASS, Verdict.FAIL, Verdict.UNDECIDED


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    store = EventStore(tmp_path / "events.db")
    yield store
    store.close()


def outbox(store: EventStore, receiver: Receiver, *wanted: Verdict, clock: Clock | None = None, **more) -> Outbox:
    store.register_outputs(["out"])
    unwanted = set(Verdict) - set(wanted)
    return Outbox("out", ScriptedAlert(receiver), store, clock or Clock(), unwanted=unwanted, **more)


def keys(events: list[Event]) -> list[str]:
    return [event.key for event in events]


def test_each_output_gets_the_verdicts_that_it_asks_for_between_its_other_events(tmp_path: Path, store: EventStore):
    wanted: dict[str, list[Verdict] | None] = {
        "fail": [FAIL],
        "none": [],
        "all": [PASS, FAIL, UNDECIDED],
        "usual": None,
    }
    outputs = [
        {"kind": "file", "name": name, "path": f"{name}.jsonl", **({} if of is None else {"verdicts": of})}
        for name, of in wanted.items()
    ]
    stage = AlertsStage(a_config(tmp_path, *outputs), tmp_path / "events.db")
    stage.open()
    parts = [a_part(n, verdict) for n, verdict in enumerate([PASS, UNDECIDED, FAIL, PASS, UNDECIDED], 1)]
    events = [an_event(1), *parts[:3], an_event(2), *parts[3:]]
    store.append(events)
    list(stage.process(events))

    def names(output: str) -> list[str]:
        file = tmp_path / f"{output}.jsonl"
        return [json.loads(line)["name"] for line in file.read_text().splitlines()] if file.exists() else []

    assert wait_until(lambda: len(names("all")) == len(events), 5)
    assert wait_until(lambda: all(store.backlog(name, _unwanted(of)).depth == 0 for name, of in wanted.items()), 5)
    stage.close()
    assert names("all") == ["scratch", "PASS", "UNDECIDED", "FAIL", "scratch", "PASS", "UNDECIDED"]
    assert names("fail") == ["scratch", "FAIL", "scratch"]
    assert names("none") == ["scratch", "scratch"]
    assert names("usual") == ["scratch", "UNDECIDED", "FAIL", "scratch", "UNDECIDED"]


def _unwanted(wanted: list[Verdict] | None) -> set[Verdict]:
    return {PASS} if wanted is None else set(Verdict) - set(wanted)


@pytest.mark.slow
def test_a_real_broker_and_a_real_web_server_get_whole_verdicts_and_the_broker_on_a_topic_of_their_own(
    tmp_path: Path, store: EventStore
):
    broker, web = Mosquitto(tmp_path / "broker"), HttpReceiver()
    broker.start()
    web.start()
    parts = Subscriber(broker.port, "stream_inspect/+/parts/+", "parts")
    others = Subscriber(broker.port, "stream_inspect/+/+/events", "others")
    mqtt = {"kind": "mqtt", "host": "127.0.0.1", "port": broker.port, "verdicts": ["FAIL"]}
    mqtt |= {"parts_topic": "stream_inspect/{line}/parts/{lane}"}
    hook = {"kind": "webhook", "url": f"http://127.0.0.1:{web.port}/"}
    stage = AlertsStage(a_config(tmp_path, mqtt, hook), tmp_path / "events.db")
    stage.open()
    events = [a_part(1, PASS), a_part(2, FAIL), a_part(3, UNDECIDED), an_event(1)]
    store.append(events)
    list(stage.process(events))
    try:
        assert wait_until(lambda: bool(others.messages) and len(web.requests) == 3, 10)
        ((topic, payload, _),) = parts.messages
        assert topic == "stream_inspect/line1/parts/0"
        got = json.loads(payload)
        assert (got["id"], got["kind"], got["state"], got["name"]) == ("line1-1-PART-2", "part", "decided", "FAIL")
        assert (got["part"]["number"], got["part"]["serial"], got["camera"]) == (2, "P-0002", "")
        assert got["part"]["gate_utc_ns"] > got["part"]["trigger_utc_ns"]
        assert [json.loads(request.body)["name"] for request in web.requests] == ["FAIL", "UNDECIDED", "scratch"]
    finally:
        stage.close()
        for one in (parts, others, broker, web):
            one.close()


def test_a_flood_of_verdicts_that_are_not_wanted_delays_no_event_and_is_not_a_backlog(store: EventStore):
    receiver = Receiver()
    box = outbox(store, receiver, FAIL)
    flood = [a_part(n, UNDECIDED) for n in range(1, 1001)]
    store.append([*flood, a_part(1001, FAIL)])
    assert store.backlog("out", {PASS, UNDECIDED}).depth == 1
    all_steps(box)
    assert receiver.got == [a_part(1001, FAIL).key]
    assert store.backlog("out", {PASS, UNDECIDED}).depth == 0


def test_a_flood_of_them_behind_an_event_that_fails_alone_delays_no_other_camera(store: EventStore):
    class FailsOnOne(ScriptedAlert):
        def send(self, event: Event) -> None:
            self.mood = "fails" if event.camera == "cam1" else "works"
            super().send(event)

    clock, receiver = Clock(), Receiver()
    store.register_outputs(["out"])
    box = Outbox("out", FailsOnOne(receiver), store, clock, unwanted=set(Verdict))
    others = [an_event(n, camera="cam2") for n in (1, 2)]
    store.append([an_event(1), others[0], *(a_part(n) for n in range(1, 1001)), others[1]])
    while receiver.got != keys(others):
        clock.now_s += box.step() + 0.001
        assert clock.now_s < 105


def test_what_is_passed_over_is_recorded_once_a_second_and_not_kept_for_the_output(store: EventStore):
    clock, receiver = Clock(), Receiver()
    box = outbox(store, receiver, clock=clock)
    cursors = set()
    for n in range(1, 41):
        store.append([a_part(n)])
        all_steps(box)
        cursors.add(store.outputs.cursor("out"))
        clock.now_s += POLL_S / 10
    assert len(cursors) <= 5
    clock.now_s += POLL_S
    all_steps(box)
    assert store.outputs.cursor("out") == 40, "what lies behind it may be pruned"
    assert store.prune(time.time_ns()) == 40
    assert receiver.got == []


def test_the_queue_of_an_output_that_is_down_counts_and_keeps_only_what_it_wants(store: EventStore):
    receiver = Receiver()
    box = outbox(store, receiver, FAIL)
    alert = box._alert
    assert isinstance(alert, ScriptedAlert)
    alert.mood = "fails"
    events = [a_part(n, FAIL if n % 10 == 0 else UNDECIDED) for n in range(1, 101)]
    store.append(events)
    box.step()
    assert store.backlog("out", {PASS, UNDECIDED}).depth == 10
    oldest = store.backlog("out", {PASS, UNDECIDED}).oldest_utc_ns
    assert oldest is not None
    again = outbox(store, receiver, FAIL)
    all_steps(again)
    assert receiver.got == keys([event for event in events if event.name == "FAIL"])


def test_an_old_verdict_is_not_sent_where_the_output_wants_none(store: EventStore):
    receiver = Receiver()
    box = outbox(store, receiver, FAIL, max_age_s=5.0)
    store.append([a_part(1, age_s=10.0), a_part(2)])
    all_steps(box)
    assert receiver.got == keys([a_part(2)])


def test_a_broker_that_refuses_the_topic_of_parts_holds_up_no_condition_of_the_line(store: EventStore):
    class RefusesParts(ScriptedAlert):
        def send(self, event: Event) -> None:
            self.mood = "fails" if event.part is not None else "works"
            super().send(event)

    clock, receiver = Clock(), Receiver()
    store.register_outputs(["out"])
    box = Outbox("out", RefusesParts(receiver), store, clock)
    conditions = [an_event(n, camera="", name="process_down", session=0) for n in (1, 2, 3)]
    store.append([a_part(1), conditions[0], a_part(2), *conditions[1:]])
    for _ in range(50):
        clock.now_s += box.step() + 0.01
    assert receiver.got == keys(conditions)


@pytest.mark.parametrize("verdicts", [["FAILED"], "FAIL", ["PASS", "FAIL", "UNDECIDED", "PASS"]])
def test_a_verdict_that_does_not_exist_is_an_error_of_the_configuration(tmp_path: Path, verdicts: object):
    with pytest.raises(ValueError, match="verdicts"):
        a_config(tmp_path, {"kind": "file", "verdicts": verdicts})


def test_verdicts_that_pass_are_wanted_by_no_output_unless_it_says_so(tmp_path: Path):
    config: Config = a_config(tmp_path, {"kind": "webhook", "url": f"http://127.0.0.1:{free_port()}/"})
    assert config.alerts[0].unwanted == {PASS}
