"""Alerts to a syslog receiver: RFC 5424, over UDP (RFC 5426), TCP with octet counting (RFC 6587), or TLS (RFC 5425).

One form of message for all of them. Receivers cut or drop what is longer than their own limit (RFC 5424 asks for no
more than 2048 bytes), and JSON that is cut is worth nothing; so the event's fields are structured data, one by one, and
what does not fit into `max_bytes` is left out and named. The outline, which alone may be larger, is always left out:
MQTT, the webhook and the file carry it.

A receiver answers nothing, so what is rejected is rejected here: an event that does not fit into `max_bytes`, or a
datagram that the network does not carry (`AlertRejectedError`); a certificate or TLS that one side rejects, a firewall
of this computer (`OutputRefusedError`); everything else may pass (`AlertError`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import ssl
import struct
import termios
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from stream_inspect.alerts.alert import AlertError, AlertRejectedError
from stream_inspect.alerts.reach import connect_advice, connection_error, reach, tls_context
from stream_inspect.backoff import Backoff, doubling_s
from stream_inspect.config.outputs.syslog import SyslogAlertConfig
from stream_inspect.findings import Finding, fail, ok
from stream_inspect.messages import Event, EventState, Verdict
from stream_inspect.network_errors import error_text

_FACILITIES = {"user": 1, "daemon": 3, **{f"local{n}": 16 + n for n in range(8)}}
_SEVERITIES = {"critical": 2, "major": 3, "minor": 4}
_ERROR, _NOTICE = 3, 5
_ALWAYS = ("id", "key", "kind", "state", "line", "camera", "name", "severity")
"""Fields that are never left out: with the names that a configuration allows they always fit."""
_TEXT_BYTES = 400
"""The text ends after this many; the field `reason` holds the whole reason."""
_NOTHING: tuple[Any, ...] = (None, "", [])
_MUST_BE_ESCAPED, _ESCAPED = r'(["\\\]])', r"\\\1"
_BOM = "\ufeff"
"""Begins a text that is not ASCII, as RFC 5424 asks for."""
_POLL_MAX_S = 0.02


class SyslogAlert:
    """One socket. No receiver acknowledges an event. When `send` returns,

    - over UDP it was handed to this computer's network, and nothing more is known;
    - over TCP the receiver's operating system has acknowledged its bytes. Whether the receiver read them before it
      exited is not known. If the connection breaks earlier, the event is sent again over the next one; the receiver
      may then, rarely, see it twice, with the same key.
    """

    acknowledges: ClassVar[bool] = False

    def __init__(self, config: SyslogAlertConfig, *, line: str, state_dir: Path) -> None:
        """`line` and `state_dir` are not used."""
        self._config = config
        self._where = f"syslog {config.host}:{config.port}"
        self._hostname = config.hostname or re.sub(r"[^!-~]", "-", socket.gethostname()) or "-"
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Connect; over UDP, find the address."""
        self.close()
        try:
            self._socket = self._connected()
        except OSError as error:  # TLS and certificate errors are among them
            raise connection_error(self._where, "cannot connect", error) from error

    def send(self, event: Event) -> None:
        """Send one event, if the connection still stands; over TCP, wait until its bytes are acknowledged.

        Takes `timeout_s` at most, however slowly the receiver reads.
        """
        self.check()
        assert self._socket is not None
        message = syslog_message(event, self._config, self._hostname)
        try:
            if self._config.transport == "udp":
                self._socket.send(message)
            else:
                deadline_s = time.monotonic() + self._config.timeout_s
                _send_all(self._socket, b"%d %s" % (len(message), message), deadline_s)
                _wait_for_receipt(self._socket, deadline_s)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                text = f"{self._where}: {len(message)} bytes are too many for a datagram; set max_bytes or transport"
                raise AlertRejectedError(text) from error
            raise connection_error(self._where, "cannot send", error) from error

    def check(self) -> None:
        """Raises `AlertError` when the connection was closed or, over UDP, an earlier datagram came back as refused."""
        if self._socket is None:
            raise AlertError(f"{self._where}: not connected")
        self._socket.settimeout(0)
        try:
            heard = self._socket.recv(4096)  # receivers send nothing that matters
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError as error:
            raise connection_error(self._where, "connection lost", error) from error
        finally:
            self._socket.settimeout(self._config.timeout_s)
        if not heard and self._config.transport == "tcp":
            raise AlertError(f"{self._where}: connection closed by the receiver")

    def works_again(self) -> bool:
        """Whether it is connected, over TCP; datagrams go anywhere."""
        self.check()
        return self._config.transport == "tcp"

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            connection, self._socket = self._socket, None
            connection.settimeout(0)
            with suppress(OSError, ValueError):
                if isinstance(connection, ssl.SSLSocket):
                    connection.unwrap()  # sends close_notify, and does not wait for the answer
            connection.close()

    @staticmethod
    def probe(config: SyslogAlertConfig) -> list[Finding]:
        """Connect over TCP, look the host up for UDP; nothing is sent."""
        item, where = config.name, f"syslog {config.host}:{config.port}"
        if config.transport == "udp":
            try:
                socket.getaddrinfo(config.host, config.port, type=socket.SOCK_DGRAM)
            except OSError as error:
                return [fail(item, f"{where}: {error_text(error)}", "check host")]
            return [ok(item, f"{where}: address found; whether anything receives datagrams there cannot be known")]
        try:
            reach(config.host, config.port, config.timeout_s, tls=config.tls, ca_file=config.ca_file)
        except OSError as error:
            advice = connect_advice(tls=config.tls, ca_file=config.ca_file)
            return [fail(item, f"{where}: cannot connect: {error_text(error)}", advice)]
        return [ok(item, f"{where}: can be reached{' over TLS' if config.tls else ''}; nothing was sent")]

    def _connected(self) -> socket.socket:
        """Raises OSError, `OutputRefusedError`."""
        config = self._config
        if config.transport == "udp":
            return _datagram_socket(config.host, config.port)
        context = tls_context(self._where, config.ca_file) if config.tls else None
        connection = socket.create_connection((config.host, config.port), timeout=config.timeout_s)
        return context.wrap_socket(connection, server_hostname=config.host) if context else connection


def _send_all(connection: socket.socket, message: bytes, deadline_s: float) -> None:
    """Like `sendall`, whose time-out is for each part where the connection is TLS. Raises OSError."""
    rest = memoryview(message)
    while rest:
        connection.settimeout(max(0.001, deadline_s - time.monotonic()))
        rest = rest[connection.send(rest) :]


def _wait_for_receipt(connection: socket.socket, deadline_s: float) -> None:
    """Wait until the other end's TCP has acknowledged every byte. Raises OSError when it does not.

    Without this, events would be counted as delivered for a quarter of an hour to a receiver that lost its power.
    """
    pauses = Backoff(doubling_s(_POLL_MAX_S / 64, _POLL_MAX_S))
    while True:
        # First: a reset after the last acknowledgement means that the receiver died with the event unread.
        if error := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        if not _unacknowledged_bytes(connection):
            return
        if time.monotonic() > deadline_s:
            raise TimeoutError
        time.sleep(pauses.next_s())


def _unacknowledged_bytes(connection: socket.socket) -> int:
    """How many of the bytes written the other end's TCP has not acknowledged yet."""
    (count,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))
    return int(count)


def syslog_message(event: Event, config: SyslogAlertConfig, hostname: str) -> bytes:
    """The event as an RFC 5424 message of at most `max_bytes`. Raises `AlertRejectedError` where that is impossible."""
    priority = _FACILITIES[config.facility] * 8 + _severity(event)
    header = f"<{priority}>1 {_timestamp(event)} {hostname} {config.app_name} {os.getpid()} {event.kind}-{event.state}"
    fields, text = _fields(event), _text(event)
    omitted = ["outline_px"] if event.outline_px else []
    while True:
        data = [param for params in fields.values() for param in params]
        data += [_param("omitted", " ".join(omitted))] if omitted else []
        start = f"{header} [{' '.join((config.sd_id, *data))}] ".encode()
        room = config.max_bytes - len(start)
        last = next(reversed(fields))
        if room >= len(text) or last in _ALWAYS:
            break
        del fields[last]
        omitted.append(last)
    if room < 0:
        raise AlertRejectedError(f"{len(start)} bytes at least; max_bytes is {config.max_bytes}")
    return start + _cut(text, room)


def _severity(event: Event) -> int:
    """RFC 5424's number; what has cleared is worth a notice, whatever it was, and so is a part that passed."""
    is_good = event.part is not None and event.part.verdict is Verdict.PASS
    return _NOTICE if event.state is EventState.CLEARED or is_good else _SEVERITIES.get(event.severity, _ERROR)


def _timestamp(event: Event) -> str:
    """When it happened (UTC, microseconds): the confirming sighting, the last one before it cleared, the verdict."""
    seconds, ns = divmod(event.last_seen_utc_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns // 1000:06d}Z"


def _fields(event: Event) -> dict[str, list[str]]:
    """The parameters of each field that says something, what must stay first. A field of its own fields has several."""
    whole = msgspec.to_builtins(event)
    found = {name: [_param(name, str(whole.pop(name)))] for name in _ALWAYS}
    for name, value in whole.items():
        if isinstance(value, dict):
            found[name] = [_param(f"{name}.{key}", below) for key, below in value.items() if below not in _NOTHING]
        elif value not in _NOTHING and name not in ("type", "outline_px"):
            found[name] = [_param(name, value)]
    return found


def _param(name: str, value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f'{name}="{re.sub(_MUST_BE_ESCAPED, _ESCAPED, text)}"'


def _text(event: Event) -> bytes:
    """A line for people: `defect scratch confirmed: camera top, line line1, major; seen in 2 of 4 judged frames`."""
    where = f"camera {event.camera}, " if event.camera else ""
    if event.part is not None:
        serial = f" {event.part.serial}" if event.part.serial else ""
        where = f"part {event.part.number}{serial}, lane {event.part.lane}, "
    text = f"{event.kind} {event.name} {event.state}: {where}line {event.line}, {event.severity}"
    text = re.sub(r"[\x00-\x1f\x7f]", " ", f"{text}; {event.reason}" if event.reason else text)
    return _cut(text.encode() if text.isascii() else f"{_BOM}{text}".encode(), _TEXT_BYTES)


def _cut(text: bytes, limit: int) -> bytes:
    """The text, or its beginning and an ellipsis, without half a character, in at most `limit` bytes."""
    if len(text) <= limit:
        return text
    return text[: max(0, limit - 3)].decode(errors="ignore").encode() + b"..."[:limit]


def _datagram_socket(host: str, port: int) -> socket.socket:
    """Connected, so that an answer that the port is closed is heard. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    datagrams = socket.socket(family, kind, protocol)
    try:
        datagrams.connect(address)
    except OSError:
        datagrams.close()
        raise
    return datagrams
