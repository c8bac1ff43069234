"""Syslog with an rsyslog of our own, over TCP and UDP; a parser of RFC 5424; and receivers that show the bytes."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from stream_inspect.config.outputs.syslog import SyslogAlertConfig
from stream_inspect.messages import Event, event_json
from tests.alerts.receivers import Certificates, free_port, wait_until
from tests.alerts.rigs import TIMEOUT_S, Rig

RSYSLOGD = shutil.which("rsyslogd") or shutil.which("rsyslogd", path="/usr/sbin:/sbin")

ALWAYS = {"id", "key", "kind", "state", "line", "camera", "name", "severity"}

_HEADER = re.compile(
    rb"<(?P<priority>\d{1,3})>1 (?P<time>\S+) (?P<hostname>[!-~]{1,255}) (?P<app_name>[!-~]{1,48}) "
    rb"(?P<procid>[!-~]{1,128}) (?P<msgid>[!-~]{1,32}) "
)


@dataclass(frozen=True)
class Parsed:
    """A message as RFC 5424 reads it."""

    facility: int
    severity: int
    time: str
    hostname: str
    app_name: str
    msgid: str
    sd_id: str
    fields: dict[str, str]
    text: str


def parse(message: bytes) -> Parsed:
    """Written from the grammar of RFC 5424, section 6, for one structured data element."""
    header = _HEADER.match(message)
    assert header is not None, message
    element, after = parse_element(message[header.end() :].decode())
    assert after[:1] == " ", "a space is between structured data and the message"
    facility, severity = divmod(int(header["priority"]), 8)
    words = [header[name].decode() for name in ("time", "hostname", "app_name", "msgid")]
    return Parsed(facility, severity, *words, *element, after[1:])


def parse_element(text: str) -> tuple[tuple[str, dict[str, str]], str]:
    """SD-ID and parameters of the element at the beginning, and what follows it."""
    opened = re.match(r"\[([^=\s\]\"]{1,32})", text)
    assert opened is not None, text
    fields: dict[str, str] = {}
    at = opened.end()
    while text[at] == " ":
        name = re.compile(r' ([!#-<>-\\^-~]{1,32})="').match(text, at)
        assert name is not None, text[at:]
        value, at = "", name.end()
        while text[at] != '"':
            assert text[at] != "]", "a bracket that is not escaped"
            at += text[at] == "\\" and text[at + 1] in '"\\]'
            value, at = value + text[at], at + 1
        assert name[1] not in fields
        fields[name[1]], at = value, at + 1
    assert text[at] == "]", text[at:]
    return (opened[1], fields), text[at + 1 :]


def expected_fields(event: Event) -> dict[str, str]:
    """The structured data of an event from which nothing but its outline is left out."""
    fields: dict[str, Any] = {}
    for name, value in msgspec.json.decode(event_json(event)).items():
        fields |= {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
    shown = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in fields.items()
        if name in ALWAYS or (value not in (None, "", []) and name not in ("type", "outline_px"))
    }
    return shown | ({"omitted": "outline_px"} if event.outline_px else {})


class Rsyslog:
    """An rsyslog of our own that listens on one port of 127.0.0.1 and writes down all that it makes of a message."""

    def __init__(self, folder: Path, transport: str) -> None:
        if RSYSLOGD is None:
            pytest.skip("no rsyslogd installed")
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self._transport = free_port(), transport
        self._folder, self._got = folder, folder / "got"
        self._config = folder / "rsyslog.conf"
        self._config.write_text(f"""\
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="im{transport}")
input(type="im{transport}" address="127.0.0.1" port="{self.port}")
template(name="all" type="list") {{ property(name="jsonmesg") constant(value="\\n") }}
action(type="omfile" file="{self._got}" template="all")
""")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [RSYSLOGD, "-n", "-f", str(self._config), "-i", str(self._folder / "pid")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        assert wait_until(self._listens), f"rsyslogd does not start: {(self._folder / 'log').read_text()}"

    def _listens(self) -> bool:
        lines = Path(f"/proc/net/{self._transport}").read_text().splitlines()
        return any(f":{self.port:04X} 00000000:0000" in line for line in lines)

    def kill(self) -> None:
        """kill -9, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def messages(self) -> list[dict[str, Any]]:
        """What rsyslog made of each message, in order."""
        text = self._got.read_text() if self._got.exists() else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


class SyslogRig(Rig):
    transport: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self._receiver = Rsyslog(folder / "rsyslog", self.transport)
        self._receiver.start()
        config = {"host": "127.0.0.1", "port": self._receiver.port, "transport": self.transport}
        super().__init__(SyslogAlertConfig(kind="syslog", timeout_s=TIMEOUT_S, **config), folder)

    def payloads(self) -> list[dict[str, str]]:
        return [parse_element(message["structured-data"])[0][1] for message in self._receiver.messages()]

    def payload(self, event: Event) -> dict[str, str]:
        return expected_fields(event)

    def take_away(self) -> None:
        self._receiver.kill()

    def bring_back(self) -> None:
        self._receiver.start()

    def close(self) -> None:
        super().close()
        self._receiver.kill()


class TcpRig(SyslogRig):
    transport = "tcp"


class UdpRig(SyslogRig):
    transport = "udp"
    notices_death = False


RIGS = {"syslog-tcp": TcpRig, "syslog-udp": UdpRig}


class StreamReceiver:
    """Takes messages by octet counting, over TCP or TLS, one connection after the other."""

    def __init__(self, certificates: Certificates | None = None, *, reads: bool = True) -> None:
        self.messages: list[bytes] = []
        self._reads = reads
        self._context: ssl.SSLContext | None = None
        if certificates is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificates.certificate, certificates.key)
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port = int(self._listener.getsockname()[1])
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
                connection = self._context.wrap_socket(connection, server_side=True) if self._context else connection
                self.connections.append(connection)
                if self._reads:
                    self._take(connection)
            except ssl.SSLError:
                continue  # a client that does not trust us
            except OSError:
                return

    def _take(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while count := self._count(stream):
                self.messages.append(stream.read(count))

    def _count(self, stream: Any) -> int:
        digits = b""
        while (byte := stream.read(1)) not in (b"", b" "):
            digits += byte
        return int(digits or b"0")

    def hang_up(self) -> None:
        """Close the connections there are, and go on listening."""
        while self.connections:
            connection = self.connections.pop()
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        self._thread.join(5)


class DatagramReceiver:
    """Takes datagrams on a port of 127.0.0.1."""

    def __init__(self) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(5)
        self.port = int(self._socket.getsockname()[1])

    def take(self) -> bytes:
        return self._socket.recv(70_000)

    def close(self) -> None:
        self._socket.close()
