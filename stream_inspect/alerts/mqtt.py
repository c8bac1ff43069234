"""Alerts to an MQTT broker: QoS 1, each acknowledged before the next goes, and a retained status with a last will."""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, cast

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from stream_inspect.alerts.alert import AlertError, AlertRejectedError
from stream_inspect.alerts.reach import connect_advice, error_text, reach
from stream_inspect.config.outputs.mqtt import MqttAlertConfig
from stream_inspect.findings import Finding, fail, ok, warn
from stream_inspect.log import get_logger
from stream_inspect.messages import Event, event_json

KEEPALIVE_S = 15
"""A broker that vanished without notice is detected, and our last will published, after one and a half times this."""

GOODBYE_S = 0.5
"""How long a stop waits for the broker to take "offline"."""

_ONLINE, _OFFLINE = b"online", b"offline"
_NO_MATCHING_SUBSCRIBERS = 0x10
_FAILURE = 0x80
_SESSION_TAKEN_OVER = 0x8E
_REJECTED = {0x90, 0x99}
"""Topic name invalid, payload format invalid: retrying would not help."""


class MqttAlert:
    """One connection to the broker at a time.

    A connection that fails is discarded with everything in it: if a client resent its own old messages, a late copy
    could overtake. The steady client id makes the broker drop the old connection when the new one comes; it is of this
    host and state folder, so that two services never drop each other's.
    """

    acknowledges: ClassVar[bool] = True

    def __init__(self, config: MqttAlertConfig, *, line: str, state_dir: Path) -> None:
        """`state_dir` is part of the client id."""
        host = socket.gethostname()
        folder = hashlib.blake2s(str(state_dir.absolute()).encode(), digest_size=4).hexdigest()
        self._config = config
        self._status_topic = _filled(config.status_topic, line=line, host=host)
        self._client_id = config.client_id or f"stream_inspect-{line}-{config.name}-{host}-{folder}"
        self._connection: _Connection | None = None
        self._has_subscriber = True
        self._log = get_logger(__name__, output=config.name)

    def open(self) -> None:
        """Connect, and publish "online"."""
        self.close()
        connection = _Connection(self._config, self._client_id, self._status_topic)
        try:
            connection.open()
            answer = connection.publish(self._status_topic, _ONLINE, retain=True)
        except (AlertError, AlertRejectedError):
            connection.close()
            raise
        if answer >= _FAILURE:
            self._log.warning("broker rejected the status message", error=_meaning(answer))
        self._connection = connection

    def send(self, event: Event) -> None:
        """Publish one event and wait for the broker's PUBACK."""
        if self._connection is None:
            raise AlertError("not connected")
        topic = _filled(self._config.topic, line=event.line, camera=event.camera)
        answer = self._connection.publish(topic, event_json(event), key=event.key)
        if answer >= _FAILURE:
            text = f"MQTT broker {self._config.host}:{self._config.port} rejected {topic}: {_meaning(answer)}"
            # Anything else, such as "not authorized" or "quota exceeded", can be put right: the event is queued.
            raise AlertRejectedError(text) if answer in _REJECTED else AlertError(text)
        has_subscriber = answer != _NO_MATCHING_SUBSCRIBERS
        if not has_subscriber and self._has_subscriber:
            self._log.warning("no subscriber for this topic (events are delivered to the broker)", topic=topic)
        self._has_subscriber = has_subscriber

    def check(self) -> None:
        """Raises `AlertError` when the broker has gone."""
        if self._connection is None:
            raise AlertError("not connected")
        self._connection.check()

    def close(self) -> None:
        """Publish "offline" and disconnect."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(AlertError, AlertRejectedError):
                connection.publish(self._status_topic, _OFFLINE, retain=True, timeout_s=GOODBYE_S)
            connection.close()

    @staticmethod
    def probe(config: MqttAlertConfig) -> list[Finding]:
        """Log in as the alert will, with another client id: the same one would disconnect a running service."""
        item, where = config.name, f"MQTT broker {config.host}:{config.port}"
        try:
            reach(config.host, config.port, config.timeout_s, tls=config.tls, ca_file=config.ca_file)
            answer = _login(config)
        except (OSError, ValueError) as error:
            advice = connect_advice(tls=config.tls, ca_file=config.ca_file)
            return [fail(item, f"{where}: cannot connect: {error_text(error)}", advice)]
        if answer is None:
            text = f"{where}: no answer within {config.timeout_s:g} s"
            return [fail(item, text, "is it a broker, and with TLS or without?")]
        if answer.is_failure:
            return [fail(item, f"{where} rejected the login: {answer}", "check username, password and protocol")]
        found = [ok(item, f"{where}: login accepted{' over TLS' if config.tls else ''}")]
        if config.password and not config.tls:
            text = "the password goes over the network in the clear"
            found.append(warn(item, text, "set tls: true if the broker can"))
        return found


def _login(config: MqttAlertConfig) -> ReasonCode | None:
    """What the broker answers to a login; None when it does not. Raises OSError, ValueError."""
    answered = threading.Event()
    answers: list[ReasonCode] = []

    def connected(_client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _more: object) -> None:
        answers.append(reason)
        answered.set()

    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"stream_inspect-check-{secrets.token_hex(4)}",
        protocol=MQTTv5 if config.protocol == "mqtt5" else MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = config.timeout_s
    client.on_connect = connected
    if config.username is not None:
        client.username_pw_set(config.username, config.password.get_secret_value() if config.password else None)
    try:
        if config.tls:
            client.tls_set(ca_certs=str(config.ca_file) if config.ca_file else None)
        client.connect(config.host, config.port)
        client.loop_start()
        answered.wait(config.timeout_s)
    finally:
        client.disconnect()
        client.loop_stop()
    return answers[0] if answers else None


class _TidySocket(ssl.SSLSocket):
    """A TLS socket that is closed when its handshake fails; paho forgets to."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class _Connection:
    """One connection: paho's client, its network thread, and what the broker answered."""

    def __init__(self, config: MqttAlertConfig, client_id: str, status_topic: str) -> None:
        self._config = config
        self._client_id = client_id
        self._is_mqtt5 = config.protocol == "mqtt5"
        self._changed = threading.Condition()
        self._connected: ReasonCode | None = None
        self._lost = ""
        self._answers: dict[int, int] = {}  # message id -> reason code of its PUBACK
        self._largest_bytes: int | None = None
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if self._is_mqtt5 else True,
            protocol=MQTTv5 if self._is_mqtt5 else MQTTv311,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = config.timeout_s
        self._client.will_set(status_topic, _OFFLINE, qos=1, retain=True)
        if config.username is not None:
            password = config.password.get_secret_value() if config.password else None
            self._client.username_pw_set(config.username, password)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish

    def open(self) -> None:
        """Connect and wait until the broker accepts the login. Raises `AlertError`."""
        config = self._config
        try:
            if config.tls:
                context = ssl.create_default_context(cafile=config.ca_file)
                context.sslsocket_class = _TidySocket
                self._client.tls_set_context(context)
            # In MQTT 3.1.1 this is `clean_session`.
            clean: dict[str, Any] = {"clean_start": True} if self._is_mqtt5 else {}
            self._client.connect(config.host, config.port, keepalive=KEEPALIVE_S, **clean)
        except (OSError, ValueError) as error:  # TLS and certificate errors are among them
            raise self._error(f"cannot connect: {error}") from error
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._connected is not None or self._lost, config.timeout_s)
            if self._connected is None:
                raise self._error(self._lost or f"no answer within {config.timeout_s:g} s")
            if self._connected.is_failure:
                hint = "; set protocol: mqtt311" if "protocol" in str(self._connected).lower() else ""
                raise self._error(f"rejected the connection: {self._connected}{hint}")

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, key: str = "", timeout_s: float | None = None
    ) -> int:
        """Publish and wait for the PUBACK; returns its reason code. Raises `AlertError`, `AlertRejectedError`."""
        timeout_s = self._config.timeout_s if timeout_s is None else timeout_s
        self.check()
        properties = None
        if self._is_mqtt5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if key:
                properties.ContentType = "application/json"
                properties.UserProperty = ("idempotency-key", key)
        # What the broker counts is the whole packet; its other parts are well below this.
        if self._largest_bytes is not None and len(payload) + len(topic) + 512 > self._largest_bytes:
            raise AlertRejectedError(
                f"{len(payload)} bytes; the broker accepts packets of up to {self._largest_bytes} bytes"
            )
        info = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._error(f"cannot send: {info.rc.name}")
        with self._changed:
            self._changed.wait_for(lambda: info.mid in self._answers or self._lost, timeout_s)
            # Ids are reused: an answer is removed with its message.
            answer = self._answers.pop(info.mid, None)
            if answer is None:
                raise self._error(self._lost or f"no acknowledgement within {timeout_s:g} s")
        return answer

    def check(self) -> None:
        """Raises `AlertError` when the connection is gone."""
        with self._changed:
            if self._lost:
                raise self._error(self._lost)

    def close(self) -> None:
        """End the connection and its thread, also when the other end does not answer."""
        connected = cast(socket.socket | None, self._client.socket())
        self._client.disconnect()
        deadline_s = time.monotonic() + GOODBYE_S
        with self._changed:
            self._changed.wait_for(lambda: self._lost or connected is None, max(0.0, deadline_s - time.monotonic()))
        if connected is not None:
            with suppress(OSError):  # closed already, which is what we want
                connected.shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()
        # Without its way back to us the client is gone at once, and with it the file handles that it forgets to close.
        self._client.on_connect = self._client.on_disconnect = self._client.on_publish = None

    def _error(self, text: str) -> AlertError:
        return AlertError(f"MQTT broker {self._config.host}:{self._config.port}: {text}")

    def _on_connect(
        self, _client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        with self._changed:
            self._connected = reason
            self._largest_bytes = getattr(properties, "MaximumPacketSize", None)
            self._changed.notify_all()

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        with self._changed:
            if reason.value == _SESSION_TAKEN_OVER:
                self._lost = f"session taken over: another client uses the client id {self._client_id!r}"
            else:
                self._lost = f"connection lost: {reason}"
            self._changed.notify_all()

    def _on_publish(self, _client: Client, _data: object, mid: int, reason: ReasonCode, _properties: object) -> None:
        with self._changed:
            self._answers[mid] = reason.value
            self._changed.notify_all()


def _meaning(puback: int) -> str:
    return str(ReasonCode(PacketTypes.PUBACK, identifier=puback))


def _filled(template: str, **names: str) -> str:
    """The topic with its names filled in; what MQTT reserves becomes `_`, and so does an empty name."""
    for name, value in names.items():
        template = template.replace("{" + name + "}", re.sub(r"[+#/]", "_", value) or "_")
    return template
