"""A proxy that holds answers back: what a buffering proxy, a full buffer or a hanging network does to one stream."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class HoldingProxy:
    """A TCP proxy on a port of its own to one of this computer. It relays every answer but those of held paths."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._held: set[str] = set()
        self._changed = threading.Condition()
        self._sockets: list[socket.socket] = []
        self._relays: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def hold(self, *paths: str) -> None:
        """From now on nothing of the answers to these paths arrives, of those under way neither; no path: all flow."""
        with self._changed:
            self._held = set(paths)
            self._changed.notify_all()

    def close(self) -> None:
        """Release what is held, and close everything."""
        self.hold()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for relay in self._relays:
            relay.join()
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._to)
            self._sockets += [client, server]
            path = [""]
            for ends in ((client, server), (server, client)):
                relay = threading.Thread(target=self._relay, args=(*ends, path, ends[0] is client))
                relay.start()
                self._relays.append(relay)

    def _relay(self, source: socket.socket, target: socket.socket, path: list[str], are_requests: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if are_requests and data.startswith((b"GET ", b"POST ")):
                    path[0] = data.split(b" ", 2)[1].decode()
                with self._changed:
                    self._changed.wait_for(lambda: are_requests or path[0] not in self._held)
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
