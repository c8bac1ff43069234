"""The figures by which the embedded models are evaluated, computed from truth and detections; uses no model.

Boxes are in pixels of the frame. A defect counts when at least half of it is in the picture; what is less visible is
neither a miss when it is not found nor false when it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream_inspect.boxes import ious
from stream_inspect.sim import PassedObject
from stream_inspect.sim.truth import ObjectTruth

Mask = npt.NDArray[np.bool_]
Box = tuple[float, float, float, float]

VISIBLE = 0.5
_CENTRE_MARGIN_PX = 10.0
"""A hit's centre may lie this far outside the true box."""


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A detection."""

    name: str
    score: float
    box: Box
    mask: Mask | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A frame's truth and what was found in it."""

    seed: int
    index: int
    defects: tuple[ObjectTruth, ...]
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class FrameFigures:
    """Counts over frames at one threshold."""

    defective_frames: int
    caught_frames: int
    clean_frames: int
    alarmed_frames: int
    defects: int
    found: int
    hits: int
    right_hits: int
    right_classes: int

    @property
    def frame_recall(self) -> float:
        return self.caught_frames / max(1, self.defective_frames)

    @property
    def false_alarms(self) -> float:
        return self.alarmed_frames / max(1, self.clean_frames)

    @property
    def recall(self) -> float:
        return self.found / max(1, self.defects)

    @property
    def precision(self) -> float:
        return self.right_hits / max(1, self.hits)

    @property
    def class_accuracy(self) -> float:
        return self.right_classes / max(1, self.found)

    @property
    def f1(self) -> float:
        return 2 * self.recall * self.precision / max(1e-9, self.recall + self.precision)


def frame_figures(frames: Sequence[Judged], threshold: float) -> FrameFigures:
    """Any-defect frames, defects per frame by centre, and the classes of what was found."""
    sums: Counter[str] = Counter()
    for frame in frames:
        hits = [hit for hit in frame.hits if hit.score >= threshold]
        full = [defect for defect in frame.defects if defect.visible_fraction >= VISIBLE]
        sums["defective"] += bool(full)
        sums["caught"] += bool(full) and bool(hits)
        sums["clean"] += not frame.defects
        sums["alarmed"] += not frame.defects and bool(hits)
        sums["defects"] += len(full)
        taken: set[int] = set()
        for defect in full:
            over = [n for n, hit in enumerate(hits) if centred(hit.box, defect) and n not in taken]
            if over:
                best = max(over, key=lambda n: (hits[n].name == defect.name, hits[n].score))
                taken.add(best)
                sums["found"] += 1
                sums["right class"] += hits[best].name == defect.name
        for n, hit in enumerate(hits):
            partial = any(centred(hit.box, defect) for defect in frame.defects if defect.visible_fraction < VISIBLE)
            if n in taken or not partial:
                sums["hits"] += 1
                sums["right"] += n in taken
    return FrameFigures(
        sums["defective"], sums["caught"], sums["clean"], sums["alarmed"], sums["defects"], sums["found"],
        sums["hits"], sums["right"], sums["right class"],
    )  # fmt: skip


def average_precision(frames: Sequence[Judged], least_iou: float) -> float:
    """Area under the precision-recall curve of all defects together, whatever their class, by box overlap."""
    marked: list[tuple[float, bool]] = []
    wanted = 0
    for frame in frames:
        full = [defect for defect in frame.defects if defect.visible_fraction >= VISIBLE]
        wanted += len(full)
        free = set(range(len(full)))
        boxes = np.array([defect.box_xyxy_px for defect in full], np.float64).reshape(-1, 4)
        for hit in sorted(frame.hits, key=lambda h: -h.score):
            overlaps = ious(np.array(hit.box), boxes)
            matching = [n for n in free if overlaps[n] >= least_iou]
            if matching:
                free.remove(max(matching, key=lambda n: overlaps[n]))
                marked.append((hit.score, True))
            elif not any(centred(hit.box, d) for d in frame.defects if d.visible_fraction < VISIBLE):
                marked.append((hit.score, False))
    marked.sort(key=lambda pair: -pair[0])
    right = np.cumsum(np.array([good for _, good in marked], np.float64))
    if wanted == 0 or len(right) == 0:
        return 0.0
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    recall = np.concatenate([[0], right / wanted])
    return float((np.diff(recall) * precision).sum())


def mask_ious(frames: Sequence[Judged], threshold: float) -> dict[str, list[float]]:
    """Mask IoU of the hits that lie on a defect, by the defect's name."""
    found: dict[str, list[float]] = {}
    for frame in frames:
        for defect in frame.defects:
            over = [h for h in frame.hits if h.score >= threshold and h.mask is not None and centred(h.box, defect)]
            if defect.visible_fraction >= VISIBLE and over:
                hit = max(over, key=lambda h: (h.name == defect.name, h.score))
                truth = defect.mask()
                assert hit.mask is not None
                common, union = int((truth & hit.mask).sum()), int((truth | hit.mask).sum())
                found.setdefault(defect.name, []).append(common / max(1, union))
    return found


def middle_of_plateau(frames: Sequence[Judged], thresholds: Sequence[float]) -> float:
    """The middle of the thresholds whose F1, less half the false-alarm rate, is within 0.01 of the best.

    On a saturated validation set many thresholds tie; an end of the plateau is one frame away from a fall.
    """
    quality = []
    for threshold in thresholds:
        figures = frame_figures(frames, threshold)
        quality.append(figures.f1 - 0.5 * figures.false_alarms)
    good = np.flatnonzero(np.array(quality) >= max(quality) - 0.01)
    best = int(np.argmax(quality))
    first = last = best
    while first - 1 in good:
        first -= 1
    while last + 1 in good:
        last += 1
    return float((thresholds[first] + thresholds[last]) / 2)


@dataclass(frozen=True, slots=True)
class LineFigures:
    """Tracks of one line against every defect that has passed."""

    seed: int
    truth: int
    found: int
    tracks: int
    right: int

    @property
    def recall(self) -> float:
        return self.found / max(1, self.truth)

    @property
    def precision(self) -> float:
        return self.right / max(1, self.tracks)


def line_figures(
    seed: int,
    passed: Sequence[PassedObject],
    truth_box: dict[int, Box],
    frames: Sequence[tuple[float, Sequence[Hit]]],
    least_hits: int,
    same_px: float = 60.0,
) -> LineFigures:
    """Link hits in belt coordinates; a track of `least_hits` judged frames is an event.

    `frames` are (belt column of the picture's left edge, hits above threshold) in order; `truth_box` gives each passed
    defect's box in belt columns by its id. A track that nothing passed for is wrong; one of a defect still in the
    picture is left out by the caller's choice of frames.
    """
    tracks: list[_Track] = []
    for left_px, hits in frames:
        for hit in hits:
            centre = np.array([(hit.box[0] + hit.box[2]) / 2 + left_px, (hit.box[1] + hit.box[3]) / 2])
            near = [t for t in tracks if np.hypot(*(t.centre - centre)) < same_px and t.last_left != left_px]
            track = min(near, key=lambda t: float(np.hypot(*(t.centre - centre))), default=None)
            if track is None:
                tracks.append(track := _Track(centre))
            track.add(centre, hit.name, left_px)
    events = [track for track in tracks if track.names.total() >= least_hits]
    found: set[int] = set()
    right = 0
    for event in events:
        name = event.names.most_common(1)[0][0]
        over = [p for p in passed if p.name == name and _inside(event.centre, truth_box[p.object_id])]
        fresh = [p for p in over if p.object_id not in found]
        right += bool(fresh)
        found.update(p.object_id for p in fresh[:1])
    return LineFigures(seed, len(passed), len(found), len(events), right)


class _Track:
    """Hits at one place of the belt."""

    def __init__(self, centre: npt.NDArray[np.float64]) -> None:
        self.centre = centre
        self.names: Counter[str] = Counter()
        self.last_left = float("nan")

    def add(self, centre: npt.NDArray[np.float64], name: str, left_px: float) -> None:
        count = self.names.total()
        self.centre = (self.centre * count + centre) / (count + 1)
        self.names[name] += 1
        self.last_left = left_px


def _inside(centre: npt.NDArray[np.float64], box: Box) -> bool:
    margin = _CENTRE_MARGIN_PX
    return bool(box[0] - margin <= centre[0] <= box[2] + margin and box[1] - margin <= centre[1] <= box[3] + margin)


def centred(box: Box, defect: ObjectTruth) -> bool:
    """Whether the middle of a box lies on the defect's box, or nearly."""
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    return _inside(centre, defect.box_xyxy_px)
