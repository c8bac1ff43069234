"""Our trackers against those of the `trackers` package, on the same boxes and by TrackEval (`make bench-env`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_inspect.commands.bench import track as bench
from stream_inspect.commands.bench.track_sequences import (
    FALSE,
    Look,
    Run,
    generate,
    write_boxes,
    write_tracks,
    write_truth,
)
from tests.track.identities import Identities, identities, oracle

ENVIRONMENT = Path(__file__).parents[2] / bench.default_python()


@pytest.fixture(scope="module")
def peers() -> bench.Bench:
    if not ENVIRONMENT.exists():
        pytest.skip(f"no environment of peers at {ENVIRONMENT} (`make bench-env`)")
    return bench.Bench(ENVIRONMENT)


def scored(peers: bench.Bench, folder: Path, run: Run, tracks: dict[str, list[list[int]]]) -> dict[str, bench.Score]:
    """TrackEval's scores of these tracks, and of those that are in the folder."""
    write_truth(run, folder / "truth" / f"{run.name}.txt")
    for name, of in tracks.items():
        write_tracks(run, of, folder / "tracks" / name / f"{run.name}.txt")
    cell = (run.pitch, run.displacement)
    names = [path.name for path in (folder / "tracks").iterdir()]
    scores = peers.score(folder, [(name, cell, [run]) for name in names])
    return {name: bench.Score(**scores[name, cell]) for name in names}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("widths", [0.25, 2.0])
def test_ours_are_as_good_where_peers_are_good_and_better_where_they_are_not(widths, peers, tmp_path):
    run = generate(widths, "random", seed=11)
    write_boxes(run, tmp_path / "boxes" / f"{run.name}.txt")
    for peer in bench.PEERS:
        peers.follow(tmp_path, peer, peer, [(run, bench.SETTINGS[0])])
    ours = {"belt": bench.track_ours("belt", run, 0.1).tracks, "iou": bench.track_ours("iou", run).tracks}
    scores = scored(peers, tmp_path, run, ours)
    for peer in bench.PEERS:
        if widths < 1:
            assert scores[peer].idf1 > 0.9, "the peer is not set up fairly"
            assert scores["iou"].idf1 > scores[peer].idf1 - 0.04
            assert scores["belt"].idf1 > scores[peer].idf1 - 0.01
        else:
            assert scores[peer].idf1 < 0.5 < 0.9 < scores["belt"].idf1


@pytest.mark.parametrize("pitch", ["random", "regular"])
def test_the_scores_of_the_tests_are_those_of_trackeval(pitch, peers, tmp_path):
    run = generate(2.0, pitch, seed=4, frames=20)
    tracks = {"belt": bench.track_ours("belt", run).tracks, "iou": bench.track_ours("iou", run).tracks}
    for name, score in scored(peers, tmp_path, run, tracks).items():
        here = identities(run, tracks[name])
        assert score.idf1 == pytest.approx(here.idf1, abs=0.02), name
        assert score.parts == here.parts
        assert score.switches == pytest.approx(here.switches, rel=0.1, abs=2), name


def test_the_oracle_misses_what_was_missed_and_nothing_else():
    result = oracle(generate(1.0, "random", seed=3))
    assert result.idf1 == pytest.approx(2 * 0.9 / 1.9, abs=0.01)
    assert result.switches == 0


def two_things(frames: int) -> Run:
    boxes = [(0.0, 0.0, 9.0, 9.0), (50.0, 0.0, 59.0, 9.0)]
    return Run(0.0, "random", 1, [Look(n, list(enumerate(boxes)), boxes, [0.3, 0.3], [0, 1]) for n in range(frames)])


def test_a_tracker_that_swaps_two_things_half_way_is_told_so():
    swapped = [[7, 8] if step < 5 else [8, 7] for step in range(10)]
    assert identities(two_things(10), swapped) == Identities(idf1=0.5, switches=2, parts=2)


def test_single_boxes_count_for_no_tracker():
    tracks = [[track, FALSE] for track in range(4)]
    assert identities(two_things(4), tracks).idf1 == 0.0
