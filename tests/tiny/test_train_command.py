"""`python -m stream_inspect.tiny.train` as one types it: from nothing, further, and again after an interruption."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from stream_inspect.tiny import evaluate, figures


def train(out: Path, *options: str) -> str:
    command = [sys.executable, "-m", "stream_inspect.tiny.train", "--out", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def losses(out: Path, name: str) -> list[float]:
    return [float(row["loss"]) for row in csv.DictReader((out / f"curve_{name}.csv").read_text().splitlines())]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_embedded_models_can_be_trained_further_and_are_not_worse_for_a_few_steps(tmp_path: Path) -> None:
    train(tmp_path, "--start", "--minutes", "0.2")
    engine = evaluate.make_inspector(tmp_path, 0.4, segment=True)
    got = figures.frame_figures(evaluate.judge(engine, [47_001, 47_002]), 0.4)
    assert got.defects >= 10
    assert got.recall >= 0.7
    assert got.precision >= 0.7


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_from_nothing_it_learns_and_a_second_call_has_nothing_left_to_do(tmp_path: Path) -> None:
    train(tmp_path, "--minutes", "6")
    dense = losses(tmp_path, "dense")
    assert dense[-1] < 0.7 * dense[0]
    segmenter = losses(tmp_path, "segmenter")
    assert segmenter[-1] < 0.7 * segmenter[0]
    rows = {name: losses(tmp_path, name) for name in ("dense", "wide", "segmenter")}

    train(tmp_path, "--minutes", "6", "--resume")
    assert {name: losses(tmp_path, name) for name in rows} == rows
