"""A broker of MQTT: its topics, in the reader's thread, which drives the client's loop itself.

Everything begins afresh with each connection, at QoS 0: a value that a broker kept for us would get the time of its
arrival, which is minutes wrong. A retained one is taken for what it is, how things stand, never for an edge.
"""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from stream_inspect.config.inputs.mqtt import MqttInputConfig
from stream_inspect.messages import CounterBits
from stream_inspect.network_errors import error_text
from stream_inspect.plant.input import EncoderCount, Level, PlantInputError, Reading, Sink
from stream_inspect.plant.last_seen import LastSeen
from stream_inspect.plant.payload import value_of
from stream_inspect.plant.values import count_of, level_of, text_of
from stream_inspect.tidy_socket import TidySocket

KEEPALIVE_S = 1
"""A broker that hangs is noticed after twice this."""
LOOP_S = 0.1


@dataclass(frozen=True, slots=True)
class _Value:
    """What is in a topic's payload; the encoder has no name of its own."""

    topic: str
    pointer: str | None
    kind: Literal["encoder", "alive", "level", "text"]
    name: str
    bits: CounterBits = 32


class MqttInput:
    """One connection at a time, with a client and a client id of its own."""

    def __init__(self, config: MqttInputConfig) -> None:
        self._config = config
        self._where = f"MQTT broker {config.host}:{config.port}"
        self._last_seen = LastSeen()
        self._values = list(_values(config))
        self._count: int | None = None
        """The last count of this connection, for its sender's heartbeat."""

    def read(self, sink: Sink) -> None:
        """Subscribe, and hand over what comes until `sink.is_stopping()`. Raises `PlantInputError`."""
        self._last_seen.connected()
        self._count = None
        connection = _Connection(self._config, self._where, sorted({one.topic for one in self._values}))
        try:
            connection.open()
            while not sink.is_stopping():
                arrived = connection.turn()
                if connection.is_subscribed:
                    sink.connected()
                    self._last_seen.alive(time.monotonic_ns())
                while connection.rejected:
                    topic, text = connection.rejected.popitem()
                    sink.fault(f"topic {topic}", f"{self._where} rejected the subscription to {topic}: {text}")
                for mono_ns, message in arrived:
                    readings = list(self._readings(sink, message, mono_ns))
                    sink.put(sorted(readings, key=lambda reading: isinstance(reading, Level)))
        finally:
            connection.close()

    def _readings(self, sink: Sink, message: MQTTMessage, mono_ns: int) -> Iterator[Reading]:
        """What one message says. An edge is taken to be of its arrival: how long it was on its way is not known."""
        for one in self._values:
            if one.topic != message.topic:
                continue
            if one.kind == "alive":
                if self._count is not None and not message.retain:
                    yield EncoderCount(self._count, one.bits, mono_ns)
                continue
            try:
                value = value_of(message.payload, one.pointer)
                if one.kind == "encoder":
                    self._count = None
                    self._count = count_of(value, one.bits)
                    if not message.retain:  # a count of who knows when
                        yield EncoderCount(self._count, one.bits, mono_ns)
                else:
                    found = level_of(value) if one.kind == "level" else text_of(value)
                    if message.retain:
                        yield self._last_seen.stands(one.name, found, mono_ns)
                    elif (reading := self._changed(one, found, mono_ns)) is not None:
                        yield reading
            except ValueError as error:
                sink.fault(one.name, f"{self._where}: {one.name} in {one.topic}: {error}")
            else:
                sink.fault(one.name, "")

    def _changed(self, one: _Value, found: bool | int | str, mono_ns: int) -> Reading | None:
        """Each message of a level counts, though it may say the same; a text only when it changes."""
        if one.kind == "text":
            return self._last_seen.polled(one.name, found, mono_ns)
        return self._last_seen.changed(one.name, found, mono_ns, mono_ns)


class _Connection:
    """One connection, used once: paho's client without its thread."""

    def __init__(self, config: MqttInputConfig, where: str, topics: list[str]) -> None:
        self._config = config
        self._where = where
        self._topics = topics
        self._deadline_s = 0.0
        self._arrived: list[tuple[int, MQTTMessage]] = []
        self._asked: dict[int, str] = {}
        self._error = ""
        self.rejected: dict[str, str] = {}
        """topic -> why the broker does not send it; for the reader to take."""
        is_mqtt5 = config.protocol == "mqtt5"
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"stream_inspect-{config.name}-{secrets.token_hex(4)}",
            clean_session=None if is_mqtt5 else True,
            protocol=MQTTv5 if is_mqtt5 else MQTTv311,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = config.timeout_s
        if config.login is not None:
            self._client.username_pw_set(*config.login)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    @property
    def is_subscribed(self) -> bool:
        """Whether the broker has answered each subscription."""
        return self._deadline_s == 0.0

    def open(self) -> None:
        """Connect, over TLS where that is configured. Raises `PlantInputError`."""
        config = self._config
        try:
            if config.tls:
                context = ssl.create_default_context(cafile=config.ca_file)
                context.sslsocket_class = TidySocket
                self._client.tls_set_context(context)
            self._deadline_s = time.monotonic() + config.timeout_s
            clean: dict[str, Any] = {"clean_start": True} if config.protocol == "mqtt5" else {}
            self._client.connect(config.host, config.port, keepalive=KEEPALIVE_S, **clean)
        except (OSError, ValueError) as error:
            raise PlantInputError(f"{self._where}: cannot connect: {error_text(error)}") from error

    def turn(self) -> list[tuple[int, MQTTMessage]]:
        """Wait a moment for messages: each with its arrival in monotonic ns. Raises `PlantInputError`."""
        done = self._client.loop(LOOP_S)
        if self._error or done != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise PlantInputError(f"{self._where}: {self._error or 'connection lost'}")
        if not self.is_subscribed and time.monotonic() > self._deadline_s:
            raise PlantInputError(f"{self._where}: no answer within {self._config.timeout_s:g} s")
        arrived, self._arrived = self._arrived, []
        return arrived

    def close(self) -> None:
        """End the connection; does not wait for the broker."""
        self._client.on_disconnect = None
        self._client.disconnect()
        # Without its way back to us the client is gone at once, and with it its sockets, which it does not close.
        self._client.on_connect = self._client.on_subscribe = self._client.on_message = None

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._error = f"rejected the connection: {reason}"
            return
        for topic in self._topics:
            _, mid = client.subscribe(topic, qos=0)
            if mid is not None:
                self._asked[mid] = topic

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if not self._error:
            silent = "Keep alive" in str(reason)
            self._error = f"no answer within {2 * KEEPALIVE_S} s" if silent else f"connection lost: {reason}"

    def _on_subscribe(
        self, _client: Client, _data: object, mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        topic = self._asked.pop(mid)
        if reasons[0].is_failure:
            self.rejected[topic] = str(reasons[0])
        if not self._asked:
            self._deadline_s = 0.0

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self._arrived.append((time.monotonic_ns(), message))


def _values(config: MqttInputConfig) -> Iterator[_Value]:
    if (encoder := config.encoder) is not None:
        yield _Value(encoder.topic, encoder.pointer, "encoder", "encoder", encoder.bits)
        if encoder.alive_topic is not None:
            yield _Value(encoder.alive_topic, None, "alive", "encoder", encoder.bits)
    for one in (*config.photo_eyes, *config.levels):
        yield _Value(one.topic, one.pointer, "level", one.name)
    for one in config.texts:
        yield _Value(one.topic, one.pointer, "text", one.name)
