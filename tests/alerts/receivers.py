"""Real receivers of alerts, to be started, killed and started again by tests."""

from __future__ import annotations

import contextlib
import getpass
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")

START_S = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], timeout_s: float = START_S) -> bool:
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if condition():
            return True
        time.sleep(0.005)
    return condition()


@dataclass(frozen=True)
class Certificates:
    """A certificate authority of our own, and the certificate of 127.0.0.1 that it signed."""

    ca: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    def signed(
        name: str, issuer: str, signer: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePrivateKey, is_ca: bool
    ):
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .sign(signer, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    found = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    found.ca.write_bytes(signed("test ca", "test ca", ca_key, ca_key, is_ca=True))
    found.certificate.write_bytes(signed("127.0.0.1", "test ca", ca_key, key, is_ca=False))
    found.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return found


class Mosquitto:
    """A mosquitto of our own on 127.0.0.1. What it saves is in `folder`, and is there after a kill."""

    def __init__(self, folder: Path, *, tls: bool = False, password: str = "", extra: str = "") -> None:
        if MOSQUITTO is None:
            pytest.skip("no mosquitto installed")
        self.port = free_port()
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"user {getpass.getuser()}",
            f"listener {self.port} 127.0.0.1",
            "max_inflight_messages 0",
            "max_queued_messages 0",
            "set_tcp_nodelay true",
        ]
        if tls:
            self.certificates = make_certificates(folder)
            lines += [f"certfile {self.certificates.certificate}", f"keyfile {self.certificates.key}"]
        if password:
            passwords = folder / "passwords"
            passwords.write_text(f"inspector:{password}\n")
            subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        else:
            lines += ["allow_anonymous true"]
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join([*lines, extra, ""]))
        self._log = (folder / "log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stdout=self._log, stderr=self._log)
        assert wait_until(self._accepts), f"mosquitto does not start: {(self.folder / 'log').read_text()}"

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        self._log.close()


class Subscriber:
    """A subscriber with a persistent session (QoS 1) that comes back by itself; remembers all it ever got, in order.

    With `holds_acks` it answers nothing by itself: `acknowledge` does, for all that it has got.
    """

    def __init__(
        self,
        port: int,
        topic: str,
        client_id: str = "subscriber",
        *,
        holds_acks: bool = False,
        **tls_and_password: str,
    ) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self.properties: list[Properties] = []
        self.repeated_by_broker = 0
        self._held: deque[int] = deque()
        self.is_subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv5, manual_ack=holds_acks)
        self._client.reconnect_delay_set(0.05, 0.1)
        if "ca_file" in tls_and_password:
            self._client.tls_set(ca_certs=tls_and_password["ca_file"])
        if "password" in tls_and_password:
            self._client.username_pw_set("inspector", tls_and_password["password"])
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: self.is_subscribed.set()
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        keep = Properties(PacketTypes.CONNECT)
        keep.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, keepalive=60, clean_start=False, properties=keep)
        self._client.loop_start()
        assert self.is_subscribed.wait(START_S)

    def _on_message(self, _client, _data, message) -> None:
        self.messages.append((message.topic, message.payload, message.retain))
        self.properties.append(message.properties)
        self.repeated_by_broker += message.dup
        self._held.append(message.mid)

    def _on_disconnect(self, *_: object) -> None:
        self._held.clear()  # their ids mean nothing to the next connection: the broker sends them again
        self.is_subscribed.clear()

    def acknowledge(self) -> None:
        """Answer all that was held, and return when the answers are on their way."""
        while self._held:
            self._client.ack(self._held.popleft(), 1)
        assert wait_until(lambda: not self._client.want_write())

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@dataclass(frozen=True)
class Request:
    """What an HTTP receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


class HttpReceiver:
    """A real HTTP(S) server on 127.0.0.1; `answer` decides what it says to a request (status and headers)."""

    def __init__(self, certificates: Certificates | None = None) -> None:
        self.port = free_port()
        self.requests: list[Request] = []
        self.answer: Callable[[Request], tuple[int, dict[str, str]]] = lambda _: (204, {})
        self._certificates = certificates
        self._server: http.server.ThreadingHTTPServer | None = None
        self._connections: set[socket.socket] = set()

    def start(self) -> None:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                receiver._connections.add(self.request)
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                got = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                receiver.requests.append(got)
                status, headers = receiver.answer(got)
                self.send_response(status)
                if status != 204 and "transfer-encoding" not in headers:
                    self.send_header("content-length", "0")
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # clients that break off are part of the tests
        if self._certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificates.certificate, self._certificates.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def kill(self) -> None:
        """Stop listening and cut the connections there are."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        while self._connections:
            connection = self._connections.pop()
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    close = kill


class BlackHole:
    """A server that accepts every connection and never says a word."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = int(self._listener.getsockname()[1])
        self._accepted: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        return len(self._accepted)

    def _run(self) -> None:
        while True:
            try:
                self._accepted.append(self._listener.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for connection in self._accepted:
            connection.close()


class Trickle:
    """A server that sends `first`, and then one byte every 0.3 s: within each read's time-out, whatever that is."""

    def __init__(self, first: bytes, then: bytes) -> None:
        self._first, self._then = first, then
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._answer, args=(self._listener.accept()[0],), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(self._first)
            while not self._stop.wait(0.3):
                connection.sendall(self._then)

    def close(self) -> None:
        """End the connections as well, and so whatever still reads from one."""
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class ScriptedBroker:
    """Just enough of an MQTT 5 broker to say what a real one says only in trouble.

    `connack` answers every CONNECT; a PUBLISH gets the reason code that `pubacks` holds for a part of its topic, or 0;
    where `disconnects` holds one, a DISCONNECT with it instead; with `silent` in its topic no answer. `published` has
    (topic, all that follows it) of each PUBLISH.
    """

    def __init__(
        self,
        connack: int = 0,
        pubacks: dict[str, int] | None = None,
        disconnects: dict[str, int] | None = None,
        silent: str = "",
    ) -> None:
        self.published: list[tuple[str, bytes]] = []
        self._silent = silent
        self._disconnects = disconnects or {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._connack = connack
        self._pubacks = pubacks or {}
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection = self._connection = self._listener.accept()[0]
            except OSError:
                return
            with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
                while packet := self._packet(stream):
                    connection.sendall(self._answer(*packet))

    def _packet(self, stream) -> tuple[int, bytes] | None:
        kind = stream.read(1)
        if not kind:
            return None
        length = shift = 0
        while True:
            (byte,) = stream.read(1)
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return kind[0] >> 4, stream.read(length)

    def _answer(self, kind: int, body: bytes) -> bytes:
        if kind == 1:  # CONNECT
            return bytes([0x20, 3, 0, self._connack, 0])
        if kind == 3:  # PUBLISH
            end = 2 + int.from_bytes(body[:2])
            topic = body[2:end].decode()
            self.published.append((topic, body[end:]))
            if self._silent and self._silent in topic:
                return b""
            for code in (code for part, code in self._disconnects.items() if part in topic):
                return bytes([0xE0, 1, code])
            reason = next((code for part, code in self._pubacks.items() if part in topic), 0)
            return bytes([0x40, 4, *body[end : end + 2], reason, 0])
        return b""

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
