"""MQTT with a broker of our own, over TLS and with a password."""

from __future__ import annotations

from pathlib import Path

from stream_inspect.config.outputs.mqtt import MqttAlertConfig
from tests.alerts.receivers import Mosquitto, Subscriber
from tests.alerts.rigs import SECRET, TIMEOUT_S, Rig


class MqttRig(Rig):
    def __init__(self, folder: Path) -> None:
        self._broker = Mosquitto(folder / "broker", tls=True, password=SECRET)
        self._broker.start()
        ca_file = str(self._broker.certificates.ca)
        self._subscriber = Subscriber(self._broker.port, "stream_inspect/+/+/events", ca_file=ca_file, password=SECRET)
        config = {"host": "127.0.0.1", "port": self._broker.port, "tls": True, "ca_file": ca_file}
        config |= {"username": "inspector", "password": SECRET, "timeout_s": TIMEOUT_S}
        config |= {"parts_topic": "stream_inspect/{line}/{lane}/events"}
        super().__init__(MqttAlertConfig(kind="mqtt", **config), folder)

    def payloads(self) -> list[bytes]:
        return [payload for _, payload, _ in self._subscriber.messages]

    def take_away(self) -> None:
        self._broker.kill()

    def bring_back(self) -> None:
        self._broker.start()
        assert self._subscriber.is_subscribed.wait(10)

    def close(self) -> None:
        super().close()
        self._subscriber.close()
        self._broker.close()


RIGS = {"mqtt": MqttRig}
