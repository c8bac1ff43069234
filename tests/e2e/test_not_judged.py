"""Judging stops, or falls behind, while the processes run: /healthz names it within seconds."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from stream_inspect.config.builtin import builtin_config
from tests.e2e.service import Service, crowding, running

WITHIN_S = 3.0


def active(kind: str, source: str, document: dict[str, Any]) -> bool:
    assert document["status"] == "degraded" or not document["conditions"]
    return any(one["kind"] == kind and one["source"] == source for one in document["conditions"])


@pytest.mark.slow
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


def judged_of_due(service: Service, seconds: float) -> float:
    """Share of the due frames of this time that were judged."""
    before = service.account()
    time.sleep(seconds)
    after = service.account()
    judged = after["judged"] - before["judged"]
    lost = sum(after["dropped"].values()) - sum(before["dropped"].values())
    return judged / max(1, judged + lost)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_more_due_frames_than_the_model_can_judge_are_reported_with_their_share(tmp_path: Path):
    """The rate is chosen by what the model manages here and now: three quarters of the due frames can be judged."""
    settings = (f"state_dir={tmp_path}/state", "web.enabled=false", "recorder.enabled=false")
    frames = ("cameras.belt.source.fps=50", "cameras.belt.source.width_px=640", "cameras.belt.source.height_px=360")
    with running(
        builtin_config("demo"), tmp_path / "log", *settings, *frames, "cameras.belt.sampling.rate_hz=50"
    ) as most:
        most.wait_judging(5)
        rate_hz = 50 * judged_of_due(most, 10)
        assert most.stop() == 0
    rate = f"cameras.belt.sampling.rate_hz={1.3 * rate_hz:.1f}"
    with running(builtin_config("demo"), tmp_path / "log", *settings, *frames, rate) as service:
        service.wait_judging(5)
        service.wait_for(lambda seen: active("overload", "supervisor", seen), 60 * crowding(), "the overload reported")
        (report,) = (one for one in service.health()["conditions"] if one["kind"] == "overload")
        assert report["camera"] == "belt"
        assert re.match(r"\d+% of the due frames of the last \d+ s were dropped", report["detail"])
        assert service.stop() == 0
        assert '"overload"' in service.log
