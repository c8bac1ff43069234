"""Keeps a result small enough to be sent, whatever a segmenter draws."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stream_inspect.messages import MAX_MESSAGE_BYTES, Detection, Outline

SHAPES_MAX_BYTES = MAX_MESSAGE_BYTES // 4
"""Of all masks and outlines of a frame. A quarter, because a message of tracks repeats them and adds ended ones."""
_POINT_BYTES = 19
"""An outline's point in MessagePack: two doubles and the pair's own byte."""


def within_limit(detections: Sequence[Detection]) -> list[Detection]:
    """The same detections, in the same order; what would be too many bytes goes: masks first, outlines only then.

    The largest keep theirs. A real defect's mask takes a few kilobytes, so this is about noise. Box and extent stay.
    """
    left = SHAPES_MAX_BYTES
    fitting = list(detections)
    largest_first = sorted(range(len(fitting)), key=lambda index: -_area_px(fitting[index]))
    for index in largest_first:
        outline_bytes = _outline_bytes(fitting[index].outline_px)
        if outline_bytes > left:
            fitting[index] = msgspec.structs.replace(fitting[index], outline_px=[])
        else:
            left -= outline_bytes
    for index in largest_first:
        mask = fitting[index].mask_rle
        if mask is not None and len(mask.counts) > left:
            fitting[index] = msgspec.structs.replace(fitting[index], mask_rle=None)
        elif mask is not None:
            left -= len(mask.counts)
    return fitting


def _area_px(found: Detection) -> float:
    return found.extent.area_px if found.extent else 0.0


def _outline_bytes(outline: Outline) -> int:
    return sum(3 + _POINT_BYTES * len(polygon) for polygon in outline)
