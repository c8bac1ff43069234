"""The web stage: serves the page from a thread of its own, fed by the stage's loop."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import uvicorn

from stream_inspect import log
from stream_inspect.config.crosscheck import is_loopback
from stream_inspect.config.models import Config
from stream_inspect.errors import StreamInspectError
from stream_inspect.messages import AnyMessage, Event, LineStatus, LivePicture, Output, PartsStatus
from stream_inspect.stopping import OUTPUT_CLOSE_S
from stream_inspect.store.events import EventStore
from stream_inspect.web.app import make_app
from stream_inspect.web.connections import CONNECTIONS_MAX, Connection, SeldomInvalid
from stream_inspect.web.feed import EventFeed
from stream_inspect.web.guard import Token
from stream_inspect.web.hub import LiveHub
from stream_inspect.web.line import Line
from stream_inspect.web.parts import Parts
from stream_inspect.web.status import Health

_START_WITHIN_S = 15.0
_STOP_WITHIN_S = OUTPUT_CLOSE_S - 0.1
_SEND_BUFFER_BYTES = 256 * 1024
"""Send buffer of one browser: a few pictures. Without the limit the kernel queues megabytes of old pictures."""
_GONE_AFTER_MS = 20_000
"""The kernel disconnects a browser that has received nothing for this long (unplugged, frozen)."""
_KEEPALIVE_S = 10
"""The kernel asks a browser to which nothing is sent this often whether it is still there."""
_INVALID = SeldomInvalid()


class WebError(StreamInspectError):
    """The page cannot be served; the text says what to set."""


class WebStage:
    """Reads `live`, `events`, `parts_status` and `status`; serves HTTP at `url`, which is known after `open`."""

    wake_fd: int | None = None

    def __init__(self, config: Config, *, store_path: Path, state_dir: Path) -> None:
        web = config.web
        if web.token is None and not is_loopback(web.host):
            raise WebError(
                f"web.host {web.host} can be reached from other computers: set web.token, or web.host to 127.0.0.1"
            )
        secret = web.token.get_secret_value() if web.token is not None else None
        if secret is not None and not secret.strip():
            raise WebError("web.token is empty")
        self.url = ""
        self._config = config
        self._hub = LiveHub(camera.name for camera in config.cameras)
        self._feed = EventFeed(partial(EventStore, store_path), state_dir, config.recorder)
        self._standing = Line()
        self._parts = Parts([line.name for line in config.lines])
        self._health = Health(config.metrics)
        self._app = make_app(
            config,
            hub=self._hub,
            feed=self._feed,
            standing=self._standing,
            parts=self._parts,
            health=self._health,
            state_dir=state_dir,
            token=Token(secret) if secret is not None else None,
            stopping=lambda: self._server is None or self._server.should_exit,
        )
        self._server: uvicorn.Server | None = None
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._log = log.get_logger(__name__)

    def open(self) -> None:
        """Start the server. Raises `WebError` where it cannot listen or start."""
        self._socket = _listen(self._config.web.host, self._config.web.port)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app,
                http=Connection,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_graceful_shutdown=1,
            )
        )
        logging.getLogger("uvicorn.error").addFilter(_INVALID)
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)
        self._thread.start()
        deadline_s = time.monotonic() + _START_WITHIN_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline_s:
                self.close()
                raise WebError(f"web server did not start within {_START_WITHIN_S:g} s (see the log)")
            time.sleep(0.01)
        self.url = _url(self._config.web.host, self._socket.getsockname()[1])
        self._log.info("serving the live page", url=self.url, token=self._config.web.token is not None)

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        """Publish the newest pictures, the line's status and its parts; read the event log when there are events."""
        for message in batch:
            if isinstance(message, LivePicture):
                self._hub.put(message)
            elif isinstance(message, LineStatus):
                self._standing.put(message)
                self._feed.wake_waiters()
            elif isinstance(message, PartsStatus) and self._parts.put(message):
                self._feed.wake_waiters()
        if any(isinstance(message, Event) for message in batch):
            self._feed.notify()
        return ()

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        """A dead server is a failure of the stage: the supervisor restarts it."""
        if self._thread is None or not self._thread.is_alive():
            raise WebError("web server exited (see the log)")
        return ()

    def undelivered(self, output: Output) -> None:
        """This stage sends nothing."""

    def close(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
            self._hub.wake_waiters()
            self._feed.wake_waiters()
        if self._thread is not None:
            self._thread.join(_STOP_WITHIN_S)
            if self._thread.is_alive():
                return  # it still uses the socket, and closes it when it ends
        if self._socket is not None:
            self._socket.close()

    # --- in the server's thread ---

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception:
            self._log.exception("web server failed")

    async def _main(self) -> None:
        assert self._server is not None, "set by open"
        assert self._socket is not None, "set by open"
        self._hub.attach()
        tasks = [asyncio.create_task(self._feed.run()), asyncio.create_task(self._health.run())]
        for task in tasks:
            task.add_done_callback(self._task_ended)
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """Fail the stage, so that it is restarted: a frozen page would be worse than none."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._log.error("web server failed", exc_info=error)
        if self._server is not None:
            self._server.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    listening: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The sockets of the browsers' connections inherit these options.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_S)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_AFTER_MS)
        listening.bind(address)
        listening.listen(128)
        listening.setblocking(False)
    except OSError as error:
        if listening is not None:
            listening.close()
        if error.errno == errno.EADDRINUSE:
            raise WebError(
                f"port {port} of {host} is in use by another program: stop it, or set web.port (0: any free port)"
            ) from error
        if error.errno == errno.EACCES:
            raise WebError(f"no permission for port {port} of {host}: set web.port to 1024 or above") from error
        raise WebError(f"cannot listen on {host}:{port} (web.host, web.port): {error.strerror}") from error
    return listening


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/"
