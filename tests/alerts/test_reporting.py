"""What the alerts stage reports of its outputs, and what an MQTT output shows of the line."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stream_inspect.alerts.outbox import POLL_S, Outage
from stream_inspect.alerts.stage import AlertsStage
from stream_inspect.alerts.status import SILENT_AFTER_S, status_schema
from stream_inspect.alerts.watch import STEADY_AFTER_S, OutputWatch
from stream_inspect.decide.conditions import Conditions
from stream_inspect.decide.events import EventIds
from stream_inspect.messages import ActiveCondition, Condition, ConditionKind, Event, LineStatus
from stream_inspect.store.events import EventStore
from tests.alerts.conftest import Install
from tests.alerts.events import a_config, an_event
from tests.alerts.receivers import BlackHole, HttpReceiver, Mosquitto, ScriptedBroker, Subscriber, free_port, wait_until
from tests.conftest import MakeDisk
from tests.e2e.test_outage_log import fill

FAILING, REJECTED = ConditionKind.OUTPUT_FAILING, ConditionKind.ALERTS_REJECTED
STATUS_TOPIC = f"stream_inspect/line1/status/{socket.gethostname()}"


class Line:
    """The alerts stage of a configuration, ticked as the service does; its levels make events as in `decide`."""

    def __init__(self, folder: Path, *alerts: dict[str, object]) -> None:
        self.store = EventStore(folder / "events.sqlite")
        self.config = a_config(folder, *alerts)
        self.stage = AlertsStage(self.config, folder / "events.sqlite")
        self._conditions = Conditions(EventIds(), lambda _camera: "line1")
        self.levels: dict[tuple[str, ConditionKind], Condition] = {}
        self.events: list[Event] = []
        self.ahead_s = 0.0
        """How far the stage's clock is ahead of ours."""
        self._stop = threading.Event()
        self.stage.open()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            for output in self.stage.tick(time.monotonic_ns() + round(self.ahead_s * 1e9)):
                level = output.message
                assert isinstance(level, Condition)
                assert (output.topic, level.camera) == ("conditions", "")
                self.levels[level.source, level.kind] = level
                if events := self._conditions.update(level):
                    self.events += events
                    self.append(*events)

    def append(self, *events: Event) -> None:
        self.store.append(events)
        self.stage.process(events)

    def show(self, state: str, *kinds: str) -> None:
        conditions = [
            ActiveCondition(kind=ConditionKind(kind), camera="top", source="supervisor", detail="", since_utc_ns=7)
            for kind in kinds
        ]
        now_ns = time.monotonic_ns()
        self.stage.process([LineStatus(state=state, conditions=conditions, mono_ns=now_ns, utc_ns=time.time_ns())])

    def detail(self, output: str, kind: ConditionKind = FAILING) -> str | None:
        """What is reported; None while nothing is."""
        level = self.levels.get((output, kind))
        return level.detail if level and level.active else None

    def told(self, output: str) -> list[str]:
        return [f"{event.name} {event.state}" for event in self.events if event.source == output]

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.stage.close()
        self.store.close()


Start = Callable[..., Line]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:
        yield lambda *alerts: stack.enter_context(contextlib.closing(Line(tmp_path, *alerts)))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "broker")
    broker.start()
    yield broker
    broker.close()


def mqtt(broker: Mosquitto, **more: object) -> dict[str, object]:
    return {"kind": "mqtt", "host": "127.0.0.1", "port": broker.port, "timeout_s": 1.0, **more}


def webhook(receiver: HttpReceiver, **more: object) -> dict[str, object]:
    return {"kind": "webhook", "url": f"http://127.0.0.1:{receiver.port}/hook", "timeout_s": 1.0, **more}


def states(subscriber: Subscriber) -> list[str]:
    return [json.loads(payload)["state"] for _, payload, _ in subscriber.messages]


# --- failing outputs ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_output_that_does_not_deliver_is_reported_by_those_that_do_and_its_end_too(
    tmp_path: Path, start: Start, broker: Mosquitto
) -> None:
    line = start(mqtt(broker), {"kind": "file"})
    assert wait_until(lambda: ("mqtt", FAILING) in line.levels)
    broker.kill()
    start_s = time.monotonic()
    line.append(an_event(1), an_event(2))
    assert wait_until(lambda: "event" in (line.detail("mqtt") or ""), 5)
    assert time.monotonic() - start_s < 4
    assert wait_until(lambda: "; 3 events waiting" in (line.detail("mqtt") or ""), 3), "the condition's event as well"
    assert f"MQTT broker 127.0.0.1:{broker.port}: cannot connect: Connection refused" in line.detail("mqtt")
    broker.start()
    assert wait_until(lambda: line.detail("mqtt") is None, 3)
    assert line.told("mqtt") == ["output_failing confirmed", "output_failing cleared"]
    assert line.told("file") == []
    sent = (tmp_path / "events.jsonl").read_text()
    assert "output_failing" in sent
    assert wait_until(lambda: line.store.backlog("mqtt").depth == 0, 5)


@pytest.mark.slow
class TestAnOutageInWhichAllThatWasOwedExpired:
    """Nothing waits any more that could show its end."""

    def all_expired(self, line: Line, output: str) -> bool:
        return wait_until(lambda: line.detail(output) is not None and line.store.backlog(output).depth == 0)

    def test_of_a_receiver_that_was_gone_ends_with_its_return(self, start: Start) -> None:
        receiver = HttpReceiver()
        line = start(webhook(receiver, max_age_s=1.0))
        line.append(an_event(1))
        try:
            assert self.all_expired(line, "webhook")
            receiver.start()
            assert wait_until(lambda: line.detail("webhook") is None)
        finally:
            receiver.close()

    def test_of_a_receiver_that_answers_no_does_not_end_because_it_answers(self, start: Start) -> None:
        receiver = HttpReceiver()
        receiver.answer = lambda request: (401, {})
        receiver.start()
        line = start(webhook(receiver, max_age_s=1.0))
        line.append(an_event(1))
        try:
            assert self.all_expired(line, "webhook")
            line.ahead_s = 2 * STEADY_AFTER_S
            time.sleep(3 * POLL_S)
            assert line.detail("webhook") is not None
            receiver.answer = lambda request: (204, {})
            line.append(an_event(2))
            assert wait_until(lambda: line.detail("webhook") is None)
        finally:
            receiver.close()

    def test_of_a_file_on_a_full_disk_ends_when_there_is_room(self, start: Start, make_disk: MakeDisk) -> None:
        disk = make_disk(64)
        line = start({"kind": "file", "path": str(disk / "events.jsonl"), "max_age_s": 1.0})
        assert wait_until((disk / "events.jsonl").exists)
        ballast = fill(disk)
        line.append(*(an_event(n) for n in range(1, 9)))
        assert self.all_expired(line, "file")
        time.sleep(2 * POLL_S)
        assert line.detail("file") is not None
        ballast.unlink()
        assert wait_until(lambda: line.detail("file") is None)

    def test_of_a_broker_that_was_killed_with_an_event_in_flight_ends_with_its_return(
        self, start: Start, broker: Mosquitto
    ) -> None:
        line = start(mqtt(broker, max_age_s=1.0))
        line.append(an_event(1))
        assert wait_until(lambda: line.store.backlog("mqtt").depth == 0)
        broker.signal(signal.SIGSTOP)
        line.append(an_event(2))
        assert wait_until(lambda: line.detail("mqtt") is not None)
        broker.kill()
        assert self.all_expired(line, "mqtt")
        broker.start()
        assert wait_until(lambda: line.detail("mqtt") is None)


@pytest.mark.slow
def test_an_output_that_rejects_everything_is_reported_at_once(start: Start, receiver: HttpReceiver) -> None:
    receiver.answer = lambda _: (401, {})
    line = start(webhook(receiver))
    line.append(an_event(1))
    assert wait_until(lambda: (line.detail("webhook") or "").endswith("HTTP 401; 1 event waiting"), 2)
    time.sleep(1.5)
    assert line.told("webhook") == ["output_failing confirmed"]
    receiver.answer = lambda _: (204, {})
    assert wait_until(lambda: line.detail("webhook") is None, 3)
    assert line.store.outputs.dead_letters("webhook") == []


@pytest.mark.slow
def test_an_output_that_hangs_is_reported_before_its_timeout(start: Start) -> None:
    with contextlib.closing(BlackHole()) as hole:
        line = start({"kind": "webhook", "url": f"http://127.0.0.1:{hole.port}/", "timeout_s": 6})
        line.append(an_event(1))
        assert wait_until(lambda: (line.detail("webhook") or "").startswith("no answer for"), 4.5)
        time.sleep(4)  # its time-out has come, and the next try hangs as well
        assert line.told("webhook") == ["output_failing confirmed"]


def test_how_long_an_outage_lasted_does_not_depend_on_the_clock_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, second_ns = OutputWatch("hook"), 10**9
    watch.update(Outage("down", time.time_ns(), False), 0.0, 1, second_ns)
    watch.update(Outage("down", watch._outage_seen[0], False), 0.0, 1, 5 * second_ns)
    an_hour_ahead_ns = time.time_ns() + 3600 * second_ns
    monkeypatch.setattr(time, "time_ns", lambda: an_hour_ahead_ns)
    watch.update(None, 0.0, 0, 8 * second_ns)
    (ended,) = [output.message for output in watch.due(8 * second_ns)]
    assert ended.detail == "delivers again after 7 s"


def test_an_output_that_cannot_be_created_is_reported(start: Start) -> None:
    line = start({"kind": "plugin", "name": "horn", "plugin": "not-installed"}, {"kind": "file"})
    assert wait_until(lambda: (line.detail("horn") or "").startswith("cannot create output: no alert named"), 2)


def test_a_plugin_that_quotes_its_secret_shows_none_of_it(start: Start, install: Install) -> None:
    install(
        "leak",
        "alert",
        """
from stream_inspect.config.plugin import PluginOptions
from stream_inspect.config.secret import Secret


class LeakOptions(PluginOptions):
    code: Secret


class LeakAlert:
    acknowledges = False
    options_model = LeakOptions

    def __init__(self, config, *, line, state_dir):
        self._code = config.code.get_secret_value()

    def open(self):
        raise RuntimeError(f"no login with {self._code}")

    def close(self):
        pass

    @staticmethod
    def probe(config):
        return []
""",
    )
    line = start({"kind": "plugin", "name": "leak", "plugin": "leak", "options": {"code": "hunter2-Zq9"}})
    assert wait_until(lambda: line.detail("leak") is not None, 5)
    assert line.detail("leak").startswith("RuntimeError: no login with ***")


def test_an_output_that_fails_every_second_time_does_not_feed_itself() -> None:
    """Each begin and each end would be an event, which the output fails on again."""
    watch, told = OutputWatch("hook"), []
    conditions = Conditions(EventIds(), lambda _camera: "line1")
    for tick in range(20 * 60):  # of a second each
        outage = Outage("HTTP 401", 1 + tick // 2, refused=True) if tick % 2 else None
        watch.update(outage, 0.0, 1, tick * 10**9)
        told += [event for output in watch.due(tick * 10**9) for event in conditions.update(output.message)]
    assert len(told) <= 3
    quiet_from = 20 * 60
    for tick in range(quiet_from, quiet_from + round(STEADY_AFTER_S) + 2):
        watch.update(None, 0.0, 0, tick * 10**9)
        told += [event for output in watch.due(tick * 10**9) for event in conditions.update(output.message)]
    assert watch.condition is None
    assert str(told[-1].state) == "cleared"


@pytest.mark.slow
def test_a_rejected_event_is_reported_for_an_hour_or_until_it_is_sent_again(
    start: Start, receiver: HttpReceiver
) -> None:
    receiver.answer = lambda request: (422 if b"scratch-1" in request.body else 204, {})
    line = start(webhook(receiver))
    line.append(an_event(1), an_event(2))
    assert wait_until(lambda: line.detail("webhook", REJECTED) is not None, 3)
    assert line.detail("webhook", REJECTED).startswith("1 event rejected within the hour, see `stream-inspect refused`")
    assert line.detail("webhook", REJECTED).endswith("HTTP 422")
    assert line.detail("webhook") is None, "it delivers"
    receiver.answer = lambda _: (204, {})
    line.store.outputs.queue_again("webhook")
    assert wait_until(lambda: line.detail("webhook", REJECTED) is None, 3)
    assert line.told("webhook") == ["alerts_rejected confirmed", "alerts_rejected cleared"]


def test_a_stop_logs_how_many_events_each_output_is_still_owed(start: Start, tmp_path: Path) -> None:
    with capture_logs() as logs:
        line = start({"kind": "webhook", "url": f"http://127.0.0.1:{free_port()}/"}, {"kind": "file"})
        line.append(an_event(1), an_event(2))
        assert wait_until(lambda: line.store.backlog("file").depth == 0)
        line.close()
    owed = {line["output"]: line["events"] for line in logs if line["event"].startswith("events wait for output")}
    again = EventStore(tmp_path / "events.sqlite")
    assert owed == {"webhook": again.backlog("webhook").depth}
    assert owed["webhook"] >= 2
    again.close()


# --- the status --------------------------------------------------------------------------------------------------


@pytest.mark.slow
class TestStatus:
    def test_it_follows_the_supervisor_within_a_second_and_says_when_nothing_is_known(
        self, start: Start, broker: Mosquitto
    ) -> None:
        line = start(mqtt(broker))
        subscriber = Subscriber(broker.port, STATUS_TOPIC)
        line.show("starting")
        assert wait_until(lambda: states(subscriber)[-1:] == ["starting"], 5)
        line.show("ok")
        assert wait_until(lambda: states(subscriber)[-1] == "ok", 1)
        line.show("degraded", "not_judged")
        assert wait_until(lambda: states(subscriber)[-1] == "degraded", 1)
        (condition,) = json.loads(subscriber.messages[-1][1])["conditions"]
        assert (condition["kind"], condition["camera"], condition["since_utc_ns"]) == ("not_judged", "top", 7)
        line.ahead_s = SILENT_AFTER_S + 1
        assert wait_until(lambda: states(subscriber)[-1] == "unknown", 1)
        line.ahead_s = 0
        line.show("stopping")
        assert wait_until(lambda: states(subscriber)[-1] == "stopping", 1)
        line.close()
        assert wait_until(lambda: states(subscriber)[-1] == "offline", 1)
        subscriber.close()

    def test_it_shows_another_output_that_fails(self, start: Start, broker: Mosquitto) -> None:
        line = start(mqtt(broker), {"kind": "plugin", "name": "horn", "plugin": "not-installed"})
        subscriber = Subscriber(broker.port, STATUS_TOPIC)
        line.show("ok")
        assert wait_until(lambda: states(subscriber)[-1:] == ["degraded"], 3)
        (condition,) = json.loads(subscriber.messages[-1][1])["conditions"]
        assert (condition["kind"], condition["source"]) == ("output_failing", "horn")
        subscriber.close()

    def test_events_that_are_refused_do_not_hold_it_up(self, start: Start) -> None:
        """The broker takes the status and no events: the output retries them, and its connection stays."""
        with contextlib.closing(ScriptedBroker(pubacks={"/events": 0x87})) as broker:
            line = start({"kind": "mqtt", "host": "127.0.0.1", "port": broker.port, "timeout_s": 1.0})
            line.show("ok")
            line.append(an_event(1))
            assert wait_until(lambda: "Not authorized" in (line.detail("mqtt") or ""), 3)
            start_s = time.monotonic()
            line.show("degraded", "not_judged")
            assert wait_until(lambda: any(b"not_judged" in payload for _, payload in broker.published), 1)
            assert time.monotonic() - start_s < 1
            assert wait_until(lambda: sum("/events" in topic for topic, _ in broker.published) >= 3, 5)
            assert not any(b"offline" in payload for _, payload in broker.published)

    def test_a_topic_of_one_camera_that_may_not_be_written_to_holds_up_no_other(
        self, start: Start, tmp_path: Path
    ) -> None:
        acl = tmp_path / "acl"
        allowed = ("status/#", "cam2/events", "_/events")
        acl.write_text("".join(f"topic readwrite stream_inspect/line1/{topic}\n" for topic in allowed))
        with contextlib.closing(Mosquitto(tmp_path / "strict", extra=f"acl_file {acl}")) as broker:
            broker.start()
            line = start(mqtt(broker))
            line.append(an_event(1), *(an_event(n, camera="cam2") for n in range(1, 6)))
            assert wait_until(lambda: "; events of cam1 wait; 1 event waiting" in (line.detail("mqtt") or ""))
            line.close()

    def test_a_topic_that_may_be_written_to_again_gets_every_event(self, start: Start, tmp_path: Path) -> None:
        acl = tmp_path / "acl"
        acl.write_text("topic readwrite stream_inspect/line1/status/#\n")
        with contextlib.closing(Mosquitto(tmp_path / "strict", extra=f"acl_file {acl}")) as broker:
            broker.start()
            line = start(mqtt(broker))
            line.append(an_event(1))
            assert wait_until(lambda: "Not authorized" in (line.detail("mqtt") or ""), 3)
            acl.write_text("topic readwrite stream_inspect/#\n")
            broker.signal(signal.SIGHUP)
            assert wait_until(lambda: line.detail("mqtt") is None, 3)
            assert wait_until(lambda: line.store.backlog("mqtt").depth == 0, 3)
            assert line.store.outputs.dead_letters("mqtt") == []

    def test_its_schema_is_committed(self) -> None:
        committed = Path(__file__).parents[2] / "docs" / "status.schema.json"
        assert json.loads(committed.read_text()) == status_schema(), "run `make docs`"
