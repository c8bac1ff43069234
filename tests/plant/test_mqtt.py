"""What is special about MQTT: payloads, what a broker retains, TLS and rights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_inspect.plant.build import make_reader
from stream_inspect.plant.input import EncoderCount, Level, Reading, Text
from stream_inspect.plant.reader import PlantReader
from tests.alerts.receivers import BlackHole, Mosquitto, make_certificates, wait_until
from tests.plant.rigs.mqtt import Publisher, config_of

PASSWORD = "right-one"
Open = Callable[..., PlantReader]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "broker")
    broker.start()
    yield broker
    broker.close()


@pytest.fixture
def publisher(broker: Mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(broker.port)
    yield publisher
    publisher.close()


@pytest.fixture
def opened() -> Iterator[Open]:
    readers = []

    def make(port: int, **keys: object) -> PlantReader:
        readers.append(make_reader(config_of(port, **keys)))
        readers[-1].open()
        return readers[-1]

    yield make
    for reader in readers:
        reader.close()


@pytest.fixture
def reader(broker: Mosquitto, opened: Open) -> PlantReader:
    """One that is subscribed."""
    reader = opened(broker.port)
    assert wait_until(lambda: reader.error == "")
    return reader


def taken(reader: PlantReader, many: int) -> list[Reading]:
    """What was read, when it is so many."""
    assert wait_until(lambda: reader.received >= many), reader.error
    return reader.take()


def test_each_message_of_a_photo_eye_is_handed_over_though_it_says_the_same(publisher, reader):
    for _ in range(3):
        publisher.publish("line/eye", "1")
    levels = taken(reader, 3)
    assert [(one.name, one.value) for one in levels] == [("photo_eye", 1)] * 3
    assert all(one.after_ns == one.mono_ns for one in levels)


def test_what_the_broker_retained_is_how_it_stands_and_no_edge(broker, publisher, opened):
    publisher.publish("line/eye", "1", retain=True)
    (level,) = taken(opened(broker.port), 1)
    assert (level.value, level.after_ns) == (1, None)


def test_a_count_that_the_broker_retained_is_of_who_knows_when(broker, publisher, opened):
    publisher.publish("line/encoder", json.dumps({"axis": [{"count": 5}]}), retain=True)
    reader = opened(broker.port)
    assert wait_until(lambda: reader.error == "")
    publisher.publish("line/encoder", json.dumps({"axis": [{"count": 6}]}))
    assert [one.count for one in taken(reader, 1)] == [6]


def test_a_heartbeat_says_that_the_last_count_still_stands(broker, publisher, opened):
    publisher.publish("line/encoder", json.dumps({"axis": [{"count": 5}]}), retain=True)
    encoder = {"topic": "line/encoder", "pointer": "/axis/0/count", "alive_topic": "line/alive"}
    reader = opened(broker.port, encoder=encoder)
    assert wait_until(lambda: reader.error == "")
    for _ in range(2):
        publisher.publish("line/alive", "any")
    counts = taken(reader, 2)
    assert [one.count for one in counts] == [5, 5], "the retained one, of which it is known now when"
    publisher.publish("line/encoder", json.dumps({"axis": [{"count": "?"}]}))
    publisher.publish("line/alive", "any")
    publisher.publish("line/eye", "1")
    assert [type(one) for one in taken(reader, 3)] == [Level]


def test_one_payload_may_hold_several_values(broker, publisher, opened):
    """The serial comes before the edge of its part, in whatever order they are configured."""
    reader = opened(
        broker.port,
        encoder={"topic": "line/part", "pointer": "/encoder"},
        photo_eyes=[{"name": "infeed", "topic": "line/part", "pointer": "/covered"}],
        texts=[{"name": "serial", "topic": "line/part", "pointer": "/serial"}],
    )
    assert wait_until(lambda: reader.error == "")
    publisher.publish("line/part", json.dumps({"covered": True, "serial": 4711, "encoder": 9}))
    readings = taken(reader, 3)
    assert [type(one) for one in readings] == [EncoderCount, Text, Level]
    assert readings[1].value == "4711"
    assert len({one.mono_ns for one in readings}) == 1


@pytest.mark.parametrize(
    ("topic", "payload", "error"),
    [
        ("line/encoder", b'{"axis": [{"count": "fast"}]}', "encoder in line/encoder: expected a count, got 'fast'"),
        ("line/encoder", b'{"axis": []}', "encoder in line/encoder: there is no /axis/0/count in {'axis': []}"),
        ("line/eye", b"half", "photo_eye in line/eye: expected true, false or a whole number, got 'half'"),
        ("line/eye", b"", "photo_eye in line/eye: expected true, false or a whole number, got ''"),
        ("line/serial", b'{"serial": "' + b"x" * 70_000 + b'"}', "expected at most 65536 bytes, got 70014"),
    ],
)
def test_a_payload_that_is_no_value_is_named_until_one_is(broker, publisher, reader, topic, payload, error):
    publisher.publish(topic, payload)
    assert wait_until(lambda: error in reader.error)
    assert reader.error.startswith(f"MQTT broker 127.0.0.1:{broker.port}: ")
    publisher.publish("line/encoder", json.dumps({"axis": [{"count": 6}]}))
    publisher.publish("line/eye", "0")
    publisher.publish("line/serial", json.dumps({"serial": "A"}))
    assert wait_until(lambda: reader.received == 3)
    assert reader.error == ""


@pytest.mark.parametrize("protocol", ["mqtt5", "mqtt311"])
def test_over_tls_with_a_password(tmp_path, opened, protocol):
    broker = Mosquitto(tmp_path / "tls", tls=True, password=PASSWORD)
    broker.start()
    keys = {"tls": True, "ca_file": broker.certificates.ca, "username": "inspector", "protocol": protocol}
    right = opened(broker.port, password=PASSWORD, **keys)
    assert wait_until(lambda: right.error == ""), right.error
    wrong = opened(broker.port, password="wr0ng-one", **keys)
    assert wait_until(lambda: "rejected the connection: " in wrong.error), wrong.error
    assert "wr0ng-one" not in wrong.error
    stranger = opened(broker.port, password=PASSWORD, **keys | {"ca_file": make_certificates(tmp_path).ca})
    assert wait_until(lambda: "cannot connect: its certificate is not trusted" in stranger.error), stranger.error
    broker.close()


@pytest.mark.slow
def test_a_broker_that_does_not_answer_is_noticed_after_the_timeout(opened):
    hole = BlackHole()
    reader = opened(hole.port, timeout_s=0.3)
    assert wait_until(lambda: reader.error.endswith("no answer within 0.3 s"), 5)
    hole.close()


@pytest.mark.slow
def test_five_thousand_messages_arrive_without_loss(publisher, reader):
    for n in range(5000):
        publisher.publish("line/encoder", json.dumps({"axis": [{"count": n}]}), qos=0)
    counts = [one.count for one in taken(reader, 5000)]
    assert counts[-4096:] == list(range(5000))[-4096:]
    assert len(counts) + reader.dropped == 5000
