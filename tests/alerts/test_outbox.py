"""The outbox: order, persistence, back-off, and no event lost, whatever fails in between."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stream_inspect.alerts.alert import AlertError, AlertRejectedError
from stream_inspect.alerts.outbox import POLL_S, RETRY_FIRST_S, RETRY_LONGEST_S, Outbox, OutboxThread
from stream_inspect.messages import Event, EventState
from stream_inspect.store.database import StoreError
from stream_inspect.store.events import EventStore
from tests.alerts.events import an_event
from tests.properties import examples


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
            raise AlertRejectedError("HTTP 410")
        if self.mood == "fails":
            raise self.error
        self._receiver.got.append(key_in_the_log(event))
        if self.mood == "acknowledgement lost":
            raise self.error
        if self.mood == "process dies":
            raise ProcessDiedError

    def check(self) -> None:
        assert self.is_open
        if self.mood == "connection lost":
            raise self.error

    def close(self) -> None:
        self.is_open = False


class ProcessDiedError(BaseException):
    """Stands for kill -9 between the acknowledgement and its record: nothing in the process may catch it."""


class FullDisk:
    """The disk of the record of deliveries, which fills up."""

    def __init__(self, store: EventStore) -> None:
        self.is_full = False
        settle = store.outputs.settle

        def settle_or_fail(*arguments: object, **named: object) -> None:
            if self.is_full:
                raise StoreError("disk is full")
            settle(*arguments, **named)  # type: ignore[arg-type]

        store.outputs.settle = settle_or_fail  # type: ignore[method-assign]


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
        store.outputs.register([f"out{len(alert.sent)}"], start=0, first=1)
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


def test_waits_grow_from_a_tenth_of_a_second_to_half_a_minute_and_never_end(outbox, store, alert, clock):
    store.append([an_event(1)])
    alert.mood = "fails"
    waits = []
    for _ in range(2000):
        waits.append(all_steps(outbox))
        clock.now_s += waits[-1] + 1e-6
    assert waits[0] == pytest.approx(RETRY_FIRST_S)
    assert all(RETRY_FIRST_S <= wait <= RETRY_LONGEST_S for wait in waits)
    assert all(wait <= RETRY_FIRST_S * 2**n for n, wait in enumerate(waits[:9]))
    assert max(waits) > 0.9 * RETRY_LONGEST_S
    assert len(set(waits[20:])) > 1000  # jitter: many outputs do not come back in step
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
    assert [(key, letter.reason) for letter, key in store.dead_letters("out")] == [(keys(1)[0], "HTTP 410")]


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
        assert store.outputs.latencies_s("out") == [pytest.approx(0.25, abs=0.2)]

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


class AnyInterleaving(RuleBasedStateMachine):
    """Appending, sending, every kind of failure and sudden death in any order: nothing lost, nothing out of order."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm")  # no disk to wait for
        self.clock = Clock()
        self.receiver = Receiver()
        self.appended: list[str] = []
        self.counts = {"cam1": 0, "cam2": 0}
        self.start()
        self.store.register_outputs(["out"])

    def start(self) -> None:
        """A new life of the alerts process: only the file remains."""
        self.store = EventStore(Path(self.folder.name) / "events.db")
        self.disk = FullDisk(self.store)
        self.alert = ScriptedAlert(self.receiver)
        self.outbox = Outbox("out", self.alert, self.store, self.clock)

    def step(self) -> float:
        done, got, rejected = self.store.outputs.cursor("out"), len(self.receiver.got), len(self.receiver.rejected)
        try:
            return self.outbox.step()
        except ProcessDiedError:
            self.kill()
            return 0.0
        finally:
            for key in self.receiver.got[got:] + self.receiver.rejected[rejected:]:
                assert self.appended.index(key) >= done, "sent again although it was recorded as done with"

    @rule(cameras=st.lists(st.sampled_from(["cam1", "cam2"]), min_size=1, max_size=3))
    def append(self, cameras: list[str]) -> None:
        events = []
        for camera in cameras:
            self.counts[camera] += 1
            events.append(an_event(self.counts[camera], camera=camera, line=f"line-of-{camera}"))
        self.store.append(events)
        self.appended += [event.key for event in events]

    @rule(
        mood=st.sampled_from(
            ["works", "works", "fails", "refuses", "unreachable", "acknowledgement lost", "process dies"]
        ),
        full=st.booleans(),
        steps=st.integers(1, 3),
    )
    def send(self, mood: str, full: bool, steps: int) -> None:
        self.alert.mood = mood
        self.disk.is_full = full
        for _ in range(steps):
            self.clock.now_s += self.step()
        self.disk.is_full = False

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule()
    def kill(self) -> None:
        self.store.close()
        self.start()

    @invariant()
    def order_is_kept(self) -> None:
        if hasattr(self, "receiver"):
            firsts = list(dict.fromkeys(self.receiver.got))
            rejected = set(self.receiver.rejected)
            sendable = [key for key in self.appended if key in set(firsts) or key not in rejected]
            assert firsts == sendable[: len(firsts)]

    @invariant()
    def only_the_last_one_is_ever_sent_twice(self) -> None:
        if hasattr(self, "receiver"):
            runs = [key for key, _ in groupby(self.receiver.got)]
            assert len(runs) == len(set(runs))

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        self.alert.mood = "works"
        while True:
            self.clock.now_s += 3600
            if self.step() > 0:
                break
        got, rejected = set(self.receiver.got), {key for _, key in self.store.dead_letters("out")}
        assert got | rejected == set(self.appended)
        assert rejected <= set(self.receiver.rejected)
        assert self.store.outputs.cursor("out") == len(self.appended)
        self.order_is_kept()
        self.store.close()
        self.folder.cleanup()


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(
    max_examples=examples(30), stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
