"""What is really in a frame: parts and defects with exact boxes and masks.

Boxes are pixels of the frame, left/top inclusive, right/bottom exclusive, clipped to the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Box = tuple[int, int, int, int]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Stamp:
    """The pixels that an object covers on the belt; its corner is in belt pixels and does not change as it travels."""

    left_px: int
    top_px: int
    mask: Mask
    """(h, w) bool, tight: the first and last row and column hold at least one True."""
    area_px: int

    @property
    def right_px(self) -> int:
        """First belt column after the object."""
        return self.left_px + int(self.mask.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTruth:
    """A part or defect as this frame shows it."""

    name: str
    """Kind of part, or name of the defect."""
    box_xyxy_px: Box
    """Tight box of the pixels in the picture."""
    visible_fraction: float
    """Share of the object's pixels that are in the picture, 0 < f <= 1."""
    area_px: int
    """Pixels of the object in the picture."""
    _stamp: Stamp
    _left_px: int
    _frame_shape: tuple[int, int]

    def mask(self) -> Mask:
        """The object's pixels, (H, W) bool."""
        picture = np.zeros(self._frame_shape, np.bool_)
        left, top, right, bottom = self.box_xyxy_px
        stamp_x, stamp_y = left - self._left_px, top - self._stamp.top_px
        piece = self._stamp.mask[stamp_y : stamp_y + bottom - top, stamp_x : stamp_x + right - left]
        picture[top:bottom, left:right] = piece
        return picture


@dataclass(frozen=True, slots=True, eq=False)
class PartTruth(ObjectTruth):
    """A part in the picture."""

    part_id: int
    """Counts from 0 in the order in which parts enter the picture; the same in every frame of a run."""


@dataclass(frozen=True, slots=True, eq=False)
class DefectTruth(ObjectTruth):
    """A defect in the picture."""

    defect_id: int
    """The same in every frame of a run, and never used twice."""
    part_id: int


@dataclass(frozen=True, slots=True, eq=False)
class FrameTruth:
    """Everything in one frame."""

    index: int
    parts: tuple[PartTruth, ...]
    defects: tuple[DefectTruth, ...]


def clip(stamp: Stamp, left_px: int, top_px: int, frame_shape: tuple[int, int]) -> tuple[Box, int] | None:
    """Tight box and area of what a picture of (height, width) shows of a stamp whose corner lies at (left, top) in it.

    None where no pixel is in the picture.
    """
    height_px, width_px = frame_shape
    stamp_height, stamp_width = stamp.mask.shape
    x0, x1 = max(0, -left_px), min(stamp_width, width_px - left_px)
    y0, y1 = max(0, -top_px), min(stamp_height, height_px - top_px)
    if x0 >= x1 or y0 >= y1:
        return None
    if (x0, y0, x1, y1) == (0, 0, stamp_width, stamp_height):
        right, bottom = left_px + stamp_width, top_px + stamp_height
        return (left_px, top_px, right, bottom), stamp.area_px
    piece = stamp.mask[y0:y1, x0:x1]
    columns, rows = np.flatnonzero(piece.any(axis=0)), np.flatnonzero(piece.any(axis=1))
    if columns.size == 0:
        return None
    left, top = left_px + x0 + int(columns[0]), top_px + y0 + int(rows[0])
    right, bottom = left_px + x0 + int(columns[-1]) + 1, top_px + y0 + int(rows[-1]) + 1
    return (left, top, right, bottom), int(np.count_nonzero(piece))


def stamp_of(mask: Mask, left_px: int, top_px: int) -> Stamp | None:
    """Cut a mask whose corner lies at (left, top) on the belt down to its tight box; None for an empty one."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if columns.size == 0:
        return None
    tight = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    return Stamp(left_px + int(columns[0]), top_px + int(rows[0]), tight, int(np.count_nonzero(tight)))
