"""Alerts to an MQTT broker: QoS 1, each acknowledged before the next goes, and a retained status with a last will."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from msgspec import UnsetType
from paho.mqtt.client import Client, ConnectFlags, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from stream_inspect.alerts.alert import AlertError
from stream_inspect.alerts.mqtt_connection import FAILURE, Connection, reason_text
from stream_inspect.alerts.reach import connect_advice, reach
from stream_inspect.alerts.status import StatusReport, status_json
from stream_inspect.config.outputs.mqtt import MqttAlertConfig
from stream_inspect.findings import Finding, fail, ok, warn
from stream_inspect.log import get_logger
from stream_inspect.messages import Event, EventState, event_json
from stream_inspect.network_errors import error_text

_NO_MATCHING_SUBSCRIBERS = 0x10
_LONGEST_EXPIRY_S = 2**32 - 1
_SENDING_S = 10.0


class MqttAlert:
    """One connection to the broker at a time.

    A connection that fails is discarded with everything in it: if a client resent its own old messages, a late copy
    could overtake. The steady client id makes the broker drop the old connection when the new one comes; it is of this
    host and state folder, so that two services never drop each other's.

    The retained status topic holds a `StatusReport`: how the line stands, as the supervisor reports it, and `offline`
    after a stop or, as the last will, when this process is gone.
    """

    acknowledges: ClassVar[bool] = True

    def __init__(self, config: MqttAlertConfig, *, line: str, state_dir: Path) -> None:
        """`state_dir` is part of the client id."""
        host = socket.gethostname()
        folder = hashlib.blake2s(os.fsencode(state_dir.absolute()), digest_size=4).hexdigest()
        self._config = config
        self._status_topic = _filled(config.status_topic, line=line, host=host)
        self._client_id = config.client_id or f"stream_inspect-{line}-{config.name}-{host}-{folder}"
        self._offline = status_json(StatusReport(state="offline", line=line, host=host))
        self._status = status_json(StatusReport(state="unknown", line=line, host=host))
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        """Of the two above: `show_status` comes from another thread."""
        self._has_subscriber = True
        self._was_rejected = False  # the last event, by a broker that answered
        self._status_is_rejected = False
        self._log = get_logger(__name__, output=config.name)

    def open(self) -> None:
        """Connect, and publish the status."""
        self.close()
        self._connect()

    def _connect(self) -> None:
        connection = Connection(self._config, self._client_id, self._status_topic, self._offline, self._status_answered)
        try:
            connection.open()
        except AlertError:
            connection.close()
            raise
        with self._lock:
            self._connection = connection
            connection.announce(self._status)

    def send(self, event: Event) -> None:
        """Publish one event and wait for the broker's PUBACK; `mqtt_connection` has what its answers mean."""
        if self._connection is None:
            raise AlertError("not connected")
        topic = self._topic_of(event)
        expiry_s = _expiry_s(event, self._config.max_age_s)
        self._was_rejected = False
        try:
            answer = self._connection.publish(topic, event_json(event), key=event.key, expiry_s=expiry_s)
        except AlertError as error:
            self._was_rejected = not error.reconnect
            raise
        finally:
            if self._connection.has_rejected:
                self._renew(self._connection)
        has_subscriber = answer != _NO_MATCHING_SUBSCRIBERS
        if not has_subscriber and self._has_subscriber:
            self._log.warning("no subscriber for this topic (events are delivered to the broker)", topic=topic)
        self._has_subscriber = has_subscriber

    def _topic_of(self, event: Event) -> str:
        if event.part is not None:
            names = {"line": event.line, "lane": str(event.part.lane), "verdict": str(event.part.verdict)}
            return _filled(self._config.parts_topic, **names)
        return _filled(self._config.topic, line=event.line, camera=event.camera)

    def show_status(self, report: StatusReport) -> None:
        """Publish it, now if the broker is connected, otherwise with the next connection. Does not wait."""
        with self._lock:
            self._status = status_json(report)
            if self._connection is not None:
                self._connection.announce(self._status)

    def check(self) -> None:
        """Raises `AlertError` when the broker has gone."""
        if self._connection is None:
            raise AlertError("not connected")
        self._connection.check()

    def works_again(self) -> bool:
        """Whether the broker is connected, where its last answer was not that it takes no events."""
        self.check()
        return not self._was_rejected

    def close(self) -> None:
        """Publish `offline` and disconnect."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.say_goodbye(self._offline)
            connection.close()

    def _renew(self, connection: Connection) -> None:
        """Replace a connection without saying `offline`.

        mosquitto 2.0.11 drops a connection right after it has rejected an event: the next one, of another camera, would
        fail through no fault of its own.
        """
        with self._lock:
            self._connection = None
        connection.close()
        with suppress(AlertError):  # the next event will show it
            self._connect()

    def _status_answered(self, code: int) -> None:
        """Called in the network's thread."""
        is_rejected = code >= FAILURE
        if is_rejected and not self._status_is_rejected:
            self._log.warning("broker rejected the status message", error=reason_text(code))
        self._status_is_rejected = is_rejected

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


def _expiry_s(event: Event, max_age_s: float | None) -> int | None:
    """What remains of `max_age_s`, in whole seconds, at least one; None for what is sent however old it is.

    That is the end of an event, and a dead letter that a person has queued again: no other is sent when it is so old,
    but for what it ages while it is being sent.

    A broker keeps events for a subscriber that is away: on its return it gets none that is too old either.
    """
    if max_age_s is None or event.state is EventState.CLEARED:
        return None
    late_s = 0.0 if isinstance(event.late_s, UnsetType) else event.late_s
    if late_s > max_age_s + _SENDING_S:
        return None
    return min(max(1, int(max_age_s - late_s)), _LONGEST_EXPIRY_S)


def _filled(template: str, **names: str) -> str:
    """The topic with its names filled in; what MQTT reserves becomes `_`, and so does an empty name."""
    for name, value in names.items():
        template = template.replace("{" + name + "}", re.sub(r"[+#/]", "_", value) or "_")
    return template
