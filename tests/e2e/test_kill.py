"""kill -9 of any stage: it is back in time, the others go on, and the ledger closes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from stream_inspect.config.builtin import builtin_config
from tests.e2e.service import Service, crowding, running

BACK_WITHIN_S = 3.0
INSPECT_BACK_WITHIN_S = 6.0 + 4.0  # and the loading of the embedded models
SLACK = 2.0
"""How much longer it may take here, where two cores run the tests, the whole line and the new process. Soak: none."""


def kill_and_wait(service: Service, row: str, slack: float) -> float:
    """kill -9 this row; seconds until its next life runs."""
    restarts = service.processes()[row]["restarts"]
    service.children()[row].send_signal(signal.SIGKILL)
    limit_s = INSPECT_BACK_WITHIN_S if row.startswith("inspect") else BACK_WITHIN_S
    return service.wait_for(
        lambda health: health["processes"][row]["restarts"] > restarts and health["processes"][row]["running"],
        limit_s * slack,
        f"{row} back after kill -9",
    )


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_every_stage_comes_back_and_the_ledger_closes(tmp_path: Path):
    with running(builtin_config("demo"), tmp_path / "log", f"state_dir={tmp_path}/state", "web.port=0") as service:
        service.wait_judging(10)
        rows = sorted(service.children())
        assert {row.split(".")[0] for row in rows} == {
            "capture",
            "inspect",
            "track",
            "alerts",
            "recorder",
            "live",
            "web",
        }
        for row in rows:
            kill_and_wait(service, row, SLACK * crowding())
            service.wait_judging(service.account()["judged"] + 3, within_s=40)
        assert service.stop() == 0
        assert "Traceback" not in service.log


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_a_frame_in_the_hands_of_a_killed_worker_is_counted_as_such(tmp_path: Path):
    settings = (f"state_dir={tmp_path}/state", "web.enabled=false", "recorder.enabled=false")
    with running(builtin_config("demo"), tmp_path / "log", *settings) as service:
        service.wait_judging(5)
        service.children()["inspect.0"].send_signal(signal.SIGSTOP)  # it holds a credit that capture will answer
        time.sleep(1.0)
        kill_and_wait(service, "inspect.0", SLACK * crowding())
        dropped = service.account()["dropped"]
        assert dropped.get("inspect.died", 0) + dropped.get("transport.sender_died", 0) >= 1
        assert service.stop() == 0


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_the_stages_die_with_the_supervisor(tmp_path: Path):
    with running(builtin_config("demo"), tmp_path / "log", f"state_dir={tmp_path}/state", "web.port=0") as service:
        service.wait_judging(1)
        children = list(service.children().values())
        assert len(children) == 7
        service.process.kill()
        service.process.wait()
        deadline = time.monotonic() + 5
        while any(child.is_running() and child.status() != "zombie" for child in children):
            assert time.monotonic() < deadline, "a stage outlived the supervisor"
            time.sleep(0.05)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_how_long_each_stage_takes_to_come_back(tmp_path: Path):
    """The table: five kills of each stage, all within the promised time, the ledger closed after each."""
    with running(builtin_config("demo"), tmp_path / "log", f"state_dir={tmp_path}/state", "web.port=0") as service:
        service.wait_judging(10)
        took_s: dict[str, list[float]] = {row: [] for row in sorted(service.children())}
        for _ in range(5):
            for row, times in took_s.items():
                times.append(kill_and_wait(service, row, slack=1))
                time.sleep(6)  # a second death at once is waited out longer, on purpose
        print(f"\n{'stage':<14} {'min s':>6} {'median':>6} {'max':>6}")
        for row, times in took_s.items():
            times.sort()
            print(f"{row:<14} {times[0]:>6.2f} {times[2]:>6.2f} {times[-1]:>6.2f}")
        assert service.stop() == 0
