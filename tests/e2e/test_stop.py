"""Ctrl-C stops in good order within three seconds; twice means now."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from stream_inspect.config.builtin import builtin_config
from tests.e2e.service import crowding, running

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]
WITHIN_S = 3.0
SLACK = 1.5
"""How much longer it may take here, where two cores run the tests as well. Soak: none."""

NOW_WITHIN_S = 1.0
NOW_SLACK = 3
"""Killing takes 0.6 s here: seven processes with a gigabyte between them, which the kernel takes back at leisure."""


def stop_in_good_order(folder: Path, number: signal.Signals) -> tuple[float, float]:
    """Seconds from the signal to the end of the service, which has left nothing undone; and how crowded it was."""
    with running(builtin_config("demo"), folder / "log", f"state_dir={folder}/state", "web.port=0") as service:
        service.wait_judging(3)
        crowd = crowding()  # with the service's own processes, as in the stop
        started_s = time.monotonic()
        assert service.stop(number) == 0
        took_s = time.monotonic() - started_s
        # Each group of processes has its share of the time, by the clock.
        assert crowd > 1.5 or "did not stop in time" not in service.log
        assert "Traceback" not in service.log
    return took_s, crowd


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_in_good_order(tmp_path: Path, number: signal.Signals):
    took_s, crowd = stop_in_good_order(tmp_path, number)
    assert took_s < WITHIN_S * SLACK * crowd


@pytest.mark.soak
def test_ten_stops_in_a_row_keep_the_promise(tmp_path: Path):
    took_s = sorted(stop_in_good_order(tmp_path, signal.SIGINT)[0] for _ in range(10))
    print(f"\nstopped after: median {took_s[5]:.2f} s, longest {took_s[-1]:.2f} s")
    assert took_s[-1] < WITHIN_S


def stop_now(folder: Path) -> tuple[float, float]:
    """Seconds from a second Ctrl-C to the end of a service that cannot stop; and how crowded it was."""
    with running(builtin_config("demo"), folder / "log", f"state_dir={folder}/state", "web.port=0") as service:
        service.wait_judging(1)
        crowd = crowding()
        for child in service.children().values():
            child.suspend()  # nothing can stop in good order now
        service.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert service.process.poll() is None
        started_s = time.monotonic()
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(timeout=5) == 130
        return time.monotonic() - started_s, crowd


def test_a_second_ctrl_c_means_now(tmp_path: Path):
    took_s, crowd = stop_now(tmp_path)
    assert took_s < NOW_WITHIN_S * NOW_SLACK * crowd


@pytest.mark.soak
def test_five_times_now_in_a_row_keep_the_promise(tmp_path: Path):
    took_s = sorted(stop_now(tmp_path)[0] for _ in range(5))
    print(f"\nnow: median {took_s[2]:.2f} s, longest {took_s[-1]:.2f} s")
    assert took_s[-1] < NOW_WITHIN_S


def test_a_second_service_with_the_same_state_is_refused(tmp_path: Path):
    settings = (f"state_dir={tmp_path}/state", "web.enabled=false", "recorder.enabled=false")
    with running(builtin_config("demo"), tmp_path / "log1", *settings) as first:
        first.wait_judging(1)
        with running(builtin_config("demo"), tmp_path / "log2", *settings) as second:
            assert second.process.wait(timeout=20) == 1
            assert "another stream-inspect is running" in second.log
        assert first.stop() == 0
