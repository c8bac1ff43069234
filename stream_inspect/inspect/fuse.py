"""Fusion of partial boxes: an open-vocabulary detector fires on several patches of one defect, we want one box.

Plain NMS keeps one of the partial boxes as it is. On the study's model grouping and averaging lifted the recall at
precision 0.9 (IoU 0.5) from 0.005 to 0.88 and removed nine of ten duplicates, so boxes are grouped, then averaged.

The rule. Candidates are walked from the highest score down. Each joins the first group (best leader first) whose leader
- has the same class and overlaps by more than `overlap` (intersection over the smaller area), or
- has a class of the same severity and overlaps by more than `SAME_PLACE`, the two being of like size, or
- has a class of the same severity, the two being of like size, in contact, and their centres `NEAR_PATCHES` apart;
else it leads a new group. A group's score and class are the leader's. Its box is the mean, weighted by score squared,
of those of its boxes that overlap the best one, so that it always lies on a box that the detector gave. Passes are
repeated until none changes anything, so fusing what is fused changes nothing.

What is near depends on the detector: two boxes of one defect come from neighbouring patches, so distances are measured
in patches. Boxes of two severities are never one, whatever they share: a critical defect keeps its name.

Numpy only: the training's evaluation uses it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_inspect.boxes import areas, centre_distances, gaps, intersections, overlaps_of_smaller

SAME_PLACE = 0.7
"""Overlap (intersection over the smaller area) above which two boxes of any class are one object."""
NEAR_PATCHES = 0.64
"""Distance of centres, in patches of the detector, below which two boxes in contact are one object."""
CONTACT_PATCHES = 0.1
"""Boxes are in contact when the gap between them is less than this, in patches: a detector places no edge better."""
LIKE_SIZE = 4.0
"""A box more than this many times larger is another thing: a hole on a plate is not the plate."""

FloatArray = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Boxes:
    """Scored boxes of one picture.

    `boxes_xyxy` (N, 4) float64 in pixels, `scores` (N,) float64 in 0..1, `classes` (N,) int64, best score first.
    """

    boxes_xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, index: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Boxes:
        """The boxes of this index, in its order."""
        return Boxes(self.boxes_xyxy[index], self.scores[index], self.classes[index])


def in_order(boxes_xyxy: FloatArray, scores: FloatArray, classes: NDArray[np.integer]) -> Boxes:
    """The boxes best first; ties are broken by class, then place, so that the order they came in does not matter."""
    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    values = np.asarray(scores, dtype=np.float64).reshape(-1)
    kinds = np.asarray(classes, dtype=np.int64).reshape(-1)
    if not len(boxes) == len(values) == len(kinds):
        raise ValueError(f"{len(boxes)} boxes, {len(values)} scores, {len(kinds)} classes: these must be as many")
    return (unordered := Boxes(boxes, values, kinds)).take(_order(unordered))


def _order(boxes: Boxes) -> NDArray[np.intp]:
    left, top, right, bottom = boxes.boxes_xyxy.T
    return np.lexsort((bottom, right, top, left, boxes.classes, -boxes.scores))


def fuse(
    boxes_xyxy: FloatArray,
    scores: FloatArray,
    classes: NDArray[np.integer],
    *,
    severities: Sequence[str],
    patch_px: float,
    overlap: float = 0.3,
) -> Boxes:
    """One box an object, best first; see the module for the rule.

    `severities` holds the severity of each class, by its index; `patch_px` is `Detector.patch_px` of the picture.
    """
    fused = in_order(boxes_xyxy, scores, classes)
    severity_of = np.asarray(severities)
    best_xyxy = fused.boxes_xyxy
    while True:
        before = len(fused)
        fused, best_xyxy = _one_pass(fused, best_xyxy, severity_of, patch_px, overlap)
        if len(fused) == before:
            return fused


def _one_pass(
    boxes: Boxes, best_xyxy: NDArray[np.float64], severity_of: NDArray[np.str_], patch_px: float, overlap: float
) -> tuple[Boxes, NDArray[np.float64]]:
    """The boxes after one walk, and for each the best box that the detector gave for it, as `best_xyxy` before."""
    severities = severity_of[boxes.classes] if len(boxes) else severity_of
    leaders: list[int] = []
    members: list[list[int]] = []
    sizes = areas(boxes.boxes_xyxy)
    for candidate in range(len(boxes)):
        group = -1
        if leaders:
            leading = boxes.boxes_xyxy[leaders]
            shared = overlaps_of_smaller(boxes.boxes_xyxy[candidate], leading)
            like = np.maximum(sizes[candidate], sizes[leaders]) <= LIKE_SIZE * np.minimum(
                sizes[candidate], sizes[leaders]
            )
            near = centre_distances(boxes.boxes_xyxy[candidate], leading) < NEAR_PATCHES * patch_px
            touching = gaps(boxes.boxes_xyxy[candidate], leading) < CONTACT_PATCHES * patch_px
            same_class = boxes.classes[leaders] == boxes.classes[candidate]
            same_severity = severities[leaders] == severities[candidate]
            one_thing = (shared > SAME_PLACE) | (near & touching)
            joins = (same_class & (shared > overlap)) | (same_severity & like & one_thing)
            if joins.any():
                group = int(np.argmax(joins))
        if group < 0:
            leaders.append(candidate)
            members.append([candidate])
        else:
            members[group].append(candidate)
    if len(leaders) == len(boxes):
        return boxes, best_xyxy
    means = np.stack([_mean_box(boxes, best_xyxy[group[0]], group) for group in members])
    fused = Boxes(means, boxes.scores[leaders], boxes.classes[leaders])
    order = _order(fused)
    return fused.take(order), best_xyxy[leaders][order]


def _mean_box(boxes: Boxes, best: NDArray[np.float64], group: list[int]) -> NDArray[np.float64]:
    """The mean of the leader and of those of the group that overlap `best`; boxes that all do have a mean that does.

    A box that only touches is another view of the same thing, placed less well: the mean of the two may lie in the gap
    between them, where nothing is, and the hull would grow with each misplaced box.
    """
    over_best = intersections(best, boxes.boxes_xyxy[group]) > 0
    over_best[0] = True
    averaged = np.asarray(group)[over_best]
    corners = boxes.boxes_xyxy[averaged]
    if len(averaged) == 1:
        return np.asarray(corners[0])
    weights = np.maximum(boxes.scores[averaged], 1e-6) ** 2
    mean = (weights[:, None] * corners).sum(axis=0) / weights.sum()
    # Rounding must not leave the hull.
    return np.asarray(np.clip(mean, corners.min(axis=0), corners.max(axis=0)))
