"""The one thread that reads: connects again, queues, and counts what it has to drop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from stream_inspect.plant.input import EncoderCount, Level, PlantInputError, Sink, Text
from stream_inspect.plant.reader import PlantReader
from tests.alerts.receivers import wait_until


class Scripted:
    """An input whose connections are functions, one after the other; then it waits to be closed."""

    def __init__(self, *connections: Callable[[Sink], object]) -> None:
        self._connections = iter(connections)
        self.begun_s: list[float] = []

    def read(self, sink: Sink) -> None:
        self.begun_s.append(time.monotonic())
        next(self._connections, until_closed)(sink)


def until_closed(sink: Sink) -> None:
    while not sink.wait(0.01):
        pass


def fails(text: str) -> Callable[[Sink], None]:
    def read(_sink: Sink) -> None:
        raise PlantInputError(text)

    return read


def count(n: int) -> EncoderCount:
    return EncoderCount(n, 32, mono_ns=n, round_trip_ns=0)


@pytest.fixture
def opened() -> Iterator[Callable[..., PlantReader]]:
    readers = []

    def make(*connections: Callable[[Sink], object], **keys: object) -> PlantReader:
        readers.append(PlantReader(Scripted(*connections), name="plc", **keys))
        readers[-1].open()
        return readers[-1]

    yield make
    for reader in readers:
        reader.close()


def test_readings_are_taken_once_in_their_order(opened):
    reader = opened(lambda sink: (sink.put([count(1), Text("lot", "A", 1)]), sink.put([count(2)]), until_closed(sink)))
    assert wait_until(lambda: reader.received == 3)
    assert reader.take() == [count(1), Text("lot", "A", 1), count(2)]
    assert reader.take() == []


def test_the_stage_is_woken_after_readings(opened):
    woken = threading.Event()
    opened(lambda sink: (sink.put([count(1)]), until_closed(sink)), wake=woken.set)
    assert woken.wait(5)


def test_what_nobody_takes_is_dropped_oldest_first_and_counted(opened):
    reader = opened(lambda sink: (sink.put([count(n) for n in range(10)]), until_closed(sink)), depth=4)
    assert wait_until(lambda: reader.received == 10)
    assert reader.dropped == 6
    assert reader.take() == [count(n) for n in (6, 7, 8, 9)]


def test_a_recipe_that_changed_once_outlasts_any_number_of_counts(opened):
    """Only changes are handed over: dropped, it would be wrong until the next changeover."""
    first = [Text("recipe", "bottle", 0), Level("line_running", False, 0), Level("line_running", True, 1)]

    def flood(sink: Sink) -> None:
        sink.put(first)
        for n in range(100):
            sink.put([count(n)])
        until_closed(sink)

    reader = opened(flood, depth=8)
    assert wait_until(lambda: reader.received == 103)
    taken = reader.take()
    assert taken[:2] == [first[0], first[2]]
    assert taken[2:] == [count(n) for n in range(94, 100)]
    assert reader.dropped == 95


def test_more_names_than_room_is_no_endless_search(opened):
    levels = [Level(f"l{n}", True, n) for n in range(6)]
    reader = opened(lambda sink: (sink.put(levels), until_closed(sink)), depth=4)
    assert wait_until(lambda: reader.dropped == 2)
    assert reader.take() == levels[2:]


def test_drops_are_logged_once(opened):
    def flood(sink: Sink) -> None:
        for n in range(20):
            sink.put([count(n)])
        until_closed(sink)

    with capture_logs() as logs:
        reader = opened(flood, depth=4)
        assert wait_until(lambda: reader.dropped == 16)
    assert [line["event"] for line in logs] == ["plant readings dropped: they were not taken in time"]


def test_it_connects_again_after_longer_and_longer_waits(opened):
    reader = opened(*[fails("PLC: gone")] * 4)
    assert reader.error
    scripted = reader._input
    assert wait_until(lambda: len(scripted.begun_s) == 5)
    waits = [b - a for a, b in zip(scripted.begun_s, scripted.begun_s[1:], strict=False)]
    assert [round(wait, 1) >= least for wait, least in zip(waits, (0.1, 0.2, 0.4, 0.8), strict=True)] == [True] * 4
    assert reader.error == "PLC: gone"


def test_an_answer_ends_the_error_and_the_long_waits(opened):
    connected = threading.Event()

    def answers_then_fails(sink: Sink) -> None:
        sink.connected()
        connected.set()
        raise PlantInputError("PLC: gone again")

    reader = opened(fails("PLC: gone"), fails("PLC: gone"), answers_then_fails, lambda sink: sink.connected())
    assert connected.wait(5)
    answered_s = time.monotonic()
    assert wait_until(lambda: reader.error == "", 5)
    assert time.monotonic() - answered_s < 0.35  # the first wait again, and not the third, of 0.4 s


def test_an_error_of_a_library_does_not_end_the_reading(opened):
    def breaks(_sink: Sink) -> None:
        raise KeyError("struct")

    with capture_logs() as logs:
        reader = opened(breaks, lambda sink: (sink.put([count(1)]), until_closed(sink)))
        assert wait_until(lambda: reader.received == 1)
    assert [line["error"] for line in logs] == ["KeyError: 'struct'"]


def test_one_error_is_logged_once_however_often_it_returns(opened):
    with capture_logs() as logs:
        reader = opened(*[fails("PLC: gone")] * 3)
        assert wait_until(lambda: len(reader._input.begun_s) == 4)
    assert [line["event"] for line in logs] == ["plant input failed"]


def test_a_value_that_flickers_is_an_error_while_it_lasts_counted_each_time_and_logged_once(opened):
    step = threading.Semaphore(0)

    def flickers(sink: Sink) -> None:
        sink.connected()
        for n in range(6):
            sink.fault("serial", "PLC: serial: expected a text" if n % 2 == 0 else "")
            step.acquire()
        until_closed(sink)

    with capture_logs() as logs:
        reader = opened(flickers)
        for _ in range(3):
            assert wait_until(lambda: reader.error == "PLC: serial: expected a text")
            step.release()
            assert wait_until(lambda: reader.error == "")
            step.release()
    assert reader.faults == 3
    assert [line["event"] for line in logs if "cannot be read" in line["event"]] == ["plant value cannot be read"]


def test_a_fault_ends_with_its_connection(opened):
    def faulty(sink: Sink) -> None:
        sink.connected()
        sink.fault("serial", "PLC: serial: expected a text")
        raise PlantInputError("PLC: gone")

    reader = opened(faulty, lambda sink: (sink.connected(), until_closed(sink)))
    assert wait_until(lambda: len(reader._input.begun_s) == 2 and reader.error == "")


def test_what_the_other_side_lost_is_counted(opened):
    reader = opened(lambda sink: (sink.lost(3), until_closed(sink)))
    assert wait_until(lambda: reader.dropped == 3)


def test_it_can_be_opened_after_it_was_closed_and_closed_in_any_state():
    reader = PlantReader(Scripted(*[lambda sink: (sink.put([count(1)]), until_closed(sink))] * 2), name="plc")
    reader.close()
    for n in (1, 2):
        reader.open()
        assert wait_until(lambda n=n: reader.received == n)
        reader.close()
        reader.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "plant-plc"]


def test_it_is_closed_during_a_wait_at_once(opened):
    reader = opened(*[fails("PLC: gone")] * 9)
    assert wait_until(lambda: len(reader._input.begun_s) == 3)
    start_s = time.monotonic()
    reader.close()
    assert time.monotonic() - start_s < 0.2
