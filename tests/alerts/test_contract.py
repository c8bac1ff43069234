"""The alert contract, on every registered class, with a real receiver at the other end."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from stream_inspect import registry
from stream_inspect.alerts.alert import Alert, AlertError
from stream_inspect.config.outputs.file import FileAlertConfig
from stream_inspect.config.outputs.mqtt import MqttAlertConfig
from stream_inspect.config.outputs.webhook import WebhookAlertConfig
from stream_inspect.messages import Event
from stream_inspect.store.events import event_json
from tests.alerts.events import an_event
from tests.alerts.receivers import HttpReceiver, Mosquitto, Subscriber, free_port, wait_until

SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="
TIMEOUT_S = 1.0


class Rig(ABC):
    """One kind of output with its receiver: up when the test begins."""

    alert: Alert

    @abstractmethod
    def payloads(self) -> list[bytes]:
        """What has arrived, in order."""

    @abstractmethod
    def take_away(self) -> None:
        """The receiver dies."""

    @abstractmethod
    def bring_back(self) -> None:
        """It works again, and remembers what it got."""

    @abstractmethod
    def close(self) -> None:
        """Stop everything."""

    def events(self, count: int) -> list[Event]:
        wait_until(lambda: len(self.payloads()) >= count, 5)
        return [msgspec.json.decode(payload, type=Event) for payload in self.payloads()]


class MqttRig(Rig):
    def __init__(self, folder: Path) -> None:
        password = SECRET
        self._broker = Mosquitto(folder / "broker", tls=True, password=password)
        self._broker.start()
        ca_file = str(self._broker.certificates.ca)
        self._subscriber = Subscriber(
            self._broker.port, "stream_inspect/+/+/events", ca_file=ca_file, password=password
        )
        config = {"host": "127.0.0.1", "port": self._broker.port, "tls": True, "ca_file": ca_file}
        config |= {"username": "inspector", "password": password, "timeout_s": TIMEOUT_S}
        self.alert = registry.load("alert", "mqtt")(
            MqttAlertConfig(kind="mqtt", **config), line="line1", state_dir=folder
        )

    def payloads(self) -> list[bytes]:
        return [payload for _, payload, _ in self._subscriber.messages]

    def take_away(self) -> None:
        self._broker.kill()

    def bring_back(self) -> None:
        self._broker.start()
        assert self._subscriber.is_subscribed.wait(10)

    def close(self) -> None:
        self._subscriber.close()
        self._broker.close()


class WebhookRig(Rig):
    def __init__(self, folder: Path) -> None:
        self._receiver = HttpReceiver()
        self._receiver.start()
        url = f"http://127.0.0.1:{self._receiver.port}/hook?token={SECRET}"
        config = WebhookAlertConfig(kind="webhook", url=url, secret=SECRET, timeout_s=TIMEOUT_S)
        self.alert = registry.load("alert", "webhook")(config, line="line1", state_dir=folder)

    def payloads(self) -> list[bytes]:
        return [request.body for request in self._receiver.requests]

    def take_away(self) -> None:
        self._receiver.kill()

    def bring_back(self) -> None:
        self._receiver.start()

    def close(self) -> None:
        self._receiver.close()


class FileRig(Rig):
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "out"
        self._path = self._folder / "events.jsonl"
        config = FileAlertConfig(kind="file", path=self._path)
        self.alert = registry.load("alert", "file")(config, line="line1", state_dir=folder)

    def payloads(self) -> list[bytes]:
        return self._path.read_bytes().splitlines() if self._path.exists() else []

    def take_away(self) -> None:
        """The folder is gone, and something in its place keeps it from being made again."""
        if self._folder.exists():
            self._folder.rename(self._folder.with_name("away"))
        self._folder.write_text("")

    def bring_back(self) -> None:
        self._folder.unlink()
        with contextlib.suppress(FileNotFoundError):
            self._folder.with_name("away").rename(self._folder)

    def close(self) -> None:
        pass


RIGS: dict[str, type[Rig]] = {"mqtt": MqttRig, "webhook": WebhookRig, "file": FileRig}


@pytest.fixture(params=registry.names("alert"))
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    assert request.param in RIGS, f"the alert {request.param!r} has no receiver in this test yet"
    rig = RIGS[request.param](tmp_path)
    yield rig
    rig.alert.close()
    rig.close()


def send_afresh(alert: Alert, event: Event) -> None:
    alert.open()
    alert.send(event)


@pytest.mark.slow
class TestContract:
    def test_an_event_arrives_whole(self, rig):
        event = an_event(1)
        rig.alert.open()
        rig.alert.send(event)
        assert rig.events(1) == [event]
        assert rig.payloads() == [event_json(event)]

    def test_events_arrive_in_order_and_once(self, rig):
        events = [an_event(n, camera=f"cam{n % 3}") for n in range(1, 101)]
        rig.alert.open()
        for event in events:
            rig.alert.send(event)
        assert rig.events(100) == events

    def test_a_dead_receiver_is_an_error_that_passes(self, rig):
        rig.alert.open()
        rig.alert.send(an_event(1))
        rig.take_away()
        start_s = time.monotonic()
        with pytest.raises(AlertError) as found:
            rig.alert.send(an_event(2))
        assert time.monotonic() - start_s < 2 * TIMEOUT_S + 0.5
        assert SECRET not in str(found.value)
        rig.alert.close()
        with pytest.raises(AlertError) as found:
            send_afresh(rig.alert, an_event(2))
        assert SECRET not in str(found.value)
        rig.alert.close()
        rig.bring_back()
        rig.alert.open()
        rig.alert.send(an_event(2))
        assert [event.id for event in rig.events(2)] == [an_event(1).id, an_event(2).id]

    def test_close_may_come_at_any_time_and_twice(self, rig):
        rig.alert.close()
        rig.alert.open()
        rig.alert.close()
        rig.alert.close()
        rig.alert.open()
        rig.alert.send(an_event(1))
        rig.alert.check()
        rig.alert.close()
        assert len(rig.events(1)) == 1

    def test_close_is_quick_when_the_receiver_is_dead(self, rig):
        rig.alert.open()
        rig.take_away()
        start_s = time.monotonic()
        rig.alert.close()
        assert time.monotonic() - start_s < 1.5

    def test_nothing_shows_the_secret(self, rig):
        assert SECRET not in repr(vars(rig.alert))


@pytest.mark.parametrize("name", sorted(RIGS))
def test_a_constructor_does_no_work(name, tmp_path):
    configs = {
        "mqtt": MqttAlertConfig(kind="mqtt", host="127.0.0.1", port=free_port()),
        "webhook": WebhookAlertConfig(kind="webhook", url=f"http://127.0.0.1:{free_port()}"),
        "file": FileAlertConfig(kind="file", path=tmp_path / "folder" / "events.jsonl"),
    }
    registry.load("alert", name)(configs[name], line="line1", state_dir=tmp_path).close()
    assert list(tmp_path.iterdir()) == []
