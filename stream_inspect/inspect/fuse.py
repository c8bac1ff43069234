"""Fusion of partial boxes: an open-vocabulary detector fires on several patches of one defect, we want one box.

Plain NMS keeps one of the partial boxes as it is. On the study's model grouping and averaging lifted the recall at
precision 0.9 (IoU 0.5) from 0.005 to 0.88 and removed nine of ten duplicates, so boxes are grouped, then averaged.

The rule. Candidates are walked from the highest score down. Each joins the first group (best leader first) whose leader
- has the same class and overlaps by more than `overlap` (intersection over the smaller area), or
- overlaps by more than `SAME_PLACE` whatever the class, the two being of like size, or
- has its centre within `NEAR` of the picture's longer side, the two being of like size;
else it leads a new group. A group's box is the mean of its boxes weighted by score squared, its score and class are the
leader's. Passes are repeated until none changes anything, so fusing what is fused changes nothing.

Numpy only: the training's evaluation uses it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_inspect.boxes import areas, centre_distances, overlaps_of_smaller

SAME_PLACE = 0.7
"""Overlap (intersection over the smaller area) above which two boxes of any class are one object."""
NEAR = 0.04
"""Distance of centres, as a share of the picture's longer side, below which two boxes are one object."""
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
    order = np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], kinds, -values))
    return Boxes(boxes[order], values[order], kinds[order])


def fuse(
    boxes_xyxy: FloatArray,
    scores: FloatArray,
    classes: NDArray[np.integer],
    *,
    longer_side_px: float,
    overlap: float = 0.3,
) -> Boxes:
    """One box an object, best first. `longer_side_px` is the picture's; see the module for the rule."""
    fused = in_order(boxes_xyxy, scores, classes)
    while True:
        before = len(fused)
        fused = _one_pass(fused, longer_side_px, overlap)
        if len(fused) == before:
            return fused


def _one_pass(boxes: Boxes, longer_side_px: float, overlap: float) -> Boxes:
    near_px = NEAR * longer_side_px
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
            near = centre_distances(boxes.boxes_xyxy[candidate], leading) < near_px
            same_class = boxes.classes[leaders] == boxes.classes[candidate]
            joins = (same_class & (shared > overlap)) | (like & ((shared > SAME_PLACE) | near))
            if joins.any():
                group = int(np.argmax(joins))
        if group < 0:
            leaders.append(candidate)
            members.append([candidate])
        else:
            members[group].append(candidate)
    if len(leaders) == len(boxes):
        return boxes
    fused = np.stack([_mean_box(boxes, group) for group in members])
    return in_order(fused, boxes.scores[leaders], boxes.classes[leaders])


def _mean_box(boxes: Boxes, group: list[int]) -> NDArray[np.float64]:
    corners = boxes.boxes_xyxy[group]
    if len(group) == 1:
        return np.asarray(corners[0])
    weights = np.maximum(boxes.scores[group], 1e-6) ** 2
    mean = (weights[:, None] * corners).sum(axis=0) / weights.sum()
    # Rounding must not leave the hull.
    return np.asarray(np.clip(mean, corners.min(axis=0), corners.max(axis=0)))
