"""Connections that ask for nothing: each has a limit, and none of them takes the place of one that asks.

uvicorn has a time-out between two requests, and none before the first one or within the head of any.
"""

from __future__ import annotations

import asyncio
import logging
import time

from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS_MAX = 1000
"""More than the guard admits (`guard.ADMITTED_MAX`): those that it refuses must not take the place of the others."""
_HEAD_WITHIN_S = 10.0
"""A request's head arrives in one packet, or two."""
_WARN_EVERY_S = 600.0


class Connection(H11Protocol):
    """One connection of a client. It is closed where no complete head of a request has arrived in time.

    The oldest of those that wait for one is closed at once where there are too many connections.
    """

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) >= CONNECTIONS_MAX:
            waiting = [one for one in self.connections if isinstance(one, Connection) and one._head_timer is not None]
            min(waiting, key=Connection._due_s).give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_has_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        last_request = self.cycle
        super().data_received(data)
        if self.cycle is not last_request:
            self._head_has_arrived()
        elif self._is_idle and self._head_timer is None:
            self._await_head()

    def give_up(self) -> None:
        """Close it, unless a request is in progress."""
        self._head_has_arrived()
        if self._is_idle:
            self.transport.abort()

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _due_s(self) -> float:
        return self._head_timer.when() if self._head_timer is not None else float("inf")

    def _await_head(self) -> None:
        self._head_timer = asyncio.get_running_loop().call_later(_HEAD_WITHIN_S, self.give_up)

    def _head_has_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class SeldomInvalid(logging.Filter):
    """Passes uvicorn's warning of an invalid request once in a while: anyone may send any number of them."""

    def __init__(self) -> None:
        super().__init__()
        self._due_s = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if "Invalid HTTP request" not in str(record.msg):
            return True
        if time.monotonic() < self._due_s:
            return False
        self._due_s = time.monotonic() + _WARN_EVERY_S
        return True
