"""`bench belt` measures the look and its peers, and says by how much each is wrong about the way."""

from __future__ import annotations

import pytest

from stream_inspect.commands.bench import look as bench


def test_each_lane_is_measured_and_its_way_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "FRAMES", 6)
    monkeypatch.setattr(bench, "LEARNED", 3)
    report = bench.run(rounds=1)
    _, way, parts, *_ = report.lanes
    assert float(way.way.removesuffix(" %")) < 0.2
    assert parts.way == "-"
    assert way.times_ms[0] > 0
    table = report.to_text().splitlines()
    assert "6 frames of 1280x720 px" in table[0]
    assert table[4].startswith("| way and parts | ")
    assert len(table) == 4 + len(report.lanes)
