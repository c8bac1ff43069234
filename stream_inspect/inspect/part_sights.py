"""The parts that a detector finds by their wordings, in the pass that looks for defects: boxes, and how well they show.

None of them is a detection: events say nothing of them, and they take no place among the boxes of a defect.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from stream_inspect.boxes import as_box
from stream_inspect.inspect.detect.detector import RawDetections
from stream_inspect.inspect.fuse import fuse
from stream_inspect.messages import Box, PartSight
from stream_inspect.picture import UInt8Array

MOST_PARTS = 200
"""Boxes of one picture that are compared with each other."""
_SMALLEST_SIDE_PX = 4.0


def part_sights(
    picture: UInt8Array,
    raw: RawDetections,
    columns: Sequence[int],
    *,
    threshold: float,
    patch_px: float,
    overlap: float,
) -> list[PartSight]:
    """The parts in a picture (H, W, 3) uint8 RGB, best first: what reaches `threshold` in one of these columns.

    Boxes are fused as those of one defect are, and cut to the picture.
    """
    height, width = picture.shape[:2]
    best = raw.scores[:, list(columns)].max(axis=1)
    rows = np.flatnonzero(best >= threshold)
    rows = np.sort(rows[np.argsort(-best[rows], kind="stable")[:MOST_PARTS]])
    cut = np.clip(raw.boxes_xyxy_px[rows], 0, np.array((width, height, width, height), dtype=np.float32))
    seen = ((cut[:, 2:] - cut[:, :2]) >= _SMALLEST_SIDE_PX).all(axis=1)
    kinds = np.zeros(int(seen.sum()), dtype=np.int64)
    fused = fuse(cut[seen], best[rows][seen], kinds, severities=("part",), patch_px=patch_px, overlap=overlap)
    return [_sight(picture, as_box(box.round(2))) for box in fused.boxes_xyxy]


def _sight(picture: UInt8Array, box: Box) -> PartSight:
    """How well the part in this box shows. The belt at its corners is taken for part of it."""
    left, top, right, bottom = (round(side) for side in box)
    luma = cv2.cvtColor(np.ascontiguousarray(picture[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    within = cv2.countNonZero(cv2.inRange(luma, np.array(1), np.array(254)))
    inner = cv2.Laplacian(luma, cv2.CV_16S)[1:-1, 1:-1]  # without the outline
    return PartSight(
        box_xyxy_px=box,
        clipped_share=round(1 - within / luma.size, 4),
        sharpness=round(float(np.var(inner)), 2) if inner.size else 0.0,
    )
