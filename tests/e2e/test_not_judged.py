"""Judging stops, or falls behind, while the processes run: /healthz names it within seconds."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from stream_inspect.config.builtin import builtin_config
from tests.e2e.service import crowding, running

WITHIN_S = 3.0


def active(kind: str, source: str, document: dict[str, Any]) -> bool:
    assert document["status"] == "degraded" or not document["conditions"]
    return any(one["kind"] == kind and one["source"] == source for one in document["conditions"])


@pytest.mark.alone
@pytest.mark.timeout(180)
def test_a_stopped_worker_and_a_stopped_track_are_reported_while_they_hang(tmp_path: Path):
    settings = (f"state_dir={tmp_path}/state", "web.enabled=false", "recorder.enabled=false")
    with running(builtin_config("demo"), tmp_path / "log", *settings) as service:
        service.wait_judging(40)
        service.children()["inspect.0"].send_signal(signal.SIGSTOP)
        service.wait_for(
            lambda seen: active("not_judged", "supervisor", seen), WITHIN_S + crowding(), "the stopped worker reported"
        )
        # Its batches take a tenth of a second: it is killed long before 120 s, and judges again.
        service.wait_for(
            lambda seen: seen["processes"]["inspect.0"]["restarts"] == 1 and seen["status"] == "ok",
            30 + 10 * crowding(),
            "the worker restarted and judging again",
        )
        service.children()["track"].send_signal(signal.SIGSTOP)
        service.wait_for(
            lambda seen: active("process_down", "track", seen), 6 + crowding(), "the stopped track reported"
        )
        assert service.stop() == 0
        assert '"process_down"' in service.log


@contextmanager
def held_up(process: psutil.Process, stopped_s: float, running_s: float) -> Iterator[None]:
    """The process gets a share of the time only, as one that others crowd out, on a machine of any speed."""
    done = threading.Event()

    def run() -> None:
        while not done.is_set():
            process.send_signal(signal.SIGSTOP)
            done.wait(stopped_s)
            process.send_signal(signal.SIGCONT)
            done.wait(running_s)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.alone
@pytest.mark.timeout(180)
def test_more_due_frames_than_can_be_judged_are_reported_with_their_share(tmp_path: Path):
    """Frames are due each 125 ms: while the worker stands still for 300 ms, one or two are superseded."""
    settings = (f"state_dir={tmp_path}/state", "web.enabled=false", "recorder.enabled=false")
    with running(builtin_config("demo"), tmp_path / "log", *settings) as service:
        service.wait_judging(40)
        assert not active("overload", "supervisor", service.health() or {"status": "", "conditions": []})
        with held_up(service.children()["inspect.0"], stopped_s=0.3, running_s=0.5):
            service.wait_for(lambda seen: active("overload", "supervisor", seen), 30 + crowding(), "overload reported")
            (report,) = (one for one in service.health()["conditions"] if one["kind"] == "overload")
        assert report["camera"] == "belt"
        assert re.match(r"\d+% of the due frames of the last \d+ s were dropped", report["detail"])
        service.wait_for(
            lambda seen: not active("overload", "supervisor", seen), 30 + 10 * crowding(), "the end of it reported"
        )
        assert service.stop() == 0
        assert '"overload"' in service.log
