"""Whose fault it is where one event is answered as all would be, after an outage, and when a receiver dies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stream_inspect.alerts.alert import AlertError, AlertRejectedError, OutputRefusedError
from stream_inspect.alerts.lanes import GIVE_UP_AFTER_S
from stream_inspect.alerts.outbox import Outbox, OutboxThread
from stream_inspect.store.database import StoreError
from tests.alerts.events import an_event
from tests.alerts.receivers import wait_until
from tests.alerts.test_outbox_faults import LONG_S, Bench

REFUSED = OutputRefusedError("broker rejected stream_inspect/cam1: Not authorized")
BUSY = AlertError("HTTP 503", retry_after_s=7.0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.store.close()


@pytest.mark.parametrize("answer", [REFUSED, BUSY], ids=["not authorized", "Retry-After"])
class TestAnAnswerAboutUsToOneEvent:
    def test_other_cameras_are_delivered_in_order_and_it_is_reported_until_it_is_delivered_too(self, bench, answer):
        """A broker forbids one topic; a receiver puts off one event again and again."""
        bad, behind = bench.append(an_event(1), an_event(2))
        bench.alert.errors[bad] = answer
        others = []
        with capture_logs() as logs:
            for n in range(1, 31):
                others += bench.append(an_event(n, camera="cam2"))
                bench.run(2)
                if n > 10:
                    assert bench.alert.keys == others, "at once"
                    assert bench.outbox.outage is not None, "an operator has to see that cam1 is not delivered"
                    assert bench.outbox.outage.reason.endswith("; events of cam1 wait")
                    assert bench.outbox.outage.refused is (answer is REFUSED)
        assert bench.dead == []
        assert len(logs) < 10, "not a line a try"
        bench.alert.errors.clear()
        bench.run(10)
        assert bench.alert.keys == [*others, bad, behind]
        assert bench.outbox.outage is None

    def test_however_many_of_its_camera_are_in_front_those_of_others_are_found(self, bench, answer):
        bad = bench.append(*(an_event(n) for n in range(1, 301)))
        (good,) = bench.append(an_event(1, camera="cam2"))
        bench.alert.errors = dict.fromkeys(bad, answer)
        bench.run(60)
        assert bench.alert.keys == [good]

    def test_where_all_events_are_answered_so_everything_waits_and_the_pause_is_kept(self, bench, answer):
        keys = bench.append(*(an_event(n, camera=f"cam{n % 3}") for n in range(1, 12)))
        bench.alert.error = answer
        bench.run(LONG_S)
        assert bench.dead == []
        assert bench.outbox.outage is not None
        assert bench.outbox.outage.reason == str(answer)
        if answer is BUSY:
            assert len(bench.alert.tries) < LONG_S / 7 + 3
        bench.alert.error = None
        bench.run(10)
        assert sorted(bench.alert.keys) == sorted(keys)
        assert bench.outbox.outage is None


class TestAnOutageSaysNothingAboutAnEvent:
    @pytest.mark.parametrize("answer", [None, AlertRejectedError("HTTP 413")], ids=["delivered", "rejected"])
    def test_whatever_the_first_answer_after_it_is(self, bench, answer):
        """Each camera's first event failed through all of it, and one of them once more when others were delivered."""
        first, second, again = bench.append(*(an_event(1, camera=camera) for camera in ("cam1", "cam2", "cam3")))
        bench.alert.error = AlertError("timed out")
        bench.run(2 * GIVE_UP_AFTER_S)
        while bench.alert.tries[-1] != again:  # then it is the turn of the first
            bench.run(0.1)
        bench.alert.error = None
        bench.alert.errors[again] = AlertError("HTTP 500")
        if answer:
            bench.alert.errors[first] = answer
        tries = len(bench.alert.tries)
        bench.run(2)
        assert bench.alert.tries[tries : tries + 3] == [first, second, again]
        bench.alert.errors.pop(again)
        bench.run(5)
        assert bench.alert.keys[-1] == again
        assert again not in [key for key, _ in bench.dead]


class TestAReceiverThatDies:
    def test_while_only_events_wait_that_failed_alone_it_is_reported_soon(self, bench):
        """They were accused while it worked. Since then nothing was delivered, and nothing waits that could be."""
        bad = [bench.append(an_event(1, camera=f"bad{n}"))[0] for n in range(3)]
        bench.alert.errors = dict.fromkeys(bad, AlertError("HTTP 500"))
        for n in range(1, 4):
            bench.append(an_event(n))
            bench.run(1)
        assert bench.outbox.outage is None
        bench.alert.error = AlertError("connection refused")
        bench.run(3)
        assert bench.outbox.outage is not None
        bench.alert.error = None
        bench.append(an_event(4))
        bench.run(1)
        assert bench.outbox.outage is None

    def test_one_that_fails_on_an_event_is_up_where_others_are_delivered_now_and_then(self, bench):
        (bad,) = bench.append(an_event(1))
        bench.alert.errors[bad] = AlertError("HTTP 500")
        for n in range(1, 9):
            bench.append(an_event(n, camera="cam2"))
            bench.run(10)
        assert [key for key, _ in bench.dead] == [bad], "these outages do not acquit it"


class TestAFailingStore:
    def test_a_read_that_fails_at_a_recovery_ends_no_output(self, bench):
        """The line that logs a recovery has the number of events that wait, which is read from the store."""
        real, reads = bench.store.backlog, []

        def backlog(output: str, *unwanted: object) -> object:
            reads.append(output)
            if len(reads) == 1:
                raise StoreError("disk I/O error")
            return real(output, *unwanted)

        bench.alert.open = lambda: bench.alert.wait("open")
        bench.alert.wait = fail
        bench.store.backlog = backlog
        thread = OutboxThread(Outbox("out", bench.alert, bench.store))
        thread.start()
        assert wait_until(lambda: thread.outbox.outage is not None)
        bench.alert.wait = lambda key: None
        assert wait_until(lambda: len(reads) >= 2)
        bench.append(an_event(1))
        thread.wake()
        assert wait_until(lambda: bench.alert.keys == [an_event(1).key])
        thread.stop(0)
        assert thread.join(10)

    def test_a_fault_of_ours_is_an_outage_and_not_the_end_of_the_thread(self, bench):
        thread = OutboxThread(Outbox("out", bench.alert, bench.store))
        real, thread.outbox._step = thread.outbox._step, lambda: 1 / 0
        with capture_logs() as logs:
            thread.start()
            assert wait_until(lambda: thread.outbox.outage is not None)
            assert thread.outbox.outage.reason.startswith("ZeroDivisionError")
            bench.append(an_event(1))
            thread.outbox._step = real
            assert wait_until(lambda: bench.alert.keys == [an_event(1).key])
        assert wait_until(lambda: thread.outbox.outage is None)
        thread.stop(0)
        assert thread.join(10)
        assert [line["event"] for line in logs] == ["sending failed unexpectedly; retrying"]


def fail(key: str) -> None:
    raise AlertError("connection refused")
