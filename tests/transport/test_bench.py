"""`bench transport`: it measures what it says, says what it left out, and names a lane that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_inspect.runtime.bench.transport import SIZES_PX, BenchError, BenchReport, Round, run


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_lane_that_fails_is_named_with_its_reason(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no module named imagezmq' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(BenchError, match="lane imagezmq failed: no module named imagezmq"):
        run(frames=5, rounds=1, peer_python=broken)


def test_ratios_are_taken_within_a_round() -> None:
    ours = [Round(1.0, 1.0), Round(2.0, 1.0), Round(4.0, 1.0)]
    theirs = [Round(3.0, 2.0), Round(4.0, 2.0), Round(4.0, 5.0)]
    report = BenchReport(10, {SIZES_PX[0]: {"ring-view": ours, "pyzmq": theirs}}, "")
    row = next(line for line in report.to_text().splitlines() if line.startswith("| pyzmq"))
    assert [cell.strip() for cell in row.split("|")[2:6]] == [
        "3.00 / 4.00 / 4.00",
        "1.00 / 2.00 / 3.00",
        "2.00 / 2.00 / 5.00",
        "2.00 / 2.00 / 5.00",
    ]
