"""Judging stops while the processes run: /healthz names it within seconds."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from stream_inspect.config.builtin import builtin_config
from tests.e2e.service import crowding, running

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
