"""Leaves out the pieces that a detector found beside the whole of a defect, before anything is tracked.

A tracker would begin a track of its own for the piece, and one defect would become two events.
"""

from __future__ import annotations

from collections.abc import Sequence

from stream_inspect.messages import Box, Detection

_PIECE = 0.8
"""A box with this much of its area in a larger one of its frame and name is a piece of that. With less (0.6 was tried)
neighbours are lost that the picture's edge cuts: a sliver of the one lies easily beside the whole of the other."""

_COMPARABLE = 0.5
"""A box with less than this share of the other's score is no whole of it: a faint large box must not hide a clear
small defect."""


def without_fragments(detections: Sequence[Detection]) -> list[Detection]:
    """The detections of one judged frame without pieces, in their order; of equal boxes the first stays."""
    kept: list[int] = []
    by_size = sorted(range(len(detections)), key=lambda index: (_size(detections[index]), -index), reverse=True)
    for index in by_size:
        if not any(_is_piece(detections[index], detections[larger]) for larger in kept):
            kept.append(index)
    return [detections[index] for index in sorted(kept)]


def _size(detection: Detection) -> tuple[float, Box]:
    return _area_px2(detection.box_xyxy_px), detection.box_xyxy_px


def _is_piece(small: Detection, large: Detection) -> bool:
    if small.defect != large.defect or large.score < _COMPARABLE * small.score:
        return False
    if small.mask_rle is not None and large.mask_rle is not None:
        return False  # inspection has compared their pixels, which say more than boxes, and left them two
    shared_px2 = _shared_px2(small.box_xyxy_px, large.box_xyxy_px)
    return shared_px2 >= _PIECE * max(_area_px2(small.box_xyxy_px), 1e-9)


def _shared_px2(one: Box, other: Box) -> float:
    """Area that both boxes cover."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _area_px2(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
