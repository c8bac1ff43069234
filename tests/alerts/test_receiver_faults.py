"""Real receivers that fail in every way, and what is delivered when."""

from __future__ import annotations

import itertools
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_inspect.alerts import lanes
from stream_inspect.alerts.stage import AlertsStage
from stream_inspect.store.events import EventStore
from tests.alerts.events import a_config, an_event
from tests.alerts.receivers import HttpReceiver, Mosquitto, Request, Subscriber, wait_until

pytestmark = pytest.mark.slow

Answer = tuple[int, dict[str, str]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    store = EventStore(tmp_path / "events.sqlite")
    yield store
    store.close()


@pytest.fixture
def sending(tmp_path: Path) -> Iterator[Callable[..., AlertsStage]]:
    stages = []

    def start(**alert: object) -> AlertsStage:
        stage = AlertsStage(a_config(tmp_path, alert), tmp_path / "events.sqlite")
        stage.open()
        stages.append(stage)
        return stage

    yield start
    for stage in stages:
        stage.close()


def a_hook(receiver: HttpReceiver, timeout_s: float = 5.0) -> dict[str, object]:
    return {"kind": "webhook", "name": "hook", "url": f"http://127.0.0.1:{receiver.port}/", "timeout_s": timeout_s}


def key(request: Request) -> str:
    return request.headers["webhook-id"].partition(":")[2]


def test_a_webhook_has_the_backlog_within_a_second_of_its_return(store, receiver, sending):
    receiver.kill()
    sending(**a_hook(receiver))
    keys = [an_event(n).key for n in range(1, 16)]
    store.append([an_event(n) for n in range(1, 16)])
    time.sleep(12)  # long enough for pauses that double without end to be long
    receiver.start()
    start_s = time.monotonic()
    assert wait_until(lambda: len(receiver.requests) > 0)
    first_s = time.monotonic() - start_s
    assert wait_until(lambda: len(receiver.requests) >= 15)
    assert [key(request) for request in receiver.requests] == keys
    assert first_s < 2.5  # 0.8 s, and what a busy computer adds


def test_a_broker_has_the_backlog_within_a_second_of_its_return(store, sending, tmp_path):
    broker = Mosquitto(tmp_path / "broker")
    try:
        sending(kind="mqtt", host="127.0.0.1", port=broker.port, name="mqtt")
        store.append([an_event(n) for n in range(1, 16)])
        time.sleep(12)
        broker.start()
        start_s = time.monotonic()
        assert wait_until(lambda: store.backlog("mqtt").depth < 15)
        assert time.monotonic() - start_s < 2.5
        assert wait_until(lambda: store.backlog("mqtt").depth == 0)
        subscriber = Subscriber(broker.port, "stream_inspect/#")
        assert store.dead_letters("mqtt") == []
        subscriber.close()
    finally:
        broker.close()


def test_an_event_that_the_receiver_fails_on_is_listed_and_the_others_pass(store, receiver, sending, monkeypatch):
    monkeypatch.setattr(lanes, "GIVE_UP_AFTER_S", 2.0)
    bad = an_event(1).key
    receiver.answer = lambda request: (500 if key(request) == bad else 204, {})
    sending(**a_hook(receiver))
    store.append([an_event(1), an_event(2)])
    numbers = itertools.count(1)

    def another_camera_has_an_event_and_the_bad_one_is_found_out() -> bool:
        store.append([an_event(next(numbers), camera="cam2")])
        time.sleep(0.2)
        return bool(store.dead_letters("hook"))

    assert wait_until(another_camera_has_an_event_and_the_bad_one_is_found_out, 30)
    assert [key for _, key in store.dead_letters("hook")] == [bad]
    assert wait_until(lambda: store.backlog("hook").depth == 0)
    assert an_event(2).key in [key(request) for request in receiver.requests]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(3))
def test_no_sequence_of_answers_loses_an_event(store, receiver, sending, seed):
    """2xx, 3xx, 4xx that are our fault, 5xx, time-outs, bodies that trickle, resets, no receiver at all."""
    dice = random.Random(seed)
    accepted: list[str] = []
    repeatable: Counter[str] = Counter()

    def answer(request: Request) -> Answer:
        kind = dice.choice(["2xx"] * 8 + ["301", "401", "404", "500", "503", "time-out", "trickle", "reset"])
        if kind in ("2xx", "trickle"):
            accepted.append(key(request))
            # A body that never ends: the status is the answer.
            return (200, {"content-length": "1000"}) if kind == "trickle" else (204, {})
        if kind == "time-out":
            time.sleep(0.8)
            kind = "2xx"
            repeatable[key(request)] += 1
            accepted.append(key(request))
            return 204, {}
        if kind == "reset":
            for connection in list(receiver._connections):
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
            return 500, {}
        return int(kind), {"retry-after": "1"} if kind == "503" else {}

    receiver.answer = answer
    stage = sending(**a_hook(receiver, timeout_s=0.5))
    keys = []
    for n in range(1, 41):
        events = [an_event(n, camera=f"cam{n % 3}")]
        store.append(events)
        stage.process(events)
        keys += [event.key for event in events]
        if n % 15 == 0:
            receiver.kill()
            time.sleep(0.5)
            receiver.start()
        if n % 20 == 0:
            stage.close()
            stage.open()
    receiver.answer = lambda request: accepted.append(key(request)) or (204, {})
    assert wait_until(lambda: store.backlog("hook").depth == 0, 30)
    dead = [key for _, key in store.dead_letters("hook")]
    assert sorted({*accepted, *dead}) == sorted(keys)
    assert dead == []
    firsts = list(dict.fromkeys(accepted))
    for camera in range(3):
        mine = [key for key in keys if key.startswith(f"cam{camera}-")]
        assert [key for key in firsts if key in mine] == mine
    assert len(accepted) - len(firsts) <= sum(repeatable.values()) + 2, "repeated without a reason"
