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


def check_parts(rows: dict[int, dict[str, Any]]) -> None:
    """Print the table of the parts, and hold it to its limits."""
    print(
        f"\n{'seed':>8} {'in':>4} {'pass':>5} {'fail':>5} {'undecided':>9} {'on belt':>7} {'good':>5} {'bad':>5} "
        f"{'system':>7} {'model':>6} {'overkill':>8} {'false':>6}"
    )
    for seed, row in rows.items():
        truth, escapes = row["truth"], row["escapes"]
        print(
            f"{seed:>8} {row['in']:>4} {row['pass']:>5} {row['fail']:>5} {row['undecided']:>9} {row['on_belt']:>7} "
            f"{truth['good']:>5} {truth['bad']:>5} {escapes['system']:>7} {escapes['model']:>6} {row['overkill']:>8} "
            f"{row['false']:>6}"
        )
    good, bad = (sum(row["truth"][kind] for row in rows.values()) for kind in ("good", "bad"))
    system, model = (sum(row["escapes"][kind] for row in rows.values()) for kind in ("system", "model"))
    overkill = sum(row["overkill"] for row in rows.values())
    print(f"escapes {system} by the system and {model} by the models of {bad} bad parts, overkill {overkill} of {good}")

    for row in rows.values():
        assert row["in"] == row["pass"] + row["fail"] + row["undecided"] + row["on_belt"]
    assert system == 0
    assert model <= 0.05 * bad
    assert overkill <= 0.02 * good


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_tracks_on_twenty_unseen_seeds(tmp_path: Path):
    """Recall and precision pooled at least 0.97, no seed under 0.85; frames, latency and memory within their limits.

    No bad part passes by a fault of the system; 5 % of the bad ones at most by one of the models, and 2 % of the good
    ones fail, pooled.
    """
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

    check_parts({seed: row["parts"] for seed, row in rows.items()})
    assert all(closed(row["frames"])["in_flight"] == 0 for row in rows.values())
    assert all(row["latency_ms"]["capture_to_alert"]["p95"] < 400 for row in rows.values())
    assert all(row["memory_pss_mb"] < 2500 for row in rows.values())
    assert recall >= 0.97
    assert precision >= 0.97
    assert min(min(row["defects"]["recall"], row["defects"]["precision"]) for row in rows.values()) >= 0.85
