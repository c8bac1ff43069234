"""What is a fragment of a defect that is known already: a tracker would make a second track of it, and a second event.

`docs/decisions/0005-one-event-per-defect.md` says which step decides which case of "is this one defect or two?".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream_inspect.boxes import area, is_inside
from stream_inspect.messages import Box, Detection

_OF_DETECTION = 0.8
"""A box with this share of its area in a larger one of its frame and name is a fragment of that. With less (0.6 was
tried) neighbours are lost that the picture's edge cuts: a sliver of the one lies easily within the other's box."""

OF_TRACK = 0.6
"""A box that matched no track, with this share of its area in the box of a track of its name, is a fragment of what
that track follows."""

_COMPARABLE = 0.5
"""A box with less than this share of the other's score is not the whole of it: a faint large box must not hide a clear
small defect."""


def without_fragments(detections: Sequence[Detection]) -> list[Detection]:
    """The detections of one judged frame without fragments, in their order; of equal boxes the first stays."""
    if not _overlap(detections):
        return list(detections)
    kept: list[int] = []
    by_size = sorted(range(len(detections)), key=lambda index: (_size(detections[index]), -index), reverse=True)
    for index in by_size:
        if not any(_is_fragment(detections[index], detections[larger]) for larger in kept):
            kept.append(index)
    return [detections[index] for index in sorted(kept)]


def _overlap(detections: Sequence[Detection]) -> bool:
    """Whether any two cover so much of each other that one may be a fragment: of some tens none does, as a rule."""
    boxes = np.array([one.box_xyxy_px for one in detections], np.float64).reshape(-1, 4)
    sizes = boxes[:, 2:] - boxes[:, :2]
    shared = np.minimum(boxes[:, None, 2:], boxes[:, 2:]) - np.maximum(boxes[:, None, :2], boxes[:, :2])
    np.fill_diagonal(shared[..., 0], 0.0)
    shared_px = np.maximum(shared, 0.0).prod(axis=2)
    return bool((shared_px >= 0.99 * _OF_DETECTION * np.maximum(sizes, 0.0).prod(axis=1)).any())


def _size(detection: Detection) -> tuple[float, Box]:
    return area(detection.box_xyxy_px), detection.box_xyxy_px


def _is_fragment(small: Detection, large: Detection) -> bool:
    if small.defect != large.defect or large.score < _COMPARABLE * small.score:
        return False
    if small.mask_rle is not None and large.mask_rle is not None:
        return False  # inspection has compared their pixels, which say more than boxes, and left them two
    return is_inside(small.box_xyxy_px, large.box_xyxy_px, _OF_DETECTION)
