"""One connection to an MQTT broker: paho's client, its network thread, and what the broker answered.

What a reason code of a CONNACK, PUBACK or DISCONNECT means (MQTT 3.1.1 has few; paho translates them):

- 0x95 packet too large, 0x99 payload format invalid, where they answer an event: this event is rejected
  (`AlertRejectedError`).
- 0x80 and 0x83 unspecified, 0x88, 0x89 and 0x8B unavailable, busy, shutting down, 0x8D keep alive, 0x91 identifier in
  use, 0x93, 0x96, 0x97 and 0x9F too many, too fast, quota, 0x98 administrative action, 0xA0 connected too long: it may
  pass (`AlertError`).
- Every other one (0x84 to 0x87 protocol, client id, login, not authorized, 0x8A banned, 0x8E session taken over, 0x90
  topic name invalid, 0x9A to 0x9D not supported, moved): all events wait for a person (`OutputRefusedError`).

A topic that may not be written to is of the last kind: it comes from the configuration, not from the event.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from stream_inspect.alerts.alert import AlertError, AlertRejectedError, OutputRefusedError
from stream_inspect.alerts.reach import connection_error, tls_context
from stream_inspect.config.outputs.mqtt import MqttAlertConfig
from stream_inspect.tidy_socket import TidySocket

KEEPALIVE_S = 15
"""A broker that vanished without notice is detected, and our last will published, after one and a half times this."""

GOODBYE_S = 0.5
"""How long a stop waits for the broker to take the last status."""

FAILURE = 0x80
"""Reason codes from here on say no."""

_ABOUT_THIS_EVENT = {0x95, 0x99}
_MAY_PASS = {0x80, 0x83, 0x88, 0x89, 0x8B, 0x8D, 0x91, 0x93, 0x96, 0x97, 0x98, 0x9F, 0xA0}
_SESSION_TAKEN_OVER, _PACKET_TOO_LARGE = 0x8E, 0x95


class Connection:
    """One connection, used once. `open`, `publish`, `check` and `close` are for one thread, `announce` for any."""

    def __init__(
        self,
        config: MqttAlertConfig,
        client_id: str,
        status_topic: str,
        will: bytes,
        status_answered: Callable[[int], None],
    ) -> None:
        """`status_answered` is called in the network's thread with the reason code of each `announce`."""
        self._config = config
        self._where = f"MQTT broker {config.host}:{config.port}"
        self._client_id = client_id
        self._status_topic = status_topic
        self._status_answered = status_answered
        self._is_mqtt5 = config.protocol == "mqtt5"
        self._changed = threading.Condition()
        self._connected: ReasonCode | None = None
        self._lost = ""
        self._lost_code = 0
        self._answers: dict[int, int] = {}  # message id -> reason code of its PUBACK
        self._statuses: set[int] = set()
        """Message ids of the statuses that are not answered yet."""
        self._largest_bytes: int | None = None
        self.has_rejected = False
        """Whether the broker has rejected an event by its PUBACK."""
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if self._is_mqtt5 else True,
            protocol=MQTTv5 if self._is_mqtt5 else MQTTv311,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = config.timeout_s
        self._client.will_set(status_topic, will, qos=1, retain=True)
        if config.login is not None:
            self._client.username_pw_set(*config.login)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish

    def open(self) -> None:
        """Connect and wait until the broker accepts the login: TCP, TLS and login have `timeout_s` each.

        Raises `AlertError`.
        """
        config = self._config
        if config.tls:
            context = tls_context(self._where, config.ca_file)
            context.sslsocket_class = TidySocket
            self._client.tls_set_context(context)
        try:
            # In MQTT 3.1.1 this is `clean_session`.
            clean: dict[str, Any] = {"clean_start": True} if self._is_mqtt5 else {}
            self._client.connect(config.host, config.port, keepalive=KEEPALIVE_S, **clean)
        except (OSError, ValueError) as error:  # TLS and certificate errors are among them
            raise connection_error(self._where, "cannot connect", error) from error
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._connected is not None or self._lost, config.timeout_s)
            if self._connected is None:
                raise self._error(f"no answer within {config.timeout_s:g} s")
            if self._connected.is_failure:
                hint = "; set protocol: mqtt311" if "protocol" in str(self._connected).lower() else ""
                text = f"{self._where}: rejected the connection: {self._connected}{hint}"
                raise _error_class(self._connected.value)(text)

    def publish(self, topic: str, payload: bytes, *, key: str, expiry_s: int | None = None) -> int:
        """Publish an event and wait for its PUBACK; returns its reason code, which is below `FAILURE`.

        With `expiry_s` the broker does not pass it on later than that (MQTT 5).
        Raises `AlertError`, `AlertRejectedError`.
        """
        timeout_s = self._config.timeout_s
        self.check()
        properties = None
        if self._is_mqtt5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ContentType = "application/json"
            properties.UserProperty = ("idempotency-key", key)
            if expiry_s is not None:
                properties.MessageExpiryInterval = expiry_s
        if self._is_too_large(topic, payload):
            raise AlertRejectedError(
                f"{len(payload)} bytes; the broker accepts packets of up to {self._largest_bytes} bytes"
            )
        info = self._client.publish(topic, payload, qos=1, properties=properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._error(f"cannot send: {info.rc.name}")
        with self._changed:
            self._changed.wait_for(lambda: info.mid in self._answers or self._lost, timeout_s)
            # Ids are reused: an answer is removed with its message.
            answer = self._answers.pop(info.mid, None)
            if answer is None:
                error = self._error(f"no acknowledgement within {timeout_s:g} s")
                raise AlertRejectedError(str(error)) if self._lost_code in _ABOUT_THIS_EVENT else error
        if answer >= FAILURE:
            self.has_rejected = True
            text = f"{self._where} rejected {topic}: {reason_text(answer)}"
            if answer in _ABOUT_THIS_EVENT:
                raise AlertRejectedError(text)
            # The output renews the connection itself, and shows the status meanwhile.
            raise _error_class(answer)(text, reconnect=False)
        return answer

    def announce(self, status: bytes) -> int:
        """Publish the retained status without waiting; its answer goes to `status_answered`. Returns the message's id.

        A connection that is lost, or takes no packet of this size, drops it.
        """
        if self._is_too_large(self._status_topic, status):
            self._status_answered(_PACKET_TOO_LARGE)
            return 0
        info = self._client.publish(self._status_topic, status, qos=1, retain=True)
        with self._changed:
            answer = self._answers.pop(info.mid, None)
            if answer is None:
                self._statuses.add(info.mid)
        if answer is not None:  # it was faster than this thread
            self._status_answered(answer)
        return info.mid

    def check(self) -> None:
        """Raises `AlertError` when the connection is gone."""
        with self._changed:
            if self._lost:
                raise self._error(self._lost)

    def say_goodbye(self, status: bytes) -> None:
        """Publish the last status and wait for its answer, for `GOODBYE_S` at most."""
        sent = self.announce(status)
        with self._changed:
            self._changed.wait_for(lambda: sent not in self._statuses or self._lost, GOODBYE_S)

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

    def _error(self, otherwise: str) -> AlertError:
        """Why the connection was lost, or what is wrong where it was not."""
        kind = _error_class(self._lost_code) if self._lost else AlertError
        return kind(f"{self._where}: {self._lost or otherwise}")

    def _is_too_large(self, topic: str, payload: bytes) -> bool:
        # What the broker counts is the whole packet; its other parts are well below this.
        return self._largest_bytes is not None and len(payload) + len(topic) + 512 > self._largest_bytes

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
            self._lost, self._lost_code = f"connection lost: {reason}", reason.value
            if reason.value == _SESSION_TAKEN_OVER:
                self._lost = f"session taken over: another client uses the client id {self._client_id!r}"
            self._changed.notify_all()

    def _on_publish(self, _client: Client, _data: object, mid: int, reason: ReasonCode, _properties: object) -> None:
        with self._changed:
            is_status = mid in self._statuses
            if is_status:
                self._statuses.remove(mid)
            else:
                self._answers[mid] = reason.value
            self._changed.notify_all()
        if is_status:
            self._status_answered(reason.value)


def reason_text(puback: int) -> str:
    """The words of the specification for a PUBACK's reason code."""
    return str(ReasonCode(PacketTypes.PUBACK, identifier=puback))


def _error_class(code: int) -> type[AlertError]:
    """For an answer that is not about what is in one event."""
    return AlertError if code < FAILURE or code in _MAY_PASS else OutputRefusedError
