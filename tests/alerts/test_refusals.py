"""The three classes of a failure, the same for every output: this event is rejected, all events are, or it may pass.

Each row is an answer of a real receiver, or of a scripted one for what a real broker says only in trouble. The class
decides what becomes of an event: one wrong row loses alerts, or lets one bad event hold up all others.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest

from stream_inspect.alerts.alert import Alert, AlertError, AlertRejectedError, OutputRefusedError
from stream_inspect.alerts.file import FileAlert
from stream_inspect.alerts.mqtt import MqttAlert
from stream_inspect.alerts.syslog import SyslogAlert
from stream_inspect.alerts.webhook import WebhookAlert
from stream_inspect.config.outputs.file import FileAlertConfig
from stream_inspect.config.outputs.mqtt import MqttAlertConfig
from stream_inspect.config.outputs.syslog import SyslogAlertConfig
from stream_inspect.config.outputs.webhook import WebhookAlertConfig
from tests.alerts.events import an_event
from tests.alerts.receivers import BlackHole, HttpReceiver, Mosquitto, ScriptedBroker, free_port, make_certificates
from tests.alerts.rigs.syslog import StreamReceiver
from tests.conftest import MakeDisk

pytestmark = pytest.mark.slow

THIS_EVENT, ALL_EVENTS, MAY_PASS = AlertRejectedError, OutputRefusedError, AlertError
Kind: TypeAlias = type[AlertRejectedError] | type[AlertError]
LARGE = msgspec.structs.replace(an_event(1), reason="x" * 70_000)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def kind_of_failure(alert: Alert, event=None) -> Kind:
    """Opens and sends, which must fail."""
    with contextlib.closing(alert):
        try:
            alert.open()
            alert.send(event or an_event(1))
        except (AlertError, AlertRejectedError) as error:
            return type(error)
    raise AssertionError("it was taken")


# --- webhook -----------------------------------------------------------------------------------------------------


def webhook(url: str, **more: object) -> WebhookAlert:
    config = WebhookAlertConfig.model_validate({"kind": "webhook", "url": url, "timeout_s": 1.0, **more})
    return WebhookAlert(config, line="line1", state_dir=Path())


HTTP: dict[Kind, list[int]] = {
    THIS_EVENT: [400, 409, 413, 422],
    MAY_PASS: [408, 423, 424, 425, 429, 500, 501, 502, 503, 504, 507, 599],
    ALL_EVENTS: [*range(300, 309), *range(401, 408), 410, 411, 412, 414, 415, 417, 421, 426, 428, 431, 451, 499],
}


@pytest.mark.parametrize(("status", "kind"), [(one, kind) for kind, many in HTTP.items() for one in many])
def test_what_a_web_server_answers(status: int, kind: Kind, stack: contextlib.ExitStack) -> None:
    receiver = HttpReceiver()
    receiver.start()
    stack.callback(receiver.close)
    receiver.answer = lambda _: (status, {"location": "http://127.0.0.1:1/elsewhere"})
    assert kind_of_failure(webhook(f"http://127.0.0.1:{receiver.port}/")) is kind


def test_what_keeps_a_web_server_from_answering(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    hole = stack.enter_context(contextlib.closing(BlackHole()))
    plain, tls = HttpReceiver(), HttpReceiver(make_certificates(tmp_path))
    for receiver in (plain, tls):
        receiver.start()
        stack.callback(receiver.close)
    assert kind_of_failure(webhook(f"http://127.0.0.1:{free_port()}/")) is MAY_PASS
    assert kind_of_failure(webhook(f"http://127.0.0.1:{hole.port}/")) is MAY_PASS
    assert kind_of_failure(webhook(f"https://127.0.0.1:{hole.port}/")) is MAY_PASS
    assert kind_of_failure(webhook(f"https://127.0.0.1:{tls.port}/")) is ALL_EVENTS, "a certificate of no authority"
    assert kind_of_failure(webhook(f"https://127.0.0.1:{plain.port}/")) is ALL_EVENTS, "TLS to a plain port"
    assert kind_of_failure(webhook("https://127.0.0.1:1/", ca_file=tmp_path / "none.pem")) is ALL_EVENTS
    assert kind_of_failure(webhook("http://127.0.0.1:1/", secret="whsec_?")) is ALL_EVENTS


# --- MQTT --------------------------------------------------------------------------------------------------------


def mqtt(port: int, **more: object) -> MqttAlert:
    config = MqttAlertConfig.model_validate(
        {"kind": "mqtt", "host": "127.0.0.1", "port": port, "timeout_s": 1.0, **more}
    )
    return MqttAlert(config, line="line1", state_dir=Path())


CONNACK: dict[Kind, list[int]] = {
    MAY_PASS: [0x80, 0x83, 0x88, 0x89, 0x97, 0x9F],
    ALL_EVENTS: [0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x90, 0x95, 0x99, 0x9A, 0x9B, 0x9C, 0x9D],
}
PUBACK: dict[Kind, list[int]] = {
    THIS_EVENT: [0x99],
    MAY_PASS: [0x80, 0x83, 0x91, 0x97],
    ALL_EVENTS: [0x87, 0x90],
}
DISCONNECT: dict[Kind, list[int]] = {
    THIS_EVENT: [0x95, 0x99],
    MAY_PASS: [0x00, 0x80, 0x83, 0x89, 0x8B, 0x8D, 0x93, 0x96, 0x97, 0x98, 0x9F, 0xA0],
    ALL_EVENTS: [0x81, 0x82, 0x87, 0x8C, 0x8E, 0x90, 0x9A, 0x9B, 0x9C, 0x9D],
}
MQTT = [
    (packet, code, kind)
    for packet, table in (("connack", CONNACK), ("puback", PUBACK), ("disconnect", DISCONNECT))
    for kind, codes in table.items()
    for code in codes
]


@pytest.mark.parametrize(("packet", "code", "kind"), MQTT, ids=[f"{packet}-{code:#x}" for packet, code, _ in MQTT])
def test_what_a_broker_answers(packet: str, code: int, kind: Kind, stack: contextlib.ExitStack) -> None:
    answers = {"connack": code} if packet == "connack" else {"pubacks": {"/events": code}}
    answers = {"disconnects": {"/events": code}} if packet == "disconnect" else answers
    broker = stack.enter_context(contextlib.closing(ScriptedBroker(**answers)))
    assert kind_of_failure(mqtt(broker.port)) is kind


@pytest.mark.parametrize("protocol", ["mqtt5", "mqtt311"])
def test_what_mosquitto_answers_to_a_wrong_password(protocol: str, tmp_path: Path, stack: contextlib.ExitStack) -> None:
    broker = stack.enter_context(contextlib.closing(Mosquitto(tmp_path / "broker", password="right-one")))
    broker.start()
    alert = mqtt(broker.port, username="inspector", password="wrong-one", protocol=protocol)
    assert kind_of_failure(alert) is ALL_EVENTS


def test_what_keeps_a_broker_from_answering(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    hole = stack.enter_context(contextlib.closing(BlackHole()))
    tls = stack.enter_context(contextlib.closing(Mosquitto(tmp_path / "tls", tls=True)))
    tls.start()
    assert kind_of_failure(mqtt(free_port())) is MAY_PASS
    assert kind_of_failure(mqtt(hole.port)) is MAY_PASS
    assert kind_of_failure(mqtt(hole.port, tls=True)) is MAY_PASS
    assert kind_of_failure(mqtt(tls.port, tls=True)) is ALL_EVENTS, "a certificate of no authority"
    assert kind_of_failure(mqtt(1, tls=True, ca_file=tmp_path / "none.pem")) is ALL_EVENTS


def test_what_is_too_large_for_mosquitto(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    broker = stack.enter_context(contextlib.closing(Mosquitto(tmp_path / "broker", extra="max_packet_size 3000")))
    broker.start()
    assert kind_of_failure(mqtt(broker.port), LARGE) is THIS_EVENT


# --- syslog ------------------------------------------------------------------------------------------------------


def syslog(port: int, **more: object) -> SyslogAlert:
    config = SyslogAlertConfig.model_validate(
        {"kind": "syslog", "host": "127.0.0.1", "port": port, "timeout_s": 1.0, **more}
    )
    return SyslogAlert(config, line="line1", state_dir=Path())


def test_what_keeps_syslog_from_being_sent(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    hole = stack.enter_context(contextlib.closing(BlackHole()))
    plain = stack.enter_context(contextlib.closing(StreamReceiver()))
    tls = stack.enter_context(contextlib.closing(StreamReceiver(make_certificates(tmp_path))))
    too_long = msgspec.structs.replace(an_event(1), id="x" * 1000)
    assert kind_of_failure(syslog(plain.port, max_bytes=1024), too_long) is THIS_EVENT
    assert kind_of_failure(syslog(free_port())) is MAY_PASS
    assert kind_of_failure(syslog(hole.port, tls=True)) is MAY_PASS
    assert kind_of_failure(syslog(tls.port, tls=True)) is ALL_EVENTS, "a certificate of no authority"
    assert kind_of_failure(syslog(1, tls=True, ca_file=tmp_path / "none.pem")) is ALL_EVENTS
    assert kind_of_failure(syslog(514, host="255.255.255.255", transport="udp")) is ALL_EVENTS, "the system forbids it"


def test_a_syslog_receiver_that_resets_the_connection_may_pass(stack: contextlib.ExitStack) -> None:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    alert = stack.enter_context(contextlib.closing(syslog(listener.getsockname()[1])))
    alert.open()
    connection, _ = listener.accept()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    with pytest.raises(AlertError) as found:
        alert.send(an_event(1))
    assert type(found.value) is MAY_PASS


# --- file --------------------------------------------------------------------------------------------------------


def file(path: Path) -> FileAlert:
    return FileAlert(FileAlertConfig(kind="file", path=path), line="line1", state_dir=Path())


def a_folder(folder: Path) -> Path:
    (folder / "events.jsonl").mkdir()
    return folder / "events.jsonl"


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "events.jsonl"


def of_the_system(_: Path) -> Path:
    return Path("/proc/1/events.jsonl")


@pytest.mark.parametrize(
    ("path", "kind"), [(a_folder, ALL_EVENTS), (below_a_file, ALL_EVENTS), (of_the_system, MAY_PASS)]
)
def test_what_keeps_a_file_from_being_written(path: Callable[[Path], Path], kind: Kind, tmp_path: Path) -> None:
    assert kind_of_failure(file(path(tmp_path))) is kind


def test_a_full_disk_may_pass(make_disk: MakeDisk) -> None:
    disk = make_disk(64)
    assert kind_of_failure(file(disk / "events.jsonl"), LARGE) is MAY_PASS
