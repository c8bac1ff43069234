"""Signals to the service: the first asks, the second means now."""

from __future__ import annotations

import os
import signal

import pytest

from stream_inspect.runtime.service import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_asks_and_the_second_means_now(number):
    before = signal.getsignal(number)
    with Interrupts().installed() as interrupts:
        assert not interrupts.stopping
        os.kill(os.getpid(), number)
        assert interrupts.stopping
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
