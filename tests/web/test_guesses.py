"""Wrong tokens: those who repeat an old one harm nobody, those who guess do not get far."""

from __future__ import annotations

import hashlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from stream_inspect.web import guard, guesses
from stream_inspect.web.guesses import GUESSES_MAX, Guesses
from tests.web.served import Served, eventually

NUMBERS = itertools.count()
RIGHT = {"Authorization": "Bearer open sesame"}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path, web={"token": "open sesame"})
    yield served
    served.close()


def request(token: str) -> bytes:
    return f"GET /api/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def connected(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), timeout=30)


def code_in(raw: socket.socket) -> int:
    return int(raw.recv(4096).split(b" ")[1])


@contextmanager
def dashboards(served: Served) -> Iterator[list[int]]:
    """Ten pages left open on other computers, which poll with the token of last week; their answers."""
    answers: list[int] = []
    stop = threading.Event()

    def poll() -> None:
        while not stop.wait(0.1):
            with connected(served) as raw:
                raw.sendall(request("of last week"))
                answers.append(code_in(raw))

    threads = [threading.Thread(target=poll) for _ in range(10)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
def test_the_right_token_is_answered_while_old_tokens_poll_and_256_wrong_ones_come_at_once(guarded: Served) -> None:
    with dashboards(guarded) as answers:
        eventually(lambda: len(answers) > 60, "the dashboards do not poll", within_s=20)
        wrong = [connected(guarded) for _ in range(256)]
        for n, raw in enumerate(wrong):
            raw.sendall(request(f"wrong {n}"))
        for _ in range(10):
            started_s = time.monotonic()
            with connected(guarded) as right:
                right.sendall(request("open sesame"))
                assert code_in(right) == 200
            assert time.monotonic() - started_s < 5.0
        assert [code_in(raw) for raw in wrong] == [401] * 256
        for raw in wrong:
            raw.close()
    assert set(answers) == {401}


def test_an_old_token_may_be_repeated_without_end(guarded: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "GUESSES_MAX", 20)
    with httpx.Client(base_url=guarded.url) as client:
        for _ in range(100):
            assert client.get("/api/status", headers={"Authorization": "Bearer of last week"}).status_code == 401
        assert client.get("/api/status", headers=RIGHT).status_code == 200


def test_who_guesses_is_stopped_by_bearer_and_by_form_and_who_is_logged_in_is_not(
    guarded: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "GUESSES_MAX", 20)
    with httpx.Client(base_url=guarded.url) as client:
        client.post("/login", data={"token": "open sesame"})
        cookie = {guard.COOKIE: client.cookies[guard.COOKIE]}
    started_s = time.monotonic()
    with httpx.Client(base_url=guarded.url) as client:
        guesses_of_one = [{"Authorization": f"Bearer guess {n}"} for n in range(60)]
        codes = [client.get("/api/status", headers=headers).status_code for headers in guesses_of_one]
    assert codes[:20] == [401] * 20
    assert set(codes) == {401, 429}
    assert codes.count(401) <= 21 + time.monotonic() - started_s, "one more a second, however many are sent"
    form = httpx.post(f"{guarded.url}/login", data={"token": "another guess"})
    assert form.headers["location"] in ("login#too-many", "login#wrong")
    assert httpx.get(f"{guarded.url}/api/status", cookies=cookie).status_code == 200


def test_open_paths_that_stall_leave_the_page_to_those_who_may_see_it(guarded: Served) -> None:
    stalled = []
    for _ in range(300):
        raw = socket.create_connection(("127.0.0.1", guarded.port))
        raw.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\ntok")
        stalled.append(raw)
    time.sleep(0.3)
    assert httpx.get(f"{guarded.url}/api/status", headers=RIGHT).status_code == 200
    for raw in stalled:
        raw.close()


# --- the count alone, by a clock of its own ---


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def guess(counted: Guesses, address: str, times: int) -> int:
    """How many of so many new wrong tokens are compared."""
    compared = 0
    for _ in range(times):
        if counted.may_guess(address):
            compared += 1
            counted.note_wrong(address, hashlib.sha256(str(next(NUMBERS)).encode()).digest())
    return compared


def test_an_address_has_its_allowance_and_then_one_guess_a_second() -> None:
    clock = Clock()
    counted = Guesses(clock)
    assert guess(counted, "10.0.0.1", 2 * GUESSES_MAX) == GUESSES_MAX
    assert guess(counted, "10.0.0.2", 5) == 5, "another address has its own"
    compared = 0
    for _ in range(600):  # a minute
        clock.now_s += 0.1
        compared += guess(counted, "10.0.0.1", 10)
    assert 58 <= compared <= 61
    clock.now_s += 2 * GUESSES_MAX
    assert guess(counted, "10.0.0.1", 2 * GUESSES_MAX) == GUESSES_MAX


def test_the_hosts_of_one_network_of_ipv6_share_an_allowance() -> None:
    counted = Guesses(Clock())
    tried = sum(guess(counted, f"2001:db8::{host:x}", 100) for host in range(1, 20))
    assert tried == GUESSES_MAX
    assert counted.may_guess("2001:db8:0:1::1")


def test_hosts_of_ipv4_are_counted_apart_also_on_a_socket_of_both_families() -> None:
    counted = Guesses(Clock())
    assert guess(counted, "::ffff:10.0.0.1", 2 * GUESSES_MAX) == GUESSES_MAX
    assert counted.may_guess("::ffff:10.0.0.2")
    assert not counted.may_guess("10.0.0.1"), "the same host by another spelling"


def test_more_addresses_than_the_table_holds_share_one_allowance() -> None:
    clock = Clock()
    counted = Guesses(clock)
    for n in range(guesses._ADDRESSES_MAX):
        guess(counted, f"10.1.{n // 256}.{n % 256}", 1)
    assert sum(guess(counted, f"10.2.0.{n}", 100) for n in range(20)) == GUESSES_MAX
    assert len(counted._spent) <= guesses._ADDRESSES_MAX + 1
    clock.now_s += 2 * GUESSES_MAX
    assert guess(counted, "10.2.0.1", 100) == 100, "those who have stopped make room"
    assert len(counted._spent) <= guesses._ADDRESSES_MAX + 1


def test_repeated_tokens_are_remembered_in_a_bounded_table() -> None:
    counted = Guesses(Clock())
    old = hashlib.sha256(b"of last week").digest()
    counted.note_wrong("10.0.0.1", old)
    for n in range(10_000):
        if n % 500 == 0:
            assert counted.is_repeated(old), "what is sent again and again stays known"
        counted.note_wrong("10.0.0.9", hashlib.sha256(f"{n}".encode()).digest())
    assert len(counted._wrong) <= guesses._REPEATED_MAX
