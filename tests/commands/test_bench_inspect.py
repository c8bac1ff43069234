"""`bench inspect` measures both paths and says whether they agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_inspect.commands.bench import inspect as bench
from tests.inspect.random_models import write_small_owlv2, write_small_sam


@pytest.mark.alone
def test_both_paths_are_measured_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "PICTURES", 2)
    detector = write_small_owlv2(tmp_path / "owlv2")
    segmenter = write_small_sam(tmp_path / "sam", ours={"wants_crops": True})
    report = bench.run(rounds=2, detector=str(detector), segmenter=str(segmenter))
    detect, segment = report.rows
    assert len(detect.ratios) == len(segment.ratios) == 2
    assert min(detect.ratios) > 1.5  # the reference prepares a 1280x720 picture twenty times slower
    assert detect.agreement.startswith("boxes within 0.00")
    assert segment.agreement == "masks' IoU at least 1.0000"
    table = report.to_text().splitlines()
    assert "2 pictures of 1280x720 px" in table[0]
    assert [line.split("|")[1].strip() for line in table[2:]] == ["step", "---", "detect", "segment the hits"]
