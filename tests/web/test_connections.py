"""Connections that ask for nothing do not take the page from those who do."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from stream_inspect.web import connections, stage
from stream_inspect.web.connections import SeldomInvalid
from tests.web.served import Served

ASK = b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connected(served: Served, stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=10))


def is_closed(raw: socket.socket) -> bool:
    """Whether the server has closed it, or does so within ten seconds."""
    try:
        while raw.recv(4096):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    return True


@pytest.mark.parametrize("begun", [b"", b"G", ASK[:-2]], ids=["nothing", "a byte", "all but the end"])
def test_a_connection_without_a_request_is_closed(served, stack, monkeypatch, begun):
    monkeypatch.setattr(connections, "_HEAD_WITHIN_S", 0.5)
    raw = connected(served, stack)
    raw.sendall(begun)
    assert is_closed(raw)


def test_a_connection_that_has_asked_once_gets_no_more_time_for_its_next_request(served, stack, monkeypatch):
    monkeypatch.setattr(connections, "_HEAD_WITHIN_S", 0.5)
    raw = connected(served, stack)
    raw.sendall(ASK)
    assert b" 200 OK" in raw.recv(65536)
    raw.sendall(ASK[:5])
    assert is_closed(raw)


def test_a_stream_and_a_slow_head_are_not_given_up(served, stack, monkeypatch):
    monkeypatch.setattr(connections, "_HEAD_WITHIN_S", 1.0)
    raw = connected(served, stack)
    time.sleep(0.3)
    raw.sendall(b"GET /api/live HTTP/1.1\r\n")
    time.sleep(0.3)
    raw.sendall(b"Host: localhost\r\n\r\n")
    ends_s = time.monotonic() + 5
    while time.monotonic() < ends_s:
        assert raw.recv(65536), "the stream was closed"


def test_the_oldest_idle_connection_makes_room_and_those_that_ask_stay(served, stack, monkeypatch):
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 20)
    server = served.stage._server
    assert server is not None
    assert server.config.limit_concurrency == stage.CONNECTIONS_MAX
    server.config.limit_concurrency = 20
    live = connected(served, stack)
    live.sendall(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 200 OK" in live.recv(65536)
    idle = [connected(served, stack) for _ in range(60)]
    for _ in range(5):
        assert httpx.get(f"{served.url}/api/status").status_code == 200
    assert is_closed(idle[0])
    assert live.recv(65536)


def test_a_connection_that_has_vanished_is_noticed_by_the_kernel(served):
    listening = served.stage._socket
    assert listening is not None
    assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 30


def test_invalid_requests_are_logged_once_in_a_while(served, stack, caplog):
    logger = logging.getLogger("uvicorn.error")
    for one in [one for one in logger.filters if isinstance(one, SeldomInvalid)]:
        one.__init__()  # another test may have sent one
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            raw = connected(served, stack)
            raw.sendall(b"\x16\x03\x01 this is TLS, or a port scanner\r\n\r\n")
            assert b" 400 " in raw.recv(4096)
    assert len([one for one in caplog.records if "Invalid HTTP" in one.getMessage()]) == 1
