"""The demo on twenty seeds that were kept out of training: the table that says how good it is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import COMMAND, closed

SEEDS = range(900_001, 900_021)
SECONDS = 30


def run_demo(seed: int, out: Path) -> dict[str, Any]:
    command = [*COMMAND, "demo", "--seconds", str(SECONDS), "--out", str(out), "--seed", str(seed), "--no-browser"]
    subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return summary


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_tracks_on_twenty_unseen_seeds(tmp_path: Path):
    """Recall and precision pooled at least 0.97, no seed under 0.85; frames, latency and memory within their limits."""
    rows = {seed: run_demo(seed, tmp_path / str(seed)) for seed in SEEDS}
    print(
        f"\n{'seed':>8} {'truth':>6} {'found':>6} {'false':>6} {'recall':>7} {'precision':>9} {'p95 ms':>7}    fps MB"
    )
    for seed, row in rows.items():
        d, p95 = row["defects"], row["latency_ms"]["capture_to_alert"]["p95"]
        print(
            f"{seed:>8} {d['truth']:>6} {d['found']:>6} {d['false']:>6} {d['recall']:>7.3f} {d['precision']:>9.3f} "
            f"{p95:>7.0f} {row['fps']['captured']:>6.1f} {row['memory_pss_mb']}"
        )
    truth, found, false = (sum(row["defects"][key] for row in rows.values()) for key in ("truth", "found", "false"))
    recall, precision = found / truth, found / (found + false)
    print(f"{'pooled':>8} {truth:>6} {found:>6} {false:>6} {recall:>7.3f} {precision:>9.3f}")

    assert all(closed(row["frames"])["in_flight"] == 0 for row in rows.values())
    assert all(row["latency_ms"]["capture_to_alert"]["p95"] < 400 for row in rows.values())
    assert all(row["memory_pss_mb"] < 2500 for row in rows.values())
    assert recall >= 0.97
    assert precision >= 0.97
    assert min(min(row["defects"]["recall"], row["defects"]["precision"]) for row in rows.values()) >= 0.85
