"""What a process has freed goes back to the system: its memory is what it holds, not its largest peak."""

from __future__ import annotations

import os

import pytest

from stream_inspect.service import heap
from stream_inspect.service.heap import HeapTrimmer
from tests.e2e.memory import own_and_pss_mb


def own_mb() -> float:
    return own_and_pss_mb(os.getpid())[0]


def test_what_lies_free_between_blocks_in_use_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    trimmer = HeapTrimmer()
    blocks = [bytes(2000) for _ in range(20_000)]
    kept = blocks[::200]
    at_the_peak_mb = own_mb()
    del blocks
    trimmer.beat()
    assert own_mb() > at_the_peak_mb - 5, "the C library keeps it"
    monkeypatch.setattr(heap, "EVERY_S", 0.0)
    HeapTrimmer().beat()
    assert own_mb() < at_the_peak_mb - 30
    assert len(kept) == 100
