"""From defects in words to a list of queries, and from the queries' scores back to defects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stream_inspect.boxes import areas, intersections, ious
from stream_inspect.config.models import DefectConfig, PromptParts
from stream_inspect.errors import UsageError
from stream_inspect.inspect.detect.detector import RawDetections

MAX_CANDIDATES = 200
"""Boxes above threshold that one picture may hand to fusion: comparing 1000 took a second, and stopped the line."""
SAME_BOX_IOU = 0.5
"""Two raw boxes that share this much are the same box for a counter-prompt."""


class PromptsError(UsageError):
    """These defects cannot be used. The text says which one, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Raw boxes that count for a defect: `boxes_xyxy_px` (N, 4) float32, `scores` (N,), `defects` (N,) their index.

    `crowding` is the defect with most boxes above its threshold where some were left out; None where none were.
    """

    boxes_xyxy_px: NDArray[np.float32]
    scores: NDArray[np.float32]
    defects: NDArray[np.int64]
    crowding: int | None = None


@dataclass(frozen=True, slots=True)
class CompiledPrompts:
    """The defects of one change of prompts, ready for the detector.

    `queries` are the distinct texts in canonical order, so that the same defects written in another order give the same
    numbers; `prompt_columns` and `counter_columns` say, for each defect, which columns of the scores are its own.
    """

    defects: tuple[DefectConfig, ...]
    queries: tuple[str, ...]
    prompt_columns: tuple[tuple[int, ...], ...]
    counter_columns: tuple[tuple[int, ...], ...]
    prompts_hash: str

    @property
    def severities(self) -> tuple[str, ...]:
        """The severity of each defect."""
        return tuple(defect.severity for defect in self.defects)

    def columns_of(self, prompts: Sequence[str]) -> list[int]:
        """The columns of the scores that belong to these wordings, which were compiled too."""
        return sorted({self.queries.index(_tidy(text)) for text in prompts})

    def candidates(self, raw: RawDetections, limit: int = MAX_CANDIDATES) -> Candidates:
        """The boxes that count, for each defect apart.

        A box's score for a defect is the best of the defect's prompts. It counts when it reaches the threshold and no
        counter-prompt suppresses it: the box is suppressed when a counter-prompt of this defect scores strictly higher
        on the same box, that is on it or on any raw box that shares an IoU of `SAME_BOX_IOU` with it.

        More than `limit` boxes are cut to the best: for each defect before counter-prompts are compared, and then over
        all, where each defect keeps its share, so that one with a threshold far too low crowds out no other.
        """
        above: list[int] = []
        boxes: list[NDArray[np.float32]] = []
        scores: list[NDArray[np.float32]] = []
        indices: list[NDArray[np.int64]] = []
        for index, defect in enumerate(self.defects):
            best = raw.scores[:, self.prompt_columns[index]].max(axis=1)
            counting = np.flatnonzero(best >= defect.threshold)
            above.append(len(counting))
            if len(counting) > limit:
                counting = np.sort(np.argsort(-best, kind="stable")[:limit])
            counting = self.uncountered(raw, index, best, counting)
            boxes.append(raw.boxes_xyxy_px[counting])
            scores.append(best[counting])
            indices.append(np.full(len(counting), index, dtype=np.int64))
        found = Candidates(np.concatenate(boxes), np.concatenate(scores), np.concatenate(indices))
        if len(found.scores) <= limit and max(above) <= limit:
            return found
        keep = _best_of_each(found, limit)
        crowding = int(np.argmax(above))
        return Candidates(found.boxes_xyxy_px[keep], found.scores[keep], found.defects[keep], crowding)

    def uncountered(
        self, raw: RawDetections, index: int, best: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Those of the raw boxes `rows` on which no counter-prompt of this defect scores higher; see `candidates`.

        `best` is each raw box's best score for the defect.
        """
        if not len(rows) or not self.counter_columns[index]:
            return rows
        counter = raw.scores[:, self.counter_columns[index]].max(axis=1)
        return _not_countered(raw.boxes_xyxy_px, best, counter, rows)

    def strongest_counter(self, raw: RawDetections, index: int, row: int) -> tuple[str, float]:
        """The counter-prompt of this defect that scores highest on the raw box `row` or on one that is the same."""
        columns = np.asarray(self.counter_columns[index])
        boxes = raw.boxes_xyxy_px
        same = np.flatnonzero((ious(boxes, boxes[row]) >= SAME_BOX_IOU) | (np.arange(len(boxes)) == row))
        scores = raw.scores[np.ix_(same, columns)]
        place = int(np.argmax(scores)) % len(columns)
        return self.queries[columns[place]], float(scores.max())


def compile_prompts(defects: Sequence[DefectConfig], parts: Sequence[PromptParts] = ()) -> CompiledPrompts:
    """Check the defects and lay out their queries, and those of parts behind them. Raises `PromptsError`."""
    if not defects:
        raise PromptsError("there is no defect to look for: give at least one under `defects`")
    ordered = tuple(sorted(defects, key=lambda defect: defect.name))
    texts: set[str] = set()
    for earlier, later in pairwise(ordered):
        if earlier.name == later.name:
            raise PromptsError(f"two defects are called {later.name!r}: put their prompts under one name")
    for defect in ordered:
        for finding in defect.crosscheck():
            raise PromptsError(f"defect {defect.name!r}: {finding.message}")
        texts.update(_tidy(text) for text in (*defect.prompts, *defect.counter_prompts))
    of_parts = {_tidy(text) for sought in parts for text in sought.prompts} - texts
    queries = (*sorted(texts), *sorted(of_parts))
    column = {text: index for index, text in enumerate(queries)}
    return CompiledPrompts(
        defects=ordered,
        queries=queries,
        prompt_columns=tuple(tuple(sorted({column[_tidy(t)] for t in defect.prompts})) for defect in ordered),
        counter_columns=tuple(tuple(sorted({column[_tidy(t)] for t in defect.counter_prompts})) for defect in ordered),
        prompts_hash=prompts_hash(ordered),
    )


def prompts_hash(defects: Sequence[DefectConfig]) -> str:
    """SHA-256 of what the defects mean: order of defects and prompts, and spaces, make no difference."""
    canonical = [
        {
            **defect.model_dump(mode="json"),
            "prompts": sorted({_tidy(text) for text in defect.prompts}),
            "counter_prompts": sorted({_tidy(text) for text in defect.counter_prompts}),
        }
        for defect in sorted(defects, key=lambda defect: defect.name)
    ]
    return hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def wordings_hash(sought: DefectConfig | PromptParts) -> str:
    """Hash of the prompts and counter-prompts, whatever their order: what the scores depend on."""
    counter = sought.counter_prompts if isinstance(sought, DefectConfig) else []
    texts = [sorted({_tidy(text) for text in group}) for group in (sought.prompts, counter)]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def _not_countered(
    boxes: NDArray[np.float32], best: NDArray[np.float32], counter: NDArray[np.float32], counting: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Those of `counting` on which no counter-prompt scores higher. Only boxes that could suppress are compared."""
    strong = np.flatnonzero(counter > best[counting].min())
    mine, theirs = boxes[counting, None], boxes[None, strong]
    shared = intersections(mine, theirs)
    union = areas(mine) + areas(theirs) - shared
    same_box = (shared > 0) & (shared >= SAME_BOX_IOU * union)
    by_others: NDArray[np.bool_] = np.asarray((same_box & (counter[strong] > best[counting, None])).any(axis=1))
    return counting[~by_others & (counter[counting] <= best[counting])]


def _best_of_each(found: Candidates, limit: int) -> NDArray[np.intp]:
    """The best `limit` boxes, of which each defect has at least its equal share if it has as many."""
    order = np.argsort(-found.scores, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    for index in np.unique(found.defects):
        own = order[found.defects[order] == index]
        rank[own] = np.arange(len(own))
    share = limit // max(1, len(np.unique(found.defects)))
    first = order[np.argsort(rank[order] >= share, kind="stable")]
    return first[:limit]


def _tidy(text: str) -> str:
    return " ".join(text.split())
