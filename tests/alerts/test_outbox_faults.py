"""Whose fault is it when an event fails: its own, the receiver's, or ours; and what becomes of the others meanwhile."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stream_inspect.alerts.alert import AlertError, AlertRejectedError, OutputRefusedError
from stream_inspect.alerts.lanes import GIVE_UP_AFTER_S, GIVE_UP_TRIES
from stream_inspect.alerts.outbox import Outbox
from stream_inspect.messages import Event, EventState
from stream_inspect.store.deliveries_schema import Settled
from stream_inspect.store.events import EventStore
from tests.alerts.events import an_event

LONG_S = 120.0


class ByEvent:
    """An output whose receiver answers as `errors` says for each key, and `error`, where it is set, to all others."""

    acknowledges = True

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.error: Exception | None = None
        self.got: list[Event] = []
        self.tries: list[str] = []
        self.wait: Callable[[str], None] = lambda key: None
        """Lets the time pass that sending takes."""

    @property
    def keys(self) -> list[str]:
        return [event.key.partition(":")[2] for event in self.got]

    def open(self) -> None: ...

    def send(self, event: Event) -> None:
        key = event.key.partition(":")[2]
        self.tries.append(key)
        self.wait(key)
        error = self.error or self.errors.get(key)
        if error is not None:
            raise error
        self.got.append(event)

    def check(self) -> None: ...

    def close(self) -> None: ...


class Bench:
    """An outbox, its receiver, its event log and its time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "events.sqlite"
        self.now_s = 100.0
        self.alert = ByEvent()
        self.store = EventStore(self._path)
        self.store.register_outputs(["out"])
        self.outbox = self.new()

    def new(self, max_age_s: float | None = None) -> Outbox:
        self.outbox = Outbox("out", self.alert, self.store, lambda: self.now_s, max_age_s=max_age_s)
        return self.outbox

    def append(self, *events: Event) -> list[str]:
        self.store.append(events)
        return [event.key for event in events]

    def run(self, seconds: float = 0.0) -> None:
        """Step as the thread does until there is nothing to do, or for so long."""
        end_s = self.now_s + seconds
        while True:
            pause_s = self.outbox.step()
            if pause_s > 0 and self.now_s >= end_s:
                return
            self.now_s += min(pause_s, max(0.0, end_s - self.now_s))

    @property
    def dead(self) -> list[tuple[str, str]]:
        return [(key, letter.reason) for letter, key in self.store.dead_letters("out")]


@pytest.fixture
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:  # no disk to wait for
        bench = Bench(Path(folder))
        yield bench
        bench.store.close()


def an_old(n: int, age_s: float, camera: str = "cam1") -> Event:
    return an_event(n, camera=camera, capture_mono_ns=time.monotonic_ns() - int(age_s * 1e9))


class TestTheFaultOfOneEvent:
    def test_events_of_other_cameras_do_not_wait_for_it_and_those_of_its_own_do(self, bench):
        bad, behind = bench.append(an_event(1), an_event(2))
        others = bench.append(*[an_event(n, camera="cam2") for n in range(1, 30)])
        bench.alert.errors[bad] = AlertError("HTTP 500")
        bench.run(5)
        assert bench.alert.keys == others
        assert behind not in bench.alert.tries
        assert bench.store.backlog("out").depth == 2

    def test_after_half_a_minute_it_is_a_dead_letter_with_its_reason_and_its_camera_continues(self, bench):
        bad, *behind = bench.append(*[an_event(n) for n in range(1, 4)])
        bench.alert.errors[bad] = AlertError("HTTP 500")
        with capture_logs() as logs:
            for n in range(1, 41):
                bench.append(an_event(n, camera="cam2"))
                bench.run(1)
                if n < GIVE_UP_AFTER_S:
                    assert bench.dead == []
        assert bench.dead == [(bad, "failed while others were delivered: HTTP 500")]
        assert [key for key in bench.alert.keys if key in behind] == behind
        assert GIVE_UP_TRIES <= bench.alert.tries.count(bad) <= 40
        assert bench.store.backlog("out").depth == 0
        told = [line["event"] for line in logs if line["log_level"] != "info"]
        assert len(told) == 3, "failing, its own fault, a dead letter"

    def test_where_one_camera_alone_has_events_the_next_one_shows_whose_fault_it_is(self, bench):
        bad, *behind = bench.append(*[an_event(n) for n in range(1, 4)])
        bench.alert.errors[bad] = AlertError("HTTP 500")
        bench.run(GIVE_UP_AFTER_S - 2)
        assert set(bench.alert.tries) == {bad}
        bench.run(5)
        assert [key for key, _ in bench.dead] == [bad]
        assert bench.alert.keys == behind

    def test_bad_events_of_all_cameras_are_found_out_as_well(self, bench):
        bad = bench.append(*[an_event(1, camera=camera) for camera in ("cam1", "cam2", "cam3")])
        good = bench.append(*[an_event(2, camera=camera) for camera in ("cam1", "cam2", "cam3")])
        bench.alert.errors = dict.fromkeys(bad, AlertError("HTTP 500"))
        bench.run(5 * GIVE_UP_AFTER_S)
        assert sorted(key for key, _ in bench.dead) == sorted(bad)
        assert sorted(bench.alert.keys) == sorted(good)

    def test_however_many_cameras_have_one_that_times_out_the_others_have_half_of_the_time(self, bench):
        bad = [bench.append(an_event(1, camera=f"bad{n}"))[0] for n in range(3)]
        good = bench.append(*(an_event(n) for n in range(1, 200)))
        bench.alert.errors = dict.fromkeys(bad, AlertError("no answer within 5 s"))

        def wait(key: str) -> None:
            bench.now_s += 5.0 if key in bad else 0.5

        bench.alert.wait = wait
        start_s = bench.now_s
        while len(bench.alert.got) < len(good):
            pause_s = bench.outbox.step()
            bench.now_s += pause_s
            took_s = bench.now_s - start_s
            assert took_s < 300, f"{len(bench.alert.got)} of {len(good)} delivered"
        assert bench.alert.keys == good
        assert took_s < 2.2 * 0.5 * len(good)
        assert {key for _, key in bench.store.dead_letters("out")} == set(bad)

    def test_a_hundred_bad_events_of_one_camera_do_not_hide_the_good_ones_of_another(self, bench):
        bad = bench.append(*[an_event(n) for n in range(1, 301)])
        (good,) = bench.append(an_event(1, camera="cam2"))
        bench.alert.errors = dict.fromkeys(bad, AlertError("HTTP 500"))
        bench.run(5)
        assert bench.alert.keys == [good]

    def test_a_restart_repeats_nothing_that_is_settled_and_skips_nothing(self, bench):
        bad, behind = bench.append(an_event(1), an_event(2))
        others = bench.append(*[an_event(n, camera="cam2") for n in range(1, 10)])
        bench.alert.errors[bad] = AlertError("HTTP 500")
        bench.run(2)
        assert bench.store.outputs.cursor("out") == 0
        bench.new()
        bench.alert.errors.clear()
        bench.run(2)
        assert bench.alert.keys == [*others, bad, behind]
        assert bench.store.outputs.cursor("out") == 11

    def test_a_rejected_one_is_a_dead_letter_at_once(self, bench):
        bad, good = bench.append(an_event(1), an_event(2))
        bench.alert.errors[bad] = AlertRejectedError("HTTP 413")
        bench.run()
        assert (bench.dead, bench.alert.keys) == ([(bad, "HTTP 413")], [good])


class TestTheReceiversFault:
    @pytest.mark.parametrize("cameras", [1, 3])
    def test_however_long_nothing_answers_everything_waits_in_order_and_nothing_is_a_dead_letter(self, bench, cameras):
        keys = bench.append(*[an_event(n, camera=f"cam{n % cameras}") for n in range(1, 30)])
        bench.alert.error = AlertError("timed out")
        bench.run(LONG_S)
        assert bench.dead == []
        assert bench.store.backlog("out").depth == 29
        bench.alert.error = None
        bench.run(1)
        for camera in range(cameras):
            mine = [key for key in keys if key.startswith(f"cam{camera}-")]
            assert [key for key in bench.alert.keys if key in mine] == mine
        assert sorted(bench.alert.keys) == sorted(keys)
        assert bench.dead == []

    def test_one_that_is_busy_and_says_so_accuses_no_event(self, bench):
        (busy,) = bench.append(an_event(1))
        bench.alert.errors[busy] = AlertError("HTTP 503", retry_after_s=2.0)
        for n in range(1, 25):
            bench.append(an_event(n, camera="cam2"))
            bench.run(2)
        assert bench.dead == []

    def test_an_outage_is_one_line_at_its_begin_and_one_at_its_end(self, bench):
        bench.run()
        bench.append(*[an_event(n, camera=f"cam{n % 3}") for n in range(1, 17)])
        with capture_logs() as logs:
            bench.alert.error = AlertError("connection refused")
            bench.run(65)
            bench.alert.error = None
            bench.run(1)
        begin, end = logs
        assert (begin["event"], begin["error"]) == ("output failing; events are queued", "connection refused")
        assert (end["event"], end["events_waiting"]) == ("output recovered", 16)
        assert end["after_s"] == pytest.approx(65, abs=1)

    def test_answers_that_take_turns_are_logged_once_each_and_a_few_of_them(self, bench):
        bench.append(an_event(1))
        with capture_logs() as logs:
            for n in range(40):
                bench.alert.error = AlertError(f"HTTP 50{n % 2}" if n < 20 else f"request {n} failed")
                bench.run(1)
        assert len(logs) == 5


class TestOurFault:
    def test_everything_waits_until_it_is_corrected_and_nothing_is_a_dead_letter(self, bench):
        keys = bench.append(*[an_event(n, camera=f"cam{n % 3}") for n in range(1, 12)])
        bench.alert.error = OutputRefusedError("HTTP 401")
        with capture_logs() as logs:
            bench.run(LONG_S)
        assert [line["log_level"] for line in logs] == ["error"]
        assert bench.outbox.outage is not None
        assert bench.outbox.outage.refused
        assert bench.dead == []
        bench.alert.error = None
        bench.run(1)
        assert bench.outbox.outage is None
        assert sorted(bench.alert.keys) == sorted(keys)
        for camera in range(3):
            mine = [key for key in keys if key.startswith(f"cam{camera}-")]
            assert [key for key in bench.alert.keys if key in mine] == mine


class TestLateEvents:
    def test_an_event_says_how_late_it_is(self, bench):
        bench.append(an_old(1, age_s=65))
        bench.append(an_event(1, camera="cam2"))
        bench.append(an_event(1, state=EventState.CLEARED))
        bench.run()
        late = [event.late_s for event in bench.alert.got]
        assert late[0] == pytest.approx(65, abs=5)
        assert max(late[1:]) < 5
        assert bench.store.at(1).event.late_s is not late[0], "only what is sent says so"

    def test_an_output_that_wants_no_old_ones_gets_the_fresh_ones_alone(self, bench):
        """Fifteen old alerts must not fire fifteen air jets at good parts."""
        bench.new(max_age_s=20)
        bench.alert.error = AlertError("connection refused")
        bench.append(*[an_old(n, age_s=60) for n in range(1, 16)])
        (fresh,) = bench.append(an_event(16))
        with capture_logs() as logs:
            bench.run(10)
            assert bench.outbox.outage is not None
            bench.alert.error = None
            bench.run(2)
        assert bench.alert.keys == [fresh]
        assert bench.dead == []
        assert [bench.store.outputs.settled("out", n) for n in (1, 15)] == [Settled.EXPIRED] * 2
        (line,) = [line for line in logs if "expired" in line["event"]]
        assert line["events"] == 15

    def test_the_outage_of_an_output_lasts_while_all_that_it_is_owed_expires(self, bench, monkeypatch):
        """That nothing waits any more does not show that the receiver works."""
        bench.new(max_age_s=20)
        bench.alert.error = AlertError("timed out")
        bench.append(an_event(1))
        bench.run(1)
        assert bench.store.backlog("out").depth == 1
        with monkeypatch.context() as patch:
            in_a_while_ns = time.monotonic_ns() + 10**11
            patch.setattr(time, "monotonic_ns", lambda: in_a_while_ns)
            bench.run(10)
        assert bench.store.backlog("out").depth == 0
        assert bench.outbox.outage is not None
        bench.alert.error = None
        bench.append(an_event(2))
        bench.run(1)
        assert bench.outbox.outage is None

    def test_the_end_of_an_event_that_was_sent_is_sent_and_that_of_an_expired_one_is_not(self, bench, monkeypatch):
        bench.new(max_age_s=20)
        bench.append(an_old(1, age_s=60), an_event(2))
        bench.run()
        ends = bench.append(*[an_event(n, state=EventState.CLEARED) for n in (1, 2)])
        in_a_while_ns = time.time_ns() + 10**12
        monkeypatch.setattr(time, "time_ns", lambda: in_a_while_ns)
        bench.run()
        assert bench.alert.keys == [an_event(2).key, ends[1]]
        assert bench.store.backlog("out").depth == 0


class TestDeadLettersThatAreQueuedAgain:
    def test_they_go_under_their_keys_while_fresh_events_do_not_wait_for_them(self, bench):
        bad, good = bench.append(an_event(1), an_event(2))
        bench.alert.errors[bad] = AlertRejectedError("HTTP 413")
        bench.run()
        bench.alert.errors[bad] = AlertError("HTTP 500")
        assert bench.store.outputs.queue_again("out") == 1
        (fresh,) = bench.append(an_event(3))
        bench.run(2)
        assert bench.alert.keys == [good, fresh]
        assert bench.store.backlog("out").depth == 1
        bench.alert.errors.clear()
        bench.run(2)
        assert bench.alert.keys == [good, fresh, bad]
        assert (bench.dead, bench.store.backlog("out").depth) == ([], 0)

    def test_however_many_there_are_a_fresh_event_goes_first(self, bench):
        bad = bench.append(*[an_event(n) for n in range(1, 151)])
        bench.alert.error = AlertRejectedError("HTTP 413")
        bench.run()
        bench.alert.error = None
        bench.store.outputs.queue_again("out")
        (fresh,) = bench.append(an_event(151))
        bench.run(2)
        assert bench.alert.keys == [fresh, *bad]

    def test_one_that_is_queued_again_survives_a_restart_and_is_sent_once(self, bench):
        (bad,) = bench.append(an_event(1))
        bench.alert.errors[bad] = AlertRejectedError("HTTP 413")
        bench.run()
        bench.alert.errors.clear()
        bench.store.outputs.queue_again("out")
        bench.new()
        bench.run(3)
        bench.new()
        bench.run(3)
        assert bench.alert.keys == [bad]
