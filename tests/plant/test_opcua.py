"""What is special about OPC UA: nodes, users, states, and the clock of the server, which is seven hours slow here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import median

import pytest

from stream_inspect.plant.build import make_reader
from stream_inspect.plant.input import EncoderCount, Reading
from stream_inspect.plant.reader import PlantReader
from tests.alerts.receivers import wait_until
from tests.plant.rigs import Served
from tests.plant.rigs.opcua import config_of, served

PASSWORD = "right-one"
Open = Callable[..., PlantReader]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """One for all of these, as it takes a second and more to start."""
    server = served(PASSWORD)
    yield server
    server.kill()


@pytest.fixture
def opened(server: Served) -> Iterator[Open]:
    readers = []

    def make(**keys: object) -> PlantReader:
        keys = {"username": "inspector", "password": PASSWORD} | keys
        readers.append(make_reader(config_of(server.port, **keys)))
        readers[-1].open()
        return readers[-1]

    yield make
    for reader in readers:
        reader.close()


def until(reader: PlantReader, condition: Callable[[list[Reading]], bool], timeout_s: float = 10) -> list[Reading]:
    """All readings until they are as expected."""
    found: list[Reading] = []
    assert wait_until(lambda: bool(found.extend(reader.take()) or condition(found)), timeout_s), (reader.error, found)
    return found


def test_a_wrong_password_is_rejected_and_not_shown(opened):
    reader = opened()
    assert wait_until(lambda: reader.error == "")
    reader = opened(password="wr0ng-one")
    assert wait_until(lambda: "cannot connect: BadUserAccessDenied" in reader.error)
    assert "wr0ng-one" not in reader.error


def test_what_arrives_in_one_message_is_as_far_apart_as_the_server_says(server, opened):
    """A count every 2 ms, sent ten times a second: fifty arrive at one moment, and were not of one moment."""
    reader = opened(publishing_interval_s=0.1, photo_eyes=[], texts=[])
    until(reader, bool)
    before_ns = time.monotonic_ns()
    server.tell(count=50)
    counts = [one for one in until(reader, lambda found: bool(found) and found[-1].count == 50) if one.count]
    assert [one.count for one in counts] == list(range(1, 51))
    times = [one.mono_ns for one in counts]
    assert median(after - before for before, after in pairwise(times)) > 1e6
    assert before_ns - 0.1e9 < times[0]
    assert times[-1] < time.monotonic_ns()


def test_a_node_that_is_not_there_is_named_and_the_others_are_read(server, opened):
    reader = opened(levels=[{"name": "running", "node": "ns=2;s=not_there"}])
    assert wait_until(lambda: reader.error.endswith("running (node ns=2;s=not_there): BadNodeIdUnknown"))
    assert f"127.0.0.1:{server.port}" in reader.error
    until(reader, lambda found: any(isinstance(one, EncoderCount) for one in found))


@pytest.mark.slow
def test_a_node_that_is_made_later_is_read_then(server, opened):
    reader = opened(levels=[{"name": "running", "node": "ns=2;s=later"}])
    assert wait_until(lambda: "BadNodeIdUnknown" in reader.error)
    server.tell(add={"later": True})
    until(reader, lambda found: any(getattr(one, "name", "") == "running" and one.value is True for one in found))
    assert wait_until(lambda: reader.error == "")


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"encoder": {"node": "ns=2;s=ratio"}}, "encoder (node ns=2;s=ratio): expected a count, got 1.5"),
        ({"encoder": {"node": "ns=2;s=words"}}, "encoder (node ns=2;s=words): expected a count, got 'maybe'"),
        ({"levels": [{"name": "runs", "node": "ns=2;s=words"}]}, "expected true, false or a whole number, got 'maybe'"),
        ({"texts": [{"name": "lot", "node": "ns=2;s=ratio"}]}, "lot (node ns=2;s=ratio): expected a text, got 1.5"),
        ({"texts": [{"name": "lot", "node": "i=2253"}]}, "lot (node i=2253): BadAttributeIdInvalid"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(opened, keys, error):
    reader = opened(**keys)
    assert wait_until(lambda: error in reader.error), reader.error


@pytest.mark.parametrize("status", ["BadSensorFailure", "UncertainLastUsableValue"])
def test_a_count_that_the_server_does_not_vouch_for_is_not_taken(server, opened, status):
    reader = opened()
    until(reader, lambda found: any(isinstance(one, EncoderCount) for one in found))
    server.tell(status=["encoder", 77, status])
    assert wait_until(lambda: reader.error.endswith(f"encoder (node ns=2;s=encoder): {status}"))
    assert 77 not in [one.count for one in reader.take() if isinstance(one, EncoderCount)]
    server.tell(set={"encoder": 0})
    assert wait_until(lambda: reader.error == "")


def test_a_queue_that_overflowed_at_the_server_is_counted(server, opened):
    reader = opened()
    until(reader, lambda found: any(isinstance(one, EncoderCount) for one in found))
    server.tell(status=["encoder", 78, 0x480])
    until(reader, lambda found: any(isinstance(one, EncoderCount) and one.count == 78 for one in found))
    assert reader.dropped == 1


def test_the_count_of_a_belt_that_stands_is_handed_over_as_long_as_the_server_says_that_it_does(server, opened):
    server.tell(set={"encoder": 41})
    reader = opened(photo_eyes=[], texts=[])
    counts = [one for one in until(reader, lambda found: len(found) >= 4) if isinstance(one, EncoderCount)]
    assert {one.count for one in counts} == {41}
    assert max(after.mono_ns - before.mono_ns for before, after in pairwise(counts)) < 0.5e9
    server.tell(status=["encoder", 41, "BadSensorFailure"])
    assert wait_until(lambda: "BadSensorFailure" in reader.error)
    received = reader.received
    time.sleep(0.5)
    assert reader.received == received, "what it does not vouch for does not stand"
    server.tell(set={"encoder": 0})
    assert wait_until(lambda: reader.error == "")


def test_a_server_that_leaves_it_open_whether_the_belt_stands_is_named(server, opened):
    reader = opened(publishing_interval_s=1.0)
    assert wait_until(lambda: "sends keep-alives every 1 s, needed are 0.5" in reader.error), reader.error
