"""What every plant input keeps, whatever it speaks: against a real server, killed, stopped and started again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from stream_inspect.plant.input import Level, Text
from tests.alerts.receivers import wait_until
from tests.plant.rigs import Rig

# A connection that is given up before the server's first answer is left to Python's collector by asyncua.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def seconds_until(condition: Callable[[], object], timeout_s: float) -> float:
    """How long it took to become true."""
    start_s = time.monotonic()
    assert wait_until(lambda: bool(condition()), timeout_s), f"not within {timeout_s} s"
    return time.monotonic() - start_s


def all_read(rig: Rig) -> bool:
    return not rig.reader.error and bool(rig.counts() and rig.levels() and rig.texts())


def covered(rig: Rig) -> bool:
    """How the photo-eye stands by the last reading of it; 1 and 0 are true and false."""
    return bool(rig.levels()[-1].value)


def serve(rig: Rig, count: int = 70000, covered: bool = False, serial: str = "A-1") -> None:
    rig.count(count)
    rig.eye(covered)
    rig.serial(serial)


class TestValues:
    def test_count_level_and_text_arrive_with_the_time_of_this_host(self, rig: Rig):
        serve(rig)
        rig.arrives(lambda: all_read(rig) and rig.counts()[-1].count == 70000 and rig.texts()[-1].value == "A-1")
        start_ns = time.monotonic_ns()
        rig.count(70001)
        rig.arrives(lambda: rig.counts()[-1].count == 70001)
        newest = rig.counts()[-1]
        assert newest.bits == 32
        assert start_ns < newest.mono_ns < time.monotonic_ns()
        assert not covered(rig)
        assert rig.reader.dropped == 0

    def test_an_edge_took_place_between_its_two_times(self, rig: Rig):
        serve(rig)
        rig.arrives(lambda: all_read(rig) and not covered(rig))
        # As long as it stands, its change is not known or over.
        time.sleep(0.05)
        before_ns = time.monotonic_ns()
        rig.eye(True)
        after_ns = time.monotonic_ns()
        rig.arrives(lambda: covered(rig))
        edge = rig.levels()[-1]
        assert edge.name == "photo_eye"
        assert edge.after_ns is not None
        assert edge.after_ns <= edge.mono_ns
        # It was seen after it began, and 20 ms of delay on the way are not known to what is sent.
        assert before_ns < edge.mono_ns
        assert edge.after_ns < after_ns + 20e6

    def test_a_serial_is_handed_over_before_the_edge_of_its_part(self, rig: Rig):
        serve(rig)
        rig.arrives(lambda: all_read(rig) and not covered(rig))
        rig.serial("A-2")
        rig.eye(True)
        rig.arrives(lambda: covered(rig))
        said = [one for one in rig.take() if one in (rig.levels()[-1], rig.texts()[-1])]
        assert [type(one) for one in said] == [Text, Level]
        assert said[0].value == "A-2"

    def test_a_serial_that_does_not_change_is_not_repeated(self, rig: Rig):
        serve(rig)
        rig.arrives(lambda: all_read(rig) and rig.texts()[-1].value == "A-1")
        seen = len(rig.texts())
        rig.count(70001)
        rig.arrives(lambda: rig.counts()[-1].count == 70001)
        assert len(rig.texts()) == seen

    def test_a_value_that_is_not_one_is_named_and_the_others_are_read_on(self, rig: Rig):
        serve(rig)
        rig.arrives(lambda: all_read(rig))
        rig.garble()
        rig.arrives(lambda: rig.reader.error != "")
        assert rig.unreadable in rig.reader.error
        assert str(rig.server.port) in rig.reader.error
        rig.eye(True)
        rig.arrives(lambda: covered(rig))
        assert rig.reader.faults > 0
        serve(rig, count=5, serial="A-3")
        rig.arrives(lambda: rig.reader.error == "")

    @pytest.mark.slow
    def test_many_readings_arrive_in_order_and_what_is_lost_is_counted(self, rig: Rig):
        serve(rig, count=0)
        rig.arrives(lambda: all_read(rig) and rig.counts()[-1].count == 0)
        before = len(rig.counts())
        rig.burst(1000)
        rig.arrives(lambda: rig.counts()[-1].count == 1000)
        counts = [one.count for one in rig.counts()[before:] if one.count]
        times = [one.mono_ns for one in rig.counts()]
        assert counts == sorted(counts)
        assert times == sorted(times)
        assert set(counts) == set(range(1, 1001)) or not rig.sends_each_change
        assert rig.reader.dropped == 0
        assert rig.reader.received == len(rig.take())


class TestOutages:
    @pytest.mark.slow
    def test_a_killed_server_is_reported_within_a_second_and_read_within_two_of_its_return(self, rig: Rig):
        serve(rig)
        rig.arrives(lambda: all_read(rig))
        rig.server.kill()
        assert seconds_until(lambda: rig.reader.error, 3) < 1
        assert f"127.0.0.1:{rig.server.port}" in rig.reader.error
        time.sleep(2)  # long enough for the waits between attempts to have grown
        rig.server.start()
        start_s = time.monotonic()
        serve(rig, count=80000, serial="B-1")
        rig.arrives(lambda: rig.counts()[-1].count == 80000 and not rig.reader.error)
        assert time.monotonic() - start_s < 2
        rig.arrives(lambda: rig.texts()[-1].value == "B-1")

    @pytest.mark.slow
    def test_what_changed_in_an_outage_changed_after_it_was_last_seen(self, rig: Rig):
        serve(rig)
        rig.arrives(lambda: all_read(rig) and not covered(rig))
        last_ns = time.monotonic_ns()
        rig.server.kill()
        rig.arrives(lambda: rig.reader.error != "")
        rig.server.start()
        serve(rig, covered=True)
        rig.arrives(lambda: covered(rig))
        edge = rig.levels()[-1]
        assert edge.after_ns is None or edge.after_ns < last_ns + 1e9

    @pytest.mark.slow
    def test_a_server_that_hangs_is_reported_and_read_again(self, rig: Rig):
        serve(rig)
        rig.arrives(lambda: all_read(rig))
        rig.server.signal(signal.SIGSTOP)
        assert seconds_until(lambda: rig.reader.error, 6) < 3
        time.sleep(1)
        rig.server.signal(signal.SIGCONT)
        assert seconds_until(lambda: not rig.reader.error, 6) < 3
        rig.count(90000)
        rig.arrives(lambda: rig.counts()[-1].count == 90000)

    def test_a_server_that_is_not_there_is_named_and_closing_does_not_wait_for_it(self, rig: Rig):
        rig.reader.close()
        rig.server.kill()
        rig.reader.open()
        rig.arrives(lambda: "cannot connect: Connection refused" in rig.reader.error)
        assert f"127.0.0.1:{rig.server.port}" in rig.reader.error
        assert seconds_until(lambda: rig.reader.close() is None, 3) < 0.5

    @pytest.mark.slow
    def test_closing_does_not_wait_for_a_server_that_hangs(self, rig: Rig):
        serve(rig)
        rig.arrives(lambda: all_read(rig))
        rig.server.signal(signal.SIGSTOP)
        assert seconds_until(lambda: rig.reader.close() is None, 5) < 1.5
        rig.server.signal(signal.SIGCONT)

    @pytest.mark.slow
    def test_nothing_is_left_of_a_connection(self, rig: Rig):
        def cycle() -> None:
            rig.reader.open()
            rig.arrives(lambda: not rig.reader.error)
            rig.reader.close()

        rig.reader.close()
        cycle()
        threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            cycle()
        assert threading.active_count() == threads
        assert len(os.listdir("/proc/self/fd")) == files
