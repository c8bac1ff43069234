"""kill -9 of any stage: it is back in time, the others go on, and the ledger closes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from stream_inspect.config.builtin import builtin_config
from tests.e2e.service import Service, running

BACK_WITHIN_S = 3.0
INSPECT_BACK_WITHIN_S = 6.0
MODEL_LOADING_S = 4.0  # the embedded models, on a busy core


def residuals(service: Service) -> set[int]:
    return {camera["residual"] for camera in service.health().get("frames", {}).values()}


@pytest.mark.slow
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
            restarts = service.health()["processes"][row]["restarts"]
            service.children()[row].send_signal(signal.SIGKILL)
            limit_s = INSPECT_BACK_WITHIN_S + MODEL_LOADING_S if row.startswith("inspect") else BACK_WITHIN_S
            service.wait_for(
                lambda health, row=row, restarts=restarts: (
                    health["processes"][row]["restarts"] == restarts + 1 and health["processes"][row]["running"]
                ),
                limit_s,
                f"{row} back after kill -9",
            )
            assert residuals(service) == {0}
            judged = sum(camera["judged"] for camera in service.health()["frames"].values())
            service.wait_judging(judged + 3, within_s=20)

        assert service.stop() == 0
        assert "residual" not in service.log


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_frames_of_a_killed_inspect_worker_are_counted_as_such(tmp_path: Path):
    with running(
        builtin_config("demo"), tmp_path / "log", f"state_dir={tmp_path}/state", "web.enabled=false"
    ) as service:
        service.wait_judging(5)
        for _ in range(3):
            service.children()["inspect.0"].send_signal(signal.SIGSTOP)  # so that a frame is in its hands
            time.sleep(0.5)
            service.children()["inspect.0"].send_signal(signal.SIGKILL)
            service.wait_for(lambda health: health["processes"]["inspect.0"]["running"], 20, "inspect is back")
        camera = next(iter(service.health()["frames"].values()))
        assert camera["residual"] == 0
        assert camera["dropped"].get("inspect.died", 0) + camera["dropped"].get("capture.superseded", 0) > 0


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_stages_die_with_the_supervisor(tmp_path: Path):
    with running(builtin_config("demo"), tmp_path / "log", f"state_dir={tmp_path}/state", "web.port=0") as service:
        service.wait_judging(1)
        children = list(service.children().values())
        assert len(children) == 7
        service.process.kill()
        service.process.wait()
        deadline = time.monotonic() + 3
        while any(child.is_running() and child.status() != "zombie" for child in children):
            assert time.monotonic() < deadline, "a stage outlived the supervisor"
            time.sleep(0.05)
