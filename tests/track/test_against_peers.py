"""Our trackers against those of the `trackers` package, on the same detections (`make bench-env`)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stream_inspect.commands.bench import track as bench

DEFAULT = Path(__file__).parents[2] / ".venv-bench" / "bin" / "python"


@pytest.fixture(scope="module")
def peer_python() -> Path:
    python = Path(os.environ.get("STREAM_INSPECT_BENCH_PYTHON", DEFAULT))
    if not python.exists():
        pytest.skip(f"no environment of peers at {python} (`make bench-env`)")
    return python


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("peer", bench.PEERS)
def test_ours_are_as_good_where_peers_are_good_and_better_where_they_are_not(peer, peer_python):
    displacements = (0.25, 0.5, 2.0)
    lines = [bench.looks(widths, regular=False, seed=11) for widths in displacements]
    answers = bench.track_peer(peer, lines, peer_python)
    for widths, line, answer in zip(displacements, lines, answers, strict=True):
        theirs = bench.score(line, answer)
        speed_px_s = widths * bench.SIZE_PX * bench.RATE_HZ / 1.1
        belt = bench.score(line, bench.track_ours("belt", line, speed_px_s))
        iou = bench.score(line, bench.track_ours("iou", line, speed_px_s))
        if widths < 1:
            assert theirs.idf1 > 0.9, "the peer is not set up fairly"
            assert iou.idf1 > theirs.idf1 - 0.04
            assert belt.idf1 > theirs.idf1 - 0.01
        else:
            assert theirs.idf1 < 0.5 < 0.9 < belt.idf1


def test_the_score_of_a_perfect_tracker_is_the_ceiling():
    line = bench.looks(1.0, regular=False, seed=3)
    perfect = [[thing if thing != bench.FALSE_BOX else -1 for thing in look.things] for look in line]
    result = bench.score(line, perfect)
    assert result.idf1 == pytest.approx(bench.ceiling(), abs=0.01)
    assert result.switches == 0


def test_a_tracker_that_swaps_two_things_half_way_is_told_so():
    boxes = [(0.0, 0.0, 9.0, 9.0), (50.0, 0.0, 59.0, 9.0)]
    line = [bench.Look(step, boxes, [0.3, 0.3], [0, 1], 2) for step in range(10)]
    swapped = [[7, 8] if step < 5 else [8, 7] for step in range(10)]
    assert bench.score(line, swapped) == bench.Score(idf1=0.5, switches=2)


def test_single_boxes_count_for_nobody():
    line = [bench.Look(step, [(0.0, 0.0, 9.0, 9.0)], [0.3], [0], 1) for step in range(4)]
    assert bench.score(line, [[1], [2], [3], [4]]) == bench.Score(idf1=0.0, switches=0)
