"""A made-up row that lives with the line: real processes, real signals. The run is a supervisor and a feeder."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from stream_inspect.messages import ConditionKind
from stream_inspect.service import process_down
from stream_inspect.service.health import health
from stream_inspect.service.line_process import LineProcessError, is_present, lock_line_process, make_line_dir
from stream_inspect.service.run_dir import RunDir
from stream_inspect.service.supervisor import Supervisor
from stream_inspect.store.files import line_dir
from tests.service import made_up

WITHIN_S = 30.0


@contextmanager
def started(what: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`made_up run` or `made_up gate`, killed at the end."""
    command = [sys.executable, "-m", "tests.service.made_up", what, str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)


def feeder_of(run: subprocess.Popen[str]) -> psutil.Process:
    """The run's one child."""
    eventually(lambda: bool(psutil.Process(run.pid).children()), "no feeder was started")
    (feeder,) = psutil.Process(run.pid).children()
    return feeder


def exited(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def hear_each_other(folder: Path, gate_pid: int, feeder_pid: int) -> None:
    """Wait until either has received both topics of the other."""
    expected = {
        "gate.received": {f"Inspection {feeder_pid}", f"FrameHeader {feeder_pid}"},
        "feeder.received": {f"Credit {gate_pid}", f"LivePicture {gate_pid}"},
    }
    for name, notes in expected.items():
        file = folder / "state" / name
        eventually(
            lambda file=file, notes=notes: file.exists() and notes <= set(file.read_text().splitlines()),
            f"not all of {sorted(notes)} in {name}",
        )


@pytest.mark.slow
def test_it_survives_kill_9_of_the_supervisor_and_the_next_run_finds_it_at_the_same_address(short_dir: Path) -> None:
    with started("gate", short_dir) as gate:
        for _ in range(2):
            with started("run", short_dir) as run:
                feeder = feeder_of(run)
                hear_each_other(short_dir, gate.pid, feeder.pid)
                run.kill()
                run.wait()
                eventually(lambda feeder=feeder: exited(feeder), "the feeder outlived its supervisor")
            assert gate.poll() is None
        assert not (short_dir / "state" / "gate.closed").exists()


@pytest.mark.slow
def test_a_stop_of_the_run_leaves_it_alone_and_its_own_sigterm_closes_it(short_dir: Path) -> None:
    with started("gate", short_dir) as gate, started("run", short_dir) as run:
        hear_each_other(short_dir, gate.pid, feeder_of(run).pid)
        run.terminate()
        assert run.wait(WITHIN_S) == 0
        assert (short_dir / "state" / "feeder.closed").exists()
        assert gate.poll() is None
        gate.terminate()
        assert gate.wait(WITHIN_S) == 0
        assert (short_dir / "state" / "gate.closed").exists()


def test_two_cannot_run_at_once(tmp_path: Path) -> None:
    with started("gate", tmp_path) as first:
        eventually(lambda: is_present(tmp_path / "state", "gate"), "the first one does not run")
        with started("gate", tmp_path) as second:
            _, errors = second.communicate(timeout=WITHIN_S)
            assert second.returncode == 1
            assert f"gate is already running with state_dir {tmp_path}/state: stop it first" in errors
        assert first.poll() is None


@pytest.mark.slow
def test_after_kill_9_the_next_one_takes_the_same_address(short_dir: Path) -> None:
    with started("run", short_dir) as run:
        feeder = feeder_of(run)
        for _ in range(2):
            with started("gate", short_dir) as gate:
                hear_each_other(short_dir, gate.pid, feeder.pid)
                gate.kill()
        assert feeder_of(run).pid == feeder.pid


def test_a_supervisor_that_looks_for_it_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    make_line_dir(tmp_path)
    lock_line_process(tmp_path, "gate").close()
    with (line_dir(tmp_path) / "gate.lock").open("rb") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)  # as `is_present` does, for far longer
        threading.Timer(0.1, looked_at.close).start()
        with lock_line_process(tmp_path, "gate"):
            assert is_present(tmp_path, "gate")
    assert not is_present(tmp_path, "gate")


def test_its_sockets_are_for_its_user_alone(tmp_path: Path) -> None:
    line_dir(tmp_path).mkdir(mode=0o755)
    assert make_line_dir(tmp_path).stat().st_mode & 0o777 == 0o700


def test_an_unusable_state_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(LineProcessError, match=f"cannot use state_dir {tmp_path}/state: Not a directory"):
        make_line_dir(tmp_path / "state")


def test_a_state_folder_that_is_too_long_for_a_socket_is_a_clear_error(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    with started("gate", deep) as gate:
        _, errors = gate.communicate(timeout=WITHIN_S)
    assert gate.returncode == 1
    assert f"the socket path {deep}/state/line/live.gate.pub has" in errors
    assert "a unix socket's has at most 107" in errors


@pytest.fixture
def supervisor(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Supervisor]:
    """A supervisor that has not started its feeder."""
    monkeypatch.setattr("stream_inspect.service.supervisor.plan", made_up.gate_of_the_line)
    config = made_up.config_of(tmp_path)
    with RunDir(tmp_path_factory.mktemp("run"), config.state_dir) as run_dir:  # paths of sockets are short
        yield Supervisor(config, run_dir)


def test_the_supervisor_sees_whether_it_runs_and_healthz_shows_it(supervisor: Supervisor, tmp_path: Path) -> None:
    def runs(expected: bool) -> bool:
        supervisor.watch()
        return bool(health(supervisor)["processes"]["gate"] == {"running": expected})

    assert runs(False)
    with started("gate", tmp_path):
        eventually(lambda: runs(True), "the supervisor does not see it")
    assert runs(False)
    supervisor.kill()


def test_one_that_does_not_run_is_reported_as_down(supervisor: Supervisor, monkeypatch) -> None:
    monkeypatch.setattr(process_down, "DOWN_AFTER_S", 0.2)

    def down() -> bool:
        supervisor.watch()
        return bool(supervisor.conditions)

    eventually(down, "the gate is not reported as down")
    supervisor.kill()
    (report,) = supervisor.conditions
    assert (report.kind, report.source) == (ConditionKind.PROCESS_DOWN, "gate")
