"""The supervisor: every row is asked to stop, and processes that cannot be started, killed, or fed at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from stream_inspect.messages import ConditionKind, LineStatus
from stream_inspect.service.plan import Plan, plan
from stream_inspect.service.process import LaunchSpec
from stream_inspect.service.run_dir import RunDir, heartbeats_path, ledger_path
from stream_inspect.service.supervisor import KILLED_WITHIN_S, Supervisor
from stream_inspect.transport.zmq import ZmqChannels
from tests.commands.replays import config
from tests.service import made_up


@pytest.fixture
def run_dir(tmp_path: Path, short_dir: Path) -> Iterator[RunDir]:
    with RunDir(short_dir, tmp_path / "state") as run:
        yield run


class StuckInTheKernel:
    """A process that no signal ends: what a camera's driver makes of one, and a test cannot."""

    pid = 1

    def send_signal(self, number: int) -> None:
        pass

    def kill(self) -> None:
        pass

    def wait(self, timeout: float | None = None) -> int:
        assert timeout is not None, "this would wait forever"
        time.sleep(timeout)
        raise subprocess.TimeoutExpired("stuck", timeout)


class Obedient:
    """A process that notes what it is asked, and exits as soon as it is asked to stop."""

    pid = 1

    def __init__(self, name: str, calls: list[tuple[str, object]]) -> None:
        self._name, self._calls = name, calls

    def send_signal(self, number: int) -> None:
        self._calls.append((self._name, number))

    def wait(self, timeout: float) -> int:
        self._calls.append((self._name, round(timeout, 1)))
        return 0

    def kill(self) -> None:
        raise AssertionError(f"{self._name} has stopped and was killed nevertheless")


WEB_OFF = {"web": {"enabled": False}}
TWO_WORKERS = {"inspect": {"workers": [{}, {}]}, "alerts": [{"kind": "file"}]}


@pytest.mark.parametrize("changes", [{}, WEB_OFF, TWO_WORKERS], ids=["default", "web off", "two workers"])
@pytest.mark.parametrize(("stage", "group"), [("gate", "gate"), ("gate", "outputs"), ("capture", "capture")])
def test_every_row_is_asked_to_stop_in_the_plans_order_with_its_groups_share(
    run_dir, monkeypatch, changes, stage, group
):
    """Of every plan, and with a made-up row in every place of it."""
    rows = plan(config(**changes)).rows
    added = replace(made_up.GATE, stage=stage, stop_group=group)
    for place in range(len(rows) + 1):
        with_gate = Plan((*rows[:place], added, *rows[place:]))
        assert {name for name, _ in stopped(with_gate, run_dir, monkeypatch)} == {row.name for row in with_gate.rows}


def stopped(the_plan: Plan, run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """What the processes of this plan were asked by `Supervisor.stop`, which must be what the plan says."""
    calls: list[tuple[str, object]] = []
    monkeypatch.setattr("stream_inspect.service.supervisor.plan", lambda _: the_plan)
    for file in (ledger_path(run_dir.path), heartbeats_path(run_dir.path)):
        file.unlink(missing_ok=True)
    supervisor = Supervisor(config(), run_dir)
    for child in supervisor.children:
        child.process = Obedient(child.row.name, calls)  # type: ignore[assignment]
    supervisor.stop()
    expected: list[tuple[str, object]] = []
    for group in the_plan.stop_groups():
        names = [row.name for row in the_plan.rows if row in group]
        expected += [(name, signal.SIGTERM) for name in names]
        expected += [(name, max(row.stop_share_s for row in group)) for name in names]
    assert calls == expected
    return calls


def test_a_made_up_row_gets_sigterm_and_closes_its_stage(run_dir, tmp_path, monkeypatch):
    """Real processes of the whole plan, in the middle of their start, and a gate among them that runs."""
    monkeypatch.setattr("stream_inspect.service.supervisor.plan", made_up.gate_beside_the_others)
    monkeypatch.setattr(sys, "executable", made_up.python_of("gate_beside_the_others", tmp_path))
    supervisor = Supervisor(made_up.config_of(tmp_path), run_dir)
    gate = next(child for child in supervisor.children if child.row.name == "gate")
    supervisor.start()
    deadline_s = time.monotonic() + 30
    while not gate.running:
        assert time.monotonic() < deadline_s, "the gate did not start"
        supervisor.watch()
        time.sleep(0.05)
    process = gate.process
    assert process is not None
    supervisor.stop()
    assert process.returncode == 0, "it has not exited by itself"
    assert (tmp_path / "state" / "gate.closed").exists()


def test_processes_that_cannot_be_killed_do_not_keep_the_service_from_stopping(run_dir):
    supervisor = Supervisor(config(), run_dir)
    stuck = [child for child in supervisor.children if child.row.name in ("alerts", "recorder", "live")]
    for child in stuck:
        child.process = StuckInTheKernel()  # type: ignore[assignment]
    began_s = time.monotonic()
    supervisor.stop()
    supervisor.kill()
    assert len(stuck) > 1
    share_s = max(child.row.stop_share_s for child in stuck)  # they stop at the same time
    assert time.monotonic() - began_s < share_s + KILLED_WITHIN_S + 1
    assert all(child.process is None for child in supervisor.children)


def test_a_process_that_cannot_be_started_is_tried_again(run_dir, monkeypatch):
    supervisor = Supervisor(config(), run_dir)
    track = next(child for child in supervisor.children if child.row.name == "track")
    monkeypatch.setattr(sys, "executable", "/absent/python")
    supervisor.start()
    assert (track.process, track.failures.in_a_row) == (None, 1)
    deadline_s = time.monotonic() + 5
    while track.failures.in_a_row < 3 and time.monotonic() < deadline_s:
        supervisor.watch()
    supervisor.stop()
    assert (track.failures.in_a_row, track.restarts) == (3, 3)


def state_of(supervisor: Supervisor, run_dir: RunDir, until: Callable[[list[str]], bool]) -> list[str]:
    """The states that this supervisor reports from its start on, each once."""
    states: list[str] = []
    with closing(ZmqChannels(run_dir.path, "web", supervisor.plan.writers())) as channels:
        channels.subscribe("status")
        supervisor.start()
        deadline_s = time.monotonic() + 20
        while not until(states) and time.monotonic() < deadline_s:
            supervisor.watch()
            heard = [one for one in channels.receive(0.02) if isinstance(one, LineStatus)]
            states += [one.state for one in heard if one.state not in states]
    return states


def test_a_process_that_never_runs_degrades_the_line_which_is_not_starting_for_days(run_dir, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/absent/python")
    supervisor = Supervisor(config(), run_dir)
    assert state_of(supervisor, run_dir, lambda states: "degraded" in states)[-1] == "degraded"
    assert {one.kind for one in supervisor.conditions} == {ConditionKind.PROCESS_DOWN}
    supervisor.kill()


def test_a_start_that_takes_longer_than_sources_wait_is_a_degraded_line(run_dir, tmp_path, monkeypatch):
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(slow))
    monkeypatch.setattr("stream_inspect.service.supervisor.SOURCES_WAIT_S", 2.0)
    supervisor = Supervisor(config(), run_dir)
    assert state_of(supervisor, run_dir, lambda states: "degraded" in states) == ["starting", "degraded"]
    assert supervisor.conditions == []
    supervisor.kill()


def test_a_launch_spec_larger_than_a_pipe_does_not_hold_up_the_supervisor(run_dir, tmp_path, monkeypatch):
    """A process that is slow to read it must not keep the supervisor from starting and watching the others."""
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
    spec = tmp_path / "row=track"
    while not spec.exists() and time.monotonic() < began_s + 20:
        time.sleep(0.1)
    supervisor.kill()
    assert spec.stat().st_size > 65_536
    assert LaunchSpec.from_json(spec.read_text()).config == many
