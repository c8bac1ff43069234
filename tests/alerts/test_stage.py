"""The alerts stage: outputs are isolated from each other and from judging, and a stop is quick whatever they do."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import pytest

from stream_inspect import metrics
from stream_inspect.alerts.outbox import QUEUE_EVENTS
from stream_inspect.alerts.stage import AlertsStage
from stream_inspect.store.events import EventStore
from tests.alerts.events import a_config, an_event
from tests.alerts.receivers import BlackHole, HttpReceiver, free_port, wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def store(path: Path):
    store = EventStore(path)
    yield store
    store.close()


@pytest.fixture
def black_hole():
    hole = BlackHole()
    yield hole
    hole.close()


def keys_in(file: Path) -> list[str]:
    """The keys of the events in this file, without the log's identity which each begins with."""
    if not file.exists():
        return []
    return [json.loads(line)["key"].partition(":")[2] for line in file.read_text().splitlines()]


def hanging_outputs(hole: BlackHole) -> list[dict[str, object]]:
    """One of each kind that has a network, with time-outs so long that they hang for good."""
    return [
        {"kind": "mqtt", "name": "mqtt-hangs", "host": "127.0.0.1", "port": hole.port, "timeout_s": 60},
        {"kind": "webhook", "name": "hook-hangs", "url": f"http://127.0.0.1:{hole.port}/", "timeout_s": 60},
    ]


def test_events_go_to_every_output_and_a_message_wakes_them(tmp_path, path, store):
    stage = AlertsStage(a_config(tmp_path, {"kind": "file"}, {"kind": "file", "name": "b", "path": "b.jsonl"}), path)
    stage.open()
    time.sleep(0.3)  # they have looked, and wait
    events = [an_event(n) for n in range(1, 11)]
    store.append(events)
    start_s = time.monotonic()
    assert list(stage.process(events)) == []
    wanted = [event.key for event in events]
    assert wait_until(lambda: keys_in(tmp_path / "events.jsonl") == keys_in(tmp_path / "b.jsonl") == wanted, 5)
    assert time.monotonic() - start_s < 0.9, "a wake, not the poll"
    stage.close()


def test_a_stop_sends_what_waits(tmp_path, path, store):
    stage = AlertsStage(a_config(tmp_path, {"kind": "file"}), path)
    stage.open()
    store.append([an_event(n) for n in range(1, 21)])
    stage.close()
    assert keys_in(tmp_path / "events.jsonl") == [an_event(n).key for n in range(1, 21)]


def test_what_an_output_knows_of_its_queue_is_exported_with_its_bound(tmp_path, path, store):
    nobody_listens = {"kind": "webhook", "url": f"http://127.0.0.1:{free_port()}/"}
    stage = AlertsStage(a_config(tmp_path, nobody_listens), path)
    stage.open()
    store.append([an_event(n) for n in range(1, 8)])
    assert wait_until(lambda: stage.held() == {"queue of webhook": (7, QUEUE_EVENTS)}, 5)
    stage.close()


def test_a_second_life_goes_on_where_the_first_was(tmp_path, path, store):
    config = a_config(tmp_path, {"kind": "file"})
    for n in range(1, 4):
        stage = AlertsStage(config, path)
        stage.open()
        store.append([an_event(n)])
        stage.close()
    assert keys_in(tmp_path / "events.jsonl") == [an_event(n).key for n in (1, 2, 3)]


def test_an_output_that_cannot_be_made_does_not_take_the_others_along(tmp_path, path, store):
    broken = {"kind": "plugin", "name": "broken", "plugin": "nobody-has-this"}
    stage = AlertsStage(a_config(tmp_path, broken, {"kind": "file"}), path)
    stage.open()
    store.append([an_event(1)])
    stage.close()
    assert keys_in(tmp_path / "events.jsonl") == [an_event(1).key]
    assert store.backlog("broken").depth == 1


def test_a_stop_of_the_stage_can_be_followed_by_a_start(tmp_path, path, store):
    stage = AlertsStage(a_config(tmp_path, {"kind": "file"}), path)
    stage.close()
    stage.open()
    stage.close()
    store.append([an_event(1)])
    stage.open()
    stage.close()
    stage.close()
    assert keys_in(tmp_path / "events.jsonl") == [an_event(1).key]


@pytest.mark.slow
class TestHangingOutputs:
    def test_the_others_go_on_and_a_stop_is_quick(self, tmp_path, path, store, black_hole):
        stage = AlertsStage(a_config(tmp_path, *hanging_outputs(black_hole), {"kind": "file"}), path)
        stage.open()
        events = [an_event(n) for n in range(1, 51)]
        for event in events:
            store.append([event])
            stage.process([event])
        assert wait_until(lambda: keys_in(tmp_path / "events.jsonl") == [event.key for event in events])
        assert wait_until(lambda: black_hole.connections == 2), "both really hang in the black hole"
        start_s = time.monotonic()
        stage.close()
        assert time.monotonic() - start_s < 2
        assert [store.backlog(name).depth for name in ("mqtt-hangs", "hook-hangs", "file")] == [50, 50, 0]

    def test_judging_does_not_notice(self, tmp_path, path, store, black_hole):
        """Appending, which is all that `decide` does, costs the same with and without outputs that hang."""
        config = a_config(tmp_path, *hanging_outputs(black_hole))
        store.register_outputs([alert.name for alert in config.alerts])  # as the service does before it starts
        stage = AlertsStage(config, path)
        numbers = iter(range(1, 10_000))

        def append_ms() -> float:
            event = an_event(next(numbers))
            start_s = time.perf_counter()
            store.append([event])
            took_ms = (time.perf_counter() - start_s) * 1000
            stage.process([event])
            return took_ms

        for _ in range(20):
            append_ms()
        without, hanging = [], []
        for turn in range(3):  # in turns, so that a busy computer troubles both alike
            without += [append_ms() for _ in range(100)]
            stage.open()
            assert wait_until(lambda seen=2 * turn: black_hole.connections >= seen + 2), "both hang"
            hanging += [append_ms() for _ in range(100)]
            stage.tick(time.monotonic_ns())
            stage.close()
        for name, took in (("without outputs", without), ("with hanging outputs", hanging)):
            p95 = statistics.quantiles(took, n=20)[-1]
            print(f"append {name}: median {statistics.median(took):.2f} ms, p95 {p95:.2f} ms")
        assert statistics.median(hanging) < 1.5 * statistics.median(without) + 0.5
        assert statistics.quantiles(hanging, n=20)[-1] < 2 * statistics.quantiles(without, n=20)[-1] + 5


@pytest.mark.slow
def test_the_metrics_say_what_happens(tmp_path, path, store):
    def value(metric: object, suffix: str, output: str) -> float:
        samples = [sample for family in metric.collect() for sample in family.samples]
        return next((s.value for s in samples if s.name.endswith(suffix) and s.labels["output"] == output), 0.0)

    receiver = HttpReceiver()
    receiver.answer = lambda request: (422 if b"scratch-2" in request.body else 204, {})
    receiver.start()
    alerts = [
        {"kind": "webhook", "name": "counted", "url": f"http://127.0.0.1:{receiver.port}/"},
        {"kind": "webhook", "name": "nobody", "url": f"http://127.0.0.1:{free_port()}/"},
    ]
    stage = AlertsStage(a_config(tmp_path, *alerts), path)
    stage.open()
    events = [an_event(n) for n in (1, 2, 3)]
    store.append(events)
    stage.process(events)
    assert wait_until(lambda: store.backlog("counted").depth == 0)
    assert wait_until(lambda: value(metrics.ALERT_FAILURES, "_total", "nobody") >= 3)
    stage.tick(time.monotonic_ns())
    stage.close()
    receiver.close()
    assert value(metrics.ALERTS_SENT, "_total", "counted") == 2
    assert value(metrics.ALERTS_REFUSED, "_total", "counted") == 1
    assert value(metrics.CAPTURE_TO_ALERT, "_count", "counted") == 2
    assert 0 < value(metrics.CAPTURE_TO_ALERT, "_sum", "counted") < 5
    assert value(metrics.OUTBOX_DEPTH, "outbox_depth", "counted") == 0
    assert value(metrics.OUTBOX_DEPTH, "outbox_depth", "nobody") == 3
    assert value(metrics.OUTBOX_OLDEST, "seconds", "counted") == 0
    assert 0 < value(metrics.OUTBOX_OLDEST, "seconds", "nobody") < 30
    assert [key for _, key in store.dead_letters("counted")] == [an_event(2).key]
