"""`bench transport`: it measures what it says, says what it left out, and names a lane that fails."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from stream_inspect.commands.bench.transport import (
    LANES,
    SIZES_PX,
    BenchError,
    Round,
    TransportReport,
    _RunningLane,
    run,
)


@pytest.mark.alone
def test_each_lane_is_measured_in_each_round_and_absent_peers_are_named(tmp_path: Path) -> None:
    report = run(frames=5, rounds=2, peer_python=tmp_path / "absent")
    assert set(report.rounds) == set(SIZES_PX)
    for lanes in report.rounds.values():
        assert list(lanes) == ["ring-view", "ring", "pyzmq", "pyzmq-nocopy"]
        assert all(len(rounds) == 2 for rounds in lanes.values())
        assert all(figures.cpu_ms > 0 and figures.delay_ms > 0 for rounds in lanes.values() for figures in rounds)
    text = report.to_text()
    assert "no environment at" in text
    assert "make bench-env" in text


@pytest.mark.alone
def test_a_lane_that_fails_is_named_with_its_reason(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no module named imagezmq' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(BenchError, match="lane imagezmq failed: no module named imagezmq"):
        run(frames=5, rounds=1, peer_python=broken)


@pytest.mark.alone
def test_a_lane_that_hangs_is_ended_with_its_receiver(tmp_path: Path) -> None:
    hung = tmp_path / "python"
    hung.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/receiver\nsleep 60\n")
    hung.chmod(0o755)
    with _RunningLane(LANES[0], str(hung), tmp_path):
        while not (tmp_path / "receiver").exists() or not (tmp_path / "receiver").read_text():
            time.sleep(0.05)
    receiver = int((tmp_path / "receiver").read_text())
    assert not psutil.pid_exists(receiver) or psutil.Process(receiver).status() == psutil.STATUS_ZOMBIE


def test_ratios_are_taken_within_a_round() -> None:
    ours = [Round(1.0, 1.0), Round(2.0, 1.0), Round(4.0, 1.0)]
    theirs = [Round(3.0, 2.0), Round(4.0, 2.0), Round(4.0, 5.0)]
    report = TransportReport(10, {SIZES_PX[0]: {"ring-view": ours, "pyzmq": theirs}}, "")
    row = next(line for line in report.to_text().splitlines() if line.startswith("| pyzmq"))
    assert [cell.strip() for cell in row.split("|")[2:6]] == [
        "3.00 / 4.00 / 4.00",
        "1.00 / 2.00 / 3.00",
        "2.00 / 2.00 / 5.00",
        "2.00 / 2.00 / 5.00",
    ]
