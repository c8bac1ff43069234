"""How well tracks match parts, for tests that run without the peers' environment: IDF1 and identity switches.

The benchmark's figures are TrackEval's; `test_against_peers.py` compares the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from stream_inspect.commands.bench.track_sequences import FALSE, Run


@dataclass(frozen=True)
class Identities:
    idf1: float
    switches: int
    parts: int

    @property
    def switches_per_1000(self) -> float:
        return 1000 * self.switches / self.parts


def identities(run: Run, tracks: Sequence[Sequence[int]]) -> Identities:
    """Of the track of each box, less than 0 for none; a track with a single box counts for nothing."""
    boxes = Counter(track for frame in tracks for track in frame)
    together: Counter[tuple[int, int]] = Counter()
    last: dict[int, int] = {}
    switches = tracked = 0
    for look, frame in zip(run.looks, tracks, strict=True):
        for part, track in zip(look.parts, frame, strict=True):
            if track < 0 or boxes[track] < 2:
                continue
            tracked += 1
            if part != FALSE:
                together[part, track] += 1
                switches += last.get(part, track) != track
                last[part] = track
    parts = {part: row for row, part in enumerate(sorted({part for part, _ in together}))}
    of = {track: column for column, track in enumerate(sorted({track for _, track in together}))}
    counts = np.zeros((len(parts), len(of)), np.int64)
    for (part, track), count in together.items():
        counts[parts[part], of[track]] = count
    right = counts[linear_sum_assignment(counts, maximize=True)].sum()
    visible = [part for look in run.looks for part, _ in look.truth]
    return Identities(2 * float(right) / (len(visible) + tracked), switches, len(set(visible)))


def oracle(run: Run) -> Identities:
    """Of a tracker that links each box with the part that it shows."""
    return identities(run, [look.parts for look in run.looks])
