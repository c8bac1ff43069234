"""The supervisor, where a process cannot be started, cannot be killed, or gets more orders than a pipe holds."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_inspect.service.process import LaunchSpec
from stream_inspect.service.run_dir import RunDir
from stream_inspect.service.supervisor import KILLED_WITHIN_S, STOP_SHARE_S, Supervisor
from tests.commands.replays import config


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[RunDir]:
    with RunDir(tmp_path, tmp_path / "state") as run:
        yield run


class StuckInTheKernel:
    """A process that no signal ends: what a camera's driver makes of one, and a test cannot."""

    pid = 1

    def send_signal(self, number: int) -> None:
        pass

    def kill(self) -> None:
        pass

    def wait(self, timeout: float | None = None) -> int:
        assert timeout is not None, "this would wait for ever"
        time.sleep(timeout)
        raise subprocess.TimeoutExpired("stuck", timeout)


def test_processes_that_cannot_be_killed_do_not_keep_the_service_from_stopping(run_dir):
    supervisor = Supervisor(config(), run_dir)
    stuck = [child for child in supervisor.children if child.row.name in ("alerts", "recorder", "live")]
    for child in stuck:
        child.process = StuckInTheKernel()  # type: ignore[assignment]
    began_s = time.monotonic()
    supervisor.stop()
    supervisor.kill()
    assert len(stuck) > 1
    assert time.monotonic() - began_s < STOP_SHARE_S["sinks"] + KILLED_WITHIN_S + 1
    assert all(child.process is None for child in supervisor.children)


def test_a_process_that_cannot_be_started_is_tried_again(run_dir, monkeypatch):
    supervisor = Supervisor(config(), run_dir)
    track = next(child for child in supervisor.children if child.row.name == "track")
    monkeypatch.setattr(sys, "executable", "/absent/python")
    supervisor.start()
    assert (track.process, track.failures_in_a_row) == (None, 1)
    deadline_s = time.monotonic() + 5
    while track.failures_in_a_row < 3 and time.monotonic() < deadline_s:
        supervisor.watch()
    supervisor.stop()
    assert (track.failures_in_a_row, track.restarts) == (3, 3)


def test_more_orders_than_a_pipe_holds_do_not_hold_up_the_supervisor(run_dir, tmp_path, monkeypatch):
    """A process that is slow to read its orders must not keep the supervisor from starting and watching the others."""
    slow = tmp_path / "python"
    slow.write_text(f'#!/bin/sh\nsleep 2\ncat > "{tmp_path}/$4.part"\nmv "{tmp_path}/$4.part" "{tmp_path}/$4"\n')
    slow.chmod(0o700)
    many = config(
        defects=[{"name": f"defect_{n}", "prompts": [f"{m} " + "x" * 90 for m in range(8)]} for n in range(99)]
    )
    supervisor = Supervisor(many, run_dir)
    monkeypatch.setattr(sys, "executable", str(slow))
    began_s = time.monotonic()
    supervisor.start()
    assert time.monotonic() - began_s < 2
    orders = tmp_path / "row=track"
    while not orders.exists() and time.monotonic() < began_s + 20:
        time.sleep(0.1)
    supervisor.kill()
    assert orders.stat().st_size > 65_536
    assert LaunchSpec.from_json(orders.read_text()).config == many
