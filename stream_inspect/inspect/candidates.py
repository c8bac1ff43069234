"""What a judged picture showed besides its detections: the wording behind each, and what did not count, and why.

The replay records it, so that a question is answered without judging again. The line itself never computes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from stream_inspect.boxes import area, as_box, intersection
from stream_inspect.inspect.candidate import Candidate
from stream_inspect.inspect.counting import best_first
from stream_inspect.inspect.detect.detector import RawDetections
from stream_inspect.inspect.fuse import Boxes
from stream_inspect.inspect.prompts import CompiledPrompts
from stream_inspect.messages import Box, Detection, PartSight

FLOOR = 0.1
"""Candidates are recorded down to this score, or to half of their threshold where that is lower."""
MOST_CANDIDATES = 50
"""Of one picture; the best are kept, and the floors rise to what is left out."""
_MOST_RAW = 400
"""Raw boxes of one defect that are compared with each other."""
_SAME_OVERLAP = 0.3
"""A candidate that shares more than this with a detection of its defect, of the smaller one, is part of that one."""

Fuse = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]], Boxes]
"""(boxes (N, 4) px, scores (N,), classes (N,)) -> the boxes fused, each with the score of its best one."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A picture's detections, the wording that matched each, and the candidates that do not count, best first.

    `floors` is, for each defect, the lowest score down to which every candidate is there.
    """

    detections: list[Detection]
    prompts: list[str]
    candidates: list[Candidate]
    floors: dict[str, float]
    parts: list[PartSight] | None = None
    """Where the detector looks for them."""


def explain(
    detections: Sequence[Detection],
    refused: Sequence[Candidate],
    raw: RawDetections,
    prompts: CompiledPrompts,
    size_px: tuple[int, int],
    fuse: Fuse,
) -> Explained:
    """Explain the detections of a picture of (width, height) px; `refused` are boxes that reached their threshold."""
    corners = np.array((*size_px, *size_px), dtype=np.float32)
    clipped = RawDetections(np.clip(raw.boxes_xyxy_px, 0, corners), raw.scores)
    candidates = [replace(one, prompt=_wording(clipped, prompts, one)) for one in refused]
    floors: dict[str, float] = {}
    for index, defect in enumerate(prompts.defects):
        known = [found.box_xyxy_px for found in detections if found.defect == defect.name]
        known += [one.box_xyxy_px for one in refused if one.defect == defect.name]
        found, floors[defect.name] = _below(raw, clipped, prompts, index, fuse)
        candidates += [one for one in found if not any(_is_part(one.box_xyxy_px, box) for box in known)]
    candidates.sort(key=best_first)
    for one in candidates[MOST_CANDIDATES:]:
        floors[one.defect] = max(floors[one.defect], _above(one.score))
    return Explained(
        list(detections), [_wording(clipped, prompts, one) for one in detections], candidates[:MOST_CANDIDATES], floors
    )


def _below(
    raw: RawDetections, clipped: RawDetections, prompts: CompiledPrompts, index: int, fuse: Fuse
) -> tuple[list[Candidate], float]:
    """The candidates of one defect that are below its threshold or lost to a counter-prompt; down to which score."""
    defect = prompts.defects[index]
    floor = min(FLOOR, defect.threshold / 2)
    best = raw.scores[:, prompts.prompt_columns[index]].max(axis=1)
    sides = clipped.boxes_xyxy_px[:, 2:] - clipped.boxes_xyxy_px[:, :2]
    rows = np.flatnonzero((best >= floor) & (sides >= 0.5).all(axis=1))
    if len(rows) > _MOST_RAW:
        order = rows[np.argsort(-best[rows], kind="stable")]
        floor = _above(float(best[order[_MOST_RAW]]))
        rows = np.sort(order[:_MOST_RAW])
    kept = prompts.uncountered(raw, index, best, rows)
    weak = kept[best[kept] < defect.threshold]
    found = [
        Candidate(defect.name, score, box, "threshold", _best_wording(raw, prompts, index, row))
        for row, score, box in _fused(clipped, best, weak, fuse)
    ]
    for row, score, box in _fused(clipped, best, np.setdiff1d(rows, kept), fuse):
        wording, counter = prompts.strongest_counter(raw, index, row)
        lost = Candidate(defect.name, score, box, "counter_prompt", _best_wording(raw, prompts, index, row))
        found.append(replace(lost, counter_prompt=wording, counter_score=round(counter, 4)))
    return found, floor


def _fused(
    clipped: RawDetections, best: NDArray[np.float32], rows: NDArray[np.int64], fuse: Fuse
) -> list[tuple[int, float, Box]]:
    """(row of the best box, its score, the fused box) of each group of these rows."""
    if not len(rows):
        return []
    fused = fuse(clipped.boxes_xyxy_px[rows], best[rows], np.zeros(len(rows), dtype=np.int64))
    found = []
    for box, score in zip(fused.boxes_xyxy, fused.scores, strict=True):
        row = int(rows[np.flatnonzero(best[rows] == np.float32(score))[0]])
        # Rounded down: it must not reach a threshold that it is below.
        found.append((row, math.floor(float(score) * 1e4) / 1e4, as_box(box.round(2))))
    return found


def _wording(clipped: RawDetections, prompts: CompiledPrompts, one: Detection | Candidate) -> str:
    """The wording that gave this score: that of the raw box with the score which shares most with the box."""
    index = next(place for place, defect in enumerate(prompts.defects) if defect.name == one.defect)
    best = clipped.scores[:, prompts.prompt_columns[index]].max(axis=1)
    rows = np.flatnonzero(np.abs(best - one.score) <= 1e-4)
    if not len(rows):
        return ""
    row = max(rows, key=lambda place: intersection(as_box(clipped.boxes_xyxy_px[place]), one.box_xyxy_px))
    return _best_wording(clipped, prompts, index, int(row))


def _best_wording(raw: RawDetections, prompts: CompiledPrompts, index: int, row: int) -> str:
    columns = prompts.prompt_columns[index]
    return prompts.queries[columns[int(np.argmax(raw.scores[row, columns]))]]


def _is_part(one: Box, other: Box) -> bool:
    return intersection(one, other) > _SAME_OVERLAP * min(area(one), area(other))


def _above(score: float) -> float:
    """The next score that can be written above this one."""
    return round(math.floor(score * 1e4) / 1e4 + 1e-4, 4)
