"""The outbox: order, persistence, back-off, and no event lost, whatever fails in between."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_inspect.alerts.alert import AlertError, AlertRejectedError
from stream_inspect.alerts.outbox import POLL_S, RETRY_FIRST_S, RETRY_LONGEST_S, Outbox, OutboxThread
from stream_inspect.messages import Event, EventState
from stream_inspect.store.events import EventStore
from tests.alerts.events import an_event
from tests.alerts.full_disk import FullDisk


def key_in_the_log(sent: Event) -> str:
    """The key without the log's identity, which every sent key begins with."""
    return sent.key.partition(":")[2]


class Receiver:
    """What an output has acknowledged, or taken without the acknowledgement coming through."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.rejected: list[str] = []


class ScriptedAlert:
    """An output that does what `mood` says, next time."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.mood = "works"
        self.error: Exception = AlertError("down")
        self.is_open = False

    def open(self) -> None:
        if self.mood == "unreachable":
            raise self.error
        self.is_open = True

    def send(self, event: Event) -> None:
        assert self.is_open
        if self.mood == "refuses":
            self._receiver.rejected.append(key_in_the_log(event))
            raise AlertRejectedError("HTTP 413")
        if self.mood == "fails":
            raise self.error
        self._receiver.got.append(key_in_the_log(event))
        if self.mood == "acknowledgement lost":
            raise self.error

    def check(self) -> None:
        assert self.is_open
        if self.mood == "connection lost":
            raise self.error

    def close(self) -> None:
        self.is_open = False


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    store = EventStore(tmp_path / "events.db")
    store.register_outputs(["out"])
    yield store
    store.close()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def alert(receiver: Receiver) -> ScriptedAlert:
    return ScriptedAlert(receiver)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(alert: ScriptedAlert, store: EventStore, clock: Clock) -> Outbox:
    return Outbox("out", alert, store, clock)


def all_steps(outbox: Outbox) -> float:
    while (pause_s := outbox.step()) == 0:
        pass
    return pause_s


def keys(*numbers: int) -> list[str]:
    return [an_event(n).key for n in numbers]


class KeepingAlert(ScriptedAlert):
    """Keeps whole what was sent."""

    def __init__(self) -> None:
        super().__init__(Receiver())
        self.sent: list[Event] = []

    def send(self, event: Event) -> None:
        self.sent.append(event)


def test_the_same_event_of_two_logs_is_sent_under_two_keys_and_again_under_its_own(tmp_path: Path):
    """Two lines with a camera of the same name, or one line whose state folder was lost: no receiver may drop one."""
    event, alert = an_event(1), KeepingAlert()
    for name in ("one", "two", "one"):
        store = EventStore(tmp_path / name / "events.db")
        store.register_outputs(["out0", "out1", "out2"])
        store.append([event])
        all_steps(Outbox(f"out{len(alert.sent)}", alert, store))
        assert store.after(0, 10) == [(1, event)], "the log itself holds no random number"
        store.close()
    first, other, again = (sent.key for sent in alert.sent)
    assert first != other
    assert first == again
    assert all(sent.id == event.id and sent.key.endswith(f":{event.key}") for sent in alert.sent)


def test_what_is_in_the_log_goes_out_in_order_and_once(outbox, store, receiver):
    store.append([an_event(n) for n in range(1, 251)])
    assert all_steps(outbox) == POLL_S
    store.append([an_event(251)])
    assert all_steps(outbox) == POLL_S
    assert receiver.got == keys(*range(1, 252))
    assert store.outputs.cursor("out") == 251


def test_the_output_is_opened_before_there_is_anything_to_send(outbox, alert):
    all_steps(outbox)
    assert alert.is_open


def test_a_connection_lost_while_idle_is_made_again_before_it_is_needed(outbox, alert, clock):
    all_steps(outbox)
    alert.mood = "connection lost"
    clock.now_s += all_steps(outbox) + 1e-6
    assert not alert.is_open
    alert.mood = "works"
    assert all_steps(outbox) == POLL_S
    assert alert.is_open


def test_waits_grow_to_less_than_a_second_and_never_end(outbox, store, alert, clock):
    """So the backlog comes within a second of the receiver's return, after whatever time."""
    store.append([an_event(1)])
    alert.mood = "fails"
    waits = []
    for _ in range(300):
        waits.append(all_steps(outbox))
        clock.now_s += waits[-1] + 1e-6
    assert waits[0] == pytest.approx(RETRY_FIRST_S)
    assert all(RETRY_FIRST_S <= wait <= RETRY_LONGEST_S for wait in waits)
    assert all(wait <= RETRY_FIRST_S * 2**n for n, wait in enumerate(waits[:9]))
    assert 0.9 * RETRY_LONGEST_S < max(waits) < 1
    assert len(set(waits[20:])) > 200  # jitter: many outputs do not come back in step
    alert.mood = "works"
    assert all_steps(outbox) == POLL_S
    assert store.outputs.cursor("out") == 1


def test_a_step_before_its_time_tries_nothing(outbox, store, alert, clock, receiver):
    store.append([an_event(1)])
    alert.mood = "fails"
    wait_s = all_steps(outbox)
    alert.mood = "works"
    clock.now_s += wait_s / 2
    assert outbox.step() == pytest.approx(wait_s / 2)
    assert receiver.got == []


def test_a_success_makes_the_next_wait_short_again(outbox, store, alert, clock):
    store.append([an_event(1), an_event(2)])
    alert.mood = "fails"
    for _ in range(12):
        clock.now_s += all_steps(outbox) + 1e-6
    alert.mood = "works"
    assert outbox.step() == 0
    alert.mood = "fails"
    assert outbox.step() == pytest.approx(RETRY_FIRST_S)


def test_a_receiver_that_asks_for_patience_gets_it(outbox, store, alert, clock, receiver):
    store.append([an_event(1)])
    alert.mood, alert.error = "fails", AlertError("busy", retry_after_s=77.0)
    assert all_steps(outbox) == 77.0
    alert.mood = "works"
    clock.now_s += 76
    all_steps(outbox)
    assert receiver.got == []
    clock.now_s += 1.1
    all_steps(outbox)
    assert receiver.got == keys(1)


def test_a_rejected_event_is_a_dead_letter_with_its_reason_and_the_next_goes(outbox, store, alert, receiver):
    store.append([an_event(1), an_event(2)])
    alert.mood = "refuses"
    outbox.step()
    alert.mood = "works"
    all_steps(outbox)
    assert receiver.got == keys(2)
    assert [(key, letter.reason) for letter, key in store.dead_letters("out")] == [(keys(1)[0], "HTTP 413")]


def test_an_event_that_cannot_be_read_is_a_dead_letter_and_the_next_goes(outbox, store, receiver, tmp_path):

    store.append([an_event(n) for n in range(1, 5)])
    file = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    file.execute("UPDATE events SET body = '{}' WHERE position IN (2, 3)")
    file.close()
    assert all_steps(outbox) == POLL_S
    assert receiver.got == keys(1, 4)
    assert [letter.position for letter, _ in store.dead_letters("out")] == [2, 3]


def test_a_fault_in_a_plug_in_is_a_failure_like_another(outbox, store, alert, clock, receiver):
    store.append([an_event(1)])
    alert.mood, alert.error = "fails", ZeroDivisionError("a fault")
    clock.now_s += all_steps(outbox) + 1e-6
    alert.mood = "works"
    all_steps(outbox)
    assert receiver.got == keys(1)


def test_a_full_disk_causes_no_duplicates(alert, clock, receiver, tmp_path):
    store = EventStore(tmp_path / "full.db")
    disk = FullDisk(store)
    store.register_outputs(["out"])
    store.append([an_event(1), an_event(2)])
    outbox = Outbox("out", alert, store, clock)
    disk.is_full = True
    for _ in range(10):
        clock.now_s += all_steps(outbox) + 1e-6
    assert receiver.got == keys(1)
    disk.is_full = False
    all_steps(outbox)
    assert receiver.got == keys(1, 2)
    store.close()


class TestLatency:
    def test_is_from_the_capture_of_the_confirming_frame(self, outbox, store):
        store.append([an_event(1, capture_mono_ns=time.monotonic_ns() - 250_000_000)])
        all_steps(outbox)
        (latency_s,) = store.outputs.latencies_s("out")
        assert 0.25 <= latency_s < 5

    def test_a_cleared_event_has_none(self, outbox, store):
        store.append([an_event(1, state=EventState.CLEARED)])
        all_steps(outbox)
        assert store.outputs.cursor("out") == 1
        assert store.outputs.latencies_s("out") == []

    def test_an_event_of_another_boot_has_none(self, outbox, store, monkeypatch):
        monkeypatch.setattr(store, "_boot", "another")
        store.append([an_event(1)])
        monkeypatch.undo()
        all_steps(outbox)
        assert store.outputs.cursor("out") == 1
        assert store.outputs.latencies_s("out") == []


class TestThread:
    def test_a_wake_sends_at_once(self, outbox, store, receiver):
        thread = OutboxThread(outbox)
        thread.start()
        time.sleep(0.2)  # it has looked, found nothing and waits
        store.append([an_event(1)])
        start = time.monotonic()
        thread.wake()
        while not receiver.got and time.monotonic() - start < 5:
            time.sleep(0.001)
        assert time.monotonic() - start < POLL_S / 2
        thread.stop(0)
        assert thread.join(2)

    def test_a_missed_wake_costs_one_poll(self, outbox, store, receiver):
        thread = OutboxThread(outbox)
        thread.start()
        store.append([an_event(1)])
        time.sleep(POLL_S + 0.5)
        assert receiver.got == keys(1)
        thread.stop(0)
        assert thread.join(2)

    def test_a_stop_lets_what_waits_go_first(self, outbox, store, receiver):
        store.append([an_event(n) for n in range(1, 51)])
        thread = OutboxThread(outbox)
        thread.stop(5)
        thread.start()
        assert thread.join(5)
        assert receiver.got == keys(*range(1, 51))

    def test_what_comes_while_it_looks_and_finds_nothing_still_goes_before_a_stop(self, outbox, store, alert, receiver):
        thread = OutboxThread(outbox)

        def check() -> None:
            if not receiver.got:
                store.append([an_event(1)])
                thread.stop(5)

        alert.check = check  # called when there was nothing to send
        thread.start()
        assert thread.join(5)
        assert receiver.got == keys(1)

    def test_a_stop_does_not_wait_for_an_output_that_fails(self, outbox, store, alert):
        store.append([an_event(1)])
        alert.mood = "unreachable"
        thread = OutboxThread(outbox)
        thread.start()
        time.sleep(0.1)
        thread.stop(60)
        assert thread.join(2)

    def test_an_output_that_hangs_is_left_behind(self, outbox, store, alert):
        release = threading.Event()
        alert.send = lambda event: release.wait(30)  # type: ignore[method-assign]
        store.append([an_event(1)])
        thread = OutboxThread(outbox)
        thread.start()
        thread.stop(0.1)
        assert not thread.join(0.3)
        release.set()
        assert thread.join(5)
