"""What plant IT sees: one /metrics, which outlives every stage."""

from __future__ import annotations

import signal
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream_inspect.config.builtin import builtin_config
from tests.e2e.service import Service, running

pytestmark = [pytest.mark.alone, pytest.mark.timeout(120)]
P = "stream_inspect_"


def scrape(service: Service) -> dict[str, float]:
    """Sum over all labels of each sample."""
    with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def test_rates_latencies_depths_drops_and_restarts_are_exported_and_survive(tmp_path: Path):
    with running(
        builtin_config("demo"), tmp_path / "log", f"state_dir={tmp_path}/state", "web.enabled=false"
    ) as service:
        service.wait_judging(10)
        before = scrape(service)
        for name in ("frames_captured_total", "frames_judged_total", "frames_not_due_total"):
            assert before[P + name] > 0, name
        for name in ("capture_to_inspect_seconds", "capture_to_judged_seconds", "inspect_seconds", "batch_frames"):
            assert before[f"{P}{name}_count"] > 0, name
        for name in (
            "queue_depth",
            "outbox_depth",
            "frames_in_flight",
            "process_silence_seconds",
            "held_items",
            "held_items_limit",
        ):
            assert P + name in before, name
        assert before[P + "frames_residual"] == 0
        assert before[P + "process_restarts_total"] == 0

        service.children()["inspect.0"].send_signal(signal.SIGKILL)
        service.wait_for(lambda health: health["processes"]["inspect.0"]["restarts"] == 1, 10, "restart noted")
        after = scrape(service)
        assert after[P + "process_restarts_total"] == 1
        assert after[f"{P}capture_to_judged_seconds_count"] >= before[f"{P}capture_to_judged_seconds_count"]
        assert service.stop() == 0
