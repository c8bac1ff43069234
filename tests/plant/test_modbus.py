"""What is special about Modbus: words, tables, exceptions, and one request for what belongs together."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from stream_inspect.plant.build import make_reader
from stream_inspect.plant.input import EncoderCount, Level, Reading, Text
from stream_inspect.plant.reader import PlantReader
from tests.alerts.receivers import BlackHole, wait_until
from tests.plant.rigs import Served
from tests.plant.rigs.modbus import config_of, served

Open = Callable[..., PlantReader]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    server = served()
    yield server
    server.kill()


@pytest.fixture
def opened(server: Served) -> Iterator[Open]:
    readers = []

    def make(port: int = server.port, **keys: object) -> PlantReader:
        readers.append(make_reader(config_of(port, **keys)))
        readers[-1].open()
        return readers[-1]

    yield make
    for reader in readers:
        reader.close()


def first(reader: PlantReader, kind: type[Reading]) -> Reading:
    """The first reading of this kind that comes."""
    found: list[Reading] = []
    assert wait_until(lambda: bool(found.extend(one for one in reader.take() if type(one) is kind) or found), 5), (
        reader.error
    )
    return found[0]


@pytest.mark.parametrize(
    ("encoder", "word_order", "registers", "count"),
    [
        ({"bits": 16}, "big", [0xFFFF, 0], 65535),
        ({"bits": 16, "signed": True}, "big", [0xFFFF, 0], -1),
        ({"bits": 32}, "big", [0x0001, 0x0002], 65538),
        ({"bits": 32}, "little", [0x0002, 0x0001], 65538),
        ({"bits": 32}, "big", [0xFFFF, 0xFFFE], 4294967294),
        ({"bits": 32, "signed": True}, "big", [0xFFFF, 0xFFFE], -2),
        ({"bits": 32, "signed": True}, "little", [0xFFFE, 0xFFFF], -2),
    ],
)
@pytest.mark.parametrize("table", ["holding", "input"])
def test_a_count_of_either_width_sign_and_order(server, opened, table, encoder, word_order, registers, count):
    server.tell(**{table: {20: registers}})
    reader = opened(encoder={"table": table, "address": 20, **encoder}, word_order=word_order)
    assert first(reader, EncoderCount).count == count


def test_what_is_in_one_table_is_of_one_moment(server, opened):
    """The PLC writes the count and the counter of edges at once; read by two requests, they would differ at times."""
    eye = {"name": "eye", "table": "holding", "address": 32, "counter_bits": 16}
    server.tell(holding={30: [0, 0, 0]})
    reader = opened(encoder={"address": 30}, photo_eyes=[eye], rate_hz=500)
    end_s, n, readings = time.monotonic() + 20, 0, list[Reading]()
    while len([one for one in readings if isinstance(one, Level)]) < 30 and time.monotonic() < end_s:
        n += 1
        server.tell(holding={30: [n, n, n]})
        readings += reader.take()
    counts = {one.mono_ns: one.count for one in readings if isinstance(one, EncoderCount)}
    edges = [one for one in readings if isinstance(one, Level)]
    assert len(edges) >= 30
    assert [counts[edge.mono_ns] for edge in edges] == [edge.value * 0x10001 for edge in edges]


@pytest.mark.parametrize(
    ("level", "written", "value"),
    [
        ({"table": "discrete", "address": 9}, {"discrete": {9: [True]}}, True),
        ({"table": "discrete", "address": 9}, {"discrete": {9: [False]}}, False),
        ({"table": "coil", "address": 17}, {"coil": {17: [True]}}, True),
        ({"table": "input", "address": 40}, {"input": {40: [0x0100]}}, True),
        ({"table": "holding", "address": 40, "counter_bits": 16}, {"holding": {40: [65535]}}, 65535),
        ({"table": "holding", "address": 40, "counter_bits": 32}, {"holding": {40: [1, 1]}}, 65537),
    ],
)
def test_a_photo_eye_is_a_bit_a_register_or_a_counter_of_its_edges(server, opened, level, written, value):
    server.tell(**written)
    found = first(opened(photo_eyes=[{"name": "eye", **level}]), Level)
    assert (found.value, type(found.value), found.after_ns) == (value, type(value), None)


def test_a_counter_shows_edges_that_no_poll_saw(server, opened):
    server.tell(holding={41: [65534]})
    reader = opened(photo_eyes=[{"name": "eye", "table": "holding", "address": 41, "counter_bits": 16}], rate_hz=5)
    assert first(reader, Level).value == 65534
    for count in (65535, 0, 1):
        server.tell(holding={41: [count]})
    edge = first(reader, Level)
    assert edge.value in (65535, 0, 1)
    assert 0 < edge.mono_ns - edge.after_ns < 1e9


@pytest.mark.parametrize(
    ("registers", "keys", "text"),
    [
        ([0x4142, 0x4300, 0, 0], {}, "ABC"),
        ([0x4142, 0x0043, 0x4445, 0], {}, "AB"),  # what is left of a longer text before it
        ([0x2041, 0x4220, 0x2020, 0x2020], {}, "AB"),
        ([0x4241, 0x0043, 0, 0], {"swap_bytes": True}, "ABC"),
        ([0x41E4, 0, 0, 0], {"encoding": "latin-1"}, "Aä"),
        ([0x41C3, 0xA400, 0, 0], {}, "Aä"),
        ([0, 0, 0, 0], {}, ""),
    ],
)
def test_a_text_in_registers(server, opened, registers, keys, text):
    server.tell(holding={50: registers})
    reader = opened(texts=[{"name": "lot", "address": 50, "registers": 4, **keys}], word_order="little")
    assert first(reader, Text).value == text


def test_an_address_that_the_plc_has_not_is_named_and_the_other_tables_are_read(server, opened):
    server.tell(discrete={9: [True]})
    reader = opened(encoder={"address": 900}, levels=[{"name": "running", "address": 9}])
    assert first(reader, Level).value is True
    assert wait_until(lambda: reader.error != "")
    assert reader.error == (
        f"Modbus server 127.0.0.1:{server.port} rejected the read of holding registers 900 to 901: "
        "illegal address (exception 2)"
    )
    server.tell(discrete={9: [False]})
    assert first(reader, Level).value is False
    faults = reader.faults
    time.sleep(0.3)
    assert reader.faults <= faults + 1  # half a second between two tries


def test_a_serial_is_handed_over_before_the_edge_that_was_seen_with_it(server, opened):
    reader = opened(
        encoder={"address": 20},
        photo_eyes=[{"name": "eye", "address": 9}],
        texts=[{"name": "serial", "address": 50, "registers": 4}],
    )
    assert wait_until(lambda: reader.received >= 3)
    assert [type(one) for one in reader.take()[:3]] == [EncoderCount, Text, Level]


def test_a_unit_that_is_not_there_is_an_exception_too(opened):
    reader = opened(unit=7, encoder={"address": 20})
    assert wait_until(lambda: "rejected the read of holding registers 20 to 21: device failure" in reader.error)


def test_it_asks_no_faster_than_its_rate(server, opened):
    reader = opened(encoder={"address": 20}, rate_hz=20)
    first(reader, EncoderCount)
    time.sleep(0.5)
    assert len(reader.take()) <= 11


def test_a_plc_that_does_not_answer_is_noticed_after_the_timeout(opened):
    hole = BlackHole()
    start_s = time.monotonic()
    reader = opened(hole.port, encoder={"address": 20}, timeout_s=0.2)
    assert wait_until(lambda: "no answer to the read of holding registers 20 to 21 within 0.2 s" in reader.error, 5)
    assert time.monotonic() - start_s < 1
    hole.close()


class SlowPlc:
    """Takes `delays_s` to answer each request in turn, then none; the count is the request's number."""

    def __init__(self, *delays_s: float) -> None:
        self._delays_s = iter(delays_s)
        self.asked_ns: list[int] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while len(request := connection.recv(12)) == 12:
                self.asked_ns.append(time.monotonic_ns())
                number = len(self.asked_ns)
                time.sleep(next(self._delays_s, 0))
                connection.sendall(request[:2] + bytes((0, 0, 0, 5, request[6], 3, 2)) + number.to_bytes(2))

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def test_the_time_of_a_count_is_the_middle_of_its_request(opened):
    plc = SlowPlc(0.1)
    reader = opened(plc.port, encoder={"address": 20, "bits": 16}, timeout_s=1)
    count = first(reader, EncoderCount)
    reader.close()
    assert count.round_trip_ns >= 0.1e9
    # The answer's way is the shorter half, so the middle lies at least this near to where half of the delay is over.
    assert abs(count.mono_ns - (plc.asked_ns[0] + 0.05e9)) <= count.round_trip_ns - 0.1e9 + 5e6
    plc.close()


def test_a_request_without_an_answer_ends_the_connection_and_its_late_answer_is_not_taken(opened):
    plc = SlowPlc(0.4)
    reader = opened(plc.port, encoder={"address": 20, "bits": 16}, timeout_s=0.2)
    counts: list[int] = []
    assert wait_until(lambda: bool(counts.extend(one.count for one in reader.take()) or len(counts) > 60))
    reader.close()
    assert plc.connections == 2
    assert counts == list(range(2, 2 + len(counts)))
    plc.close()
