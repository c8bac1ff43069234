"""The quality engineer's day: other words while the line runs, and a mistake that hurts nobody."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import COMMAND, Service, running

pytestmark = [pytest.mark.alone, pytest.mark.timeout(240)]

CONFIG = """\
version: 1
line: press-3
cameras:
  - name: belt
    source: {kind: synthetic, seed: 3}
    belt: {direction: right_to_left, speed_mm_s: 200, mm_per_px: 0.5}
defects:
  - {name: stain, prompts: [stain], threshold: 0.5}  # the only one at first
alerts:
  - {kind: file}
web: {enabled: false}
recorder: {enabled: false}
"""


def wait_for_event(path: Path, wanted: Callable[[dict[str, Any]], bool], within_s: float, service: Service) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if path.exists() and any(wanted(json.loads(line)) for line in path.read_text().splitlines()):
            return
        time.sleep(0.2)
    raise AssertionError(f"no such event within {within_s} s\n{service.log}")


def wait_for_log(service: Service, event: str, within_s: float, **fields: object) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        entries = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
        if any(entry["event"] == event and fields.items() <= entry.items() for entry in entries):
            return
        time.sleep(0.2)
    raise AssertionError(f"not logged within {within_s} s: {event} {fields}\n{service.log}")


def prompts(*arguments: str | Path) -> None:
    subprocess.run([*COMMAND, "prompts", *map(str, arguments)], check=True, timeout=60, capture_output=True)


def test_prompts_change_from_one_frame_to_the_next_and_wrong_ones_are_refused_whole(tmp_path: Path):
    config, events = tmp_path / "line.yaml", tmp_path / "state" / "events.jsonl"
    config.write_text(CONFIG)
    with running(config, tmp_path / "log") as service:
        service.wait_judging(3)
        prompts("add", config, "rust", "--prompt", "rust", "--prompt", "corrosion", "--threshold", "0.5")
        wait_for_log(service, "configuration reloaded", 20, applied=["defects[rust]"], needs_restart=[])
        wait_for_event(events, lambda event: event["name"] == "rust", 60, service)

        config.write_text(config.read_text() + "decide: {confirm_hits: 3}\n")
        wait_for_log(service, "configuration reloaded", 20, applied=[], needs_restart=["decide.confirm_hits"])
        prompts("set", config, "rust", "--threshold", "0.4", "--severity", "minor")
        minor = {"name": "rust", "severity": "minor", "state": "confirmed"}
        wait_for_event(events, lambda event: minor.items() <= event.items(), 60, service)

        good = config.read_text()
        config.write_text(good.replace("threshold: 0.5", "threshold: 5"))
        refused = {"name": "prompts_refused", "kind": "condition"}
        wait_for_event(events, lambda e: refused.items() <= e.items() and e["state"] == "confirmed", 20, service)
        assert "new configuration rejected; keeping the current one" in service.log
        service.wait_judging(service.account()["judged"] + 5, within_s=20)  # with the earlier prompts
        config.write_text(good)
        wait_for_event(events, lambda e: refused.items() <= e.items() and e["state"] == "cleared", 20, service)
        assert service.stop() == 0
