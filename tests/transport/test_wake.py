"""A wake-up: readable from `set` to `clear`, however often it was set, and harmless once closed."""

from __future__ import annotations

import os
import select
import threading

import pytest

from stream_inspect.transport.wake import Wake


def readable(descriptor: int, within_s: float = 0.0) -> bool:
    """`select` knows none above 1023, which a process with many tests may have open."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(1000 * within_s))


@pytest.fixture
def wake():
    made = Wake()
    yield made
    made.close()


def test_many_wake_ups_are_one_and_one_clear_ends_them(wake):
    assert not readable(wake.fd)
    wake.clear()
    for _ in range(3):
        wake.set()
    assert readable(wake.fd)
    assert readable(wake.fd), "looking changes nothing"
    wake.clear()
    assert not readable(wake.fd)


def test_another_thread_ends_the_waiting(wake):
    timer = threading.Timer(0.05, wake.set)
    timer.start()
    assert readable(wake.fd, within_s=5.0)
    timer.join()


def test_a_closed_one_wakes_nobody_and_does_not_touch_a_descriptor_of_the_same_number(wake):
    number = wake.fd
    wake.close()
    wake.close()
    assert wake.fd is None
    other = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        assert other == number, "the kernel gives the lowest free number"
        wake.set()
        wake.clear()
        assert not readable(other)
    finally:
        os.close(other)
