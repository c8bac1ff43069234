"""MQTT with a broker of our own: an encoder that says its count 100 times a second, and the rest retained."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from stream_inspect.config.inputs.mqtt import MqttInputConfig
from tests.alerts.receivers import Mosquitto, wait_until
from tests.plant.rigs import Rig


def config_of(port: int, **keys: object) -> MqttInputConfig:
    values = {
        "encoder": {"topic": "line/encoder", "pointer": "/axis/0/count"},
        "photo_eyes": [{"name": "photo_eye", "topic": "line/eye"}],
        "texts": [{"name": "serial", "topic": "line/serial", "pointer": "/serial"}],
    }
    return MqttInputConfig(kind="mqtt", name="broker", host="127.0.0.1", port=port, **(values | keys))


class Publisher:
    """A plant's client, which connects again by itself."""

    def __init__(self, port: int) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(0.05, 0.1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def publish(self, topic: str, payload: str | bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Published when this returns, with QoS 1."""
        if qos:
            assert wait_until(self._client.is_connected, 10)  # the broker may just have been started again
        info = self._client.publish(topic, payload, qos=qos, retain=retain)
        if qos:
            info.wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class MqttRig(Rig):
    unreadable = "serial in line/serial: expected JSON, got b'A-\\xff'"

    def __init__(self, folder: Path) -> None:
        self.server = Mosquitto(folder / "broker")
        self.server.start()
        self._publisher = Publisher(self.server.port)
        self._count: int | None = None
        self._closed = threading.Event()
        self._encoder = threading.Thread(target=self._turn)
        self._encoder.start()
        super().__init__(config_of(self.server.port))

    def _turn(self) -> None:
        while not self._closed.wait(0.01):
            if (count := self._count) is not None:
                self._say(count)

    def _say(self, count: int) -> None:
        self._publisher.publish("line/encoder", json.dumps({"axis": [{"count": count}]}), qos=0)

    def count(self, count: int) -> None:
        self._count = count

    def eye(self, covered: bool) -> None:
        self._publisher.publish("line/eye", str(int(covered)), retain=True)

    def serial(self, text: str) -> None:
        self._publisher.publish("line/serial", json.dumps({"serial": text}), retain=True)

    def garble(self) -> None:
        self._publisher.publish("line/serial", b"A-\xff", retain=True)

    def burst(self, changes: int) -> None:
        self._count = None
        for count in range(1, changes + 1):
            self._say(count)
            time.sleep(0.002)

    def close(self) -> None:
        self._closed.set()
        self._encoder.join()
        super().close()
        self._publisher.close()
        self.server.close()


RIG = MqttRig
