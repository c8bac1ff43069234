"""From a mask to what is reported of it: tight box, outline, RLE, area, length, width."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from stream_inspect.belt.geometry import BeltView, Scale
from stream_inspect.inspect.segment.segmenter import BoolMask
from stream_inspect.messages import Box, Extent, Outline, Rle

_OUTLINE_ERROR_PX = 0.75
"""The outline stays this near to the mask's border (more for masks whose border is very long)."""
OUTLINE_MAX_POLYGONS, OUTLINE_MAX_POINTS = 32, 200
"""Polygons of an outline, and points of a polygon: what is drawn and sent stays small whatever the mask."""


@dataclass(frozen=True, slots=True)
class CroppedMask:
    """A mask cut down to its tight box; `left_px`, `top_px` is where that box lies in the picture. Never empty."""

    mask: BoolMask
    left_px: int
    top_px: int

    @property
    def box_xyxy_px(self) -> Box:
        """The tight box, right and bottom exclusive."""
        height, width = self.mask.shape
        return float(self.left_px), float(self.top_px), float(self.left_px + width), float(self.top_px + height)

    @property
    def area_px(self) -> int:
        return int(np.count_nonzero(self.mask))


def crop_to_content(mask: BoolMask, left_px: int = 0, top_px: int = 0) -> CroppedMask | None:
    """Cut a mask of a crop (whose corner is at left, top of the picture) to its tight box; None when it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask.any(axis=0))
    tight = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return CroppedMask(tight, left_px + int(columns[0]), top_px + int(rows[0]))


def keep_touching(placed: CroppedMask, box_xyxy_px: NDArray[np.floating]) -> CroppedMask | None:
    """The mask without its pieces that lie apart from the hit's box: a stray speck would blow up the tight box."""
    left = int(np.floor(box_xyxy_px[0])) - placed.left_px
    top = int(np.floor(box_xyxy_px[1])) - placed.top_px
    right = int(np.ceil(box_xyxy_px[2])) - placed.left_px
    bottom = int(np.ceil(box_xyxy_px[3])) - placed.top_px
    count, pieces = cv2.connectedComponents(placed.mask.astype(np.uint8), connectivity=8)
    inside = np.unique(pieces[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)])
    inside = inside[inside > 0]
    if len(inside) == count - 1:
        return placed
    if not len(inside):
        return None
    return crop_to_content(np.isin(pieces, inside), placed.left_px, placed.top_px)


def shared_px(one: CroppedMask, other: CroppedMask) -> int:
    """Pixels in both masks."""
    left, top = max(one.left_px, other.left_px), max(one.top_px, other.top_px)
    right = int(min(one.box_xyxy_px[2], other.box_xyxy_px[2]))
    bottom = int(min(one.box_xyxy_px[3], other.box_xyxy_px[3]))
    if right <= left or bottom <= top:
        return 0
    return int(np.count_nonzero(_window(one, left, top, right, bottom) & _window(other, left, top, right, bottom)))


def union(one: CroppedMask, other: CroppedMask) -> CroppedMask:
    """The pixels of either mask."""
    left, top = min(one.left_px, other.left_px), min(one.top_px, other.top_px)
    right = max(one.box_xyxy_px[2], other.box_xyxy_px[2])
    bottom = max(one.box_xyxy_px[3], other.box_xyxy_px[3])
    whole = np.zeros((int(bottom) - top, int(right) - left), dtype=np.bool_)
    for placed in (one, other):
        height, width = placed.mask.shape
        rows = slice(placed.top_px - top, placed.top_px - top + height)
        whole[rows, placed.left_px - left : placed.left_px - left + width] |= placed.mask
    return CroppedMask(whole, left, top)


def _window(placed: CroppedMask, left: int, top: int, right: int, bottom: int) -> BoolMask:
    """The mask inside a box of the picture that lies within the mask's own."""
    rows = slice(top - placed.top_px, bottom - placed.top_px)
    return placed.mask[rows, left - placed.left_px : right - placed.left_px]


def to_rle(placed: CroppedMask, width_px: int, height_px: int) -> Rle:
    """COCO run lengths (down the columns) over the whole picture, computed from the tight mask alone."""
    columns, rows = np.nonzero(placed.mask.T)
    index = (columns + placed.left_px).astype(np.int64) * height_px + rows + placed.top_px
    breaks = np.flatnonzero(np.diff(index) != 1)
    starts = np.concatenate((index[:1], index[breaks + 1]))
    ends = np.concatenate((index[breaks], index[-1:])) + 1
    edges = np.stack((starts, ends), axis=1).ravel()
    counts = np.diff(np.concatenate(([0], edges, [width_px * height_px])))
    if counts[-1] == 0:
        counts = counts[:-1]
    uncompressed = {"size": [height_px, width_px], "counts": counts.tolist()}
    packed = coco_mask.frPyObjects(uncompressed, height_px, width_px)
    return Rle(size=(int(height_px), int(width_px)), counts=packed["counts"].decode("ascii"))


def from_rle(rle: Rle) -> BoolMask:
    """(H, W) bool mask of the whole picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools speaks to numpy as numpy 1 wanted it
        decoded = coco_mask.decode({"size": list(rle.size), "counts": rle.counts.encode("ascii")})
    return np.asarray(decoded, dtype=np.bool_)


def outline(placed: CroppedMask) -> Outline:
    """The mask's outer borders as polygons through the centres of the border's pixels, longest first, simplified.

    At most `OUTLINE_MAX_POLYGONS` of `OUTLINE_MAX_POINTS` each.
    """
    contours, _ = cv2.findContours(placed.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    left, top = float(placed.left_px) + 0.5, float(placed.top_px) + 0.5
    polygons: Outline = []
    for contour in sorted(contours, key=len, reverse=True)[:OUTLINE_MAX_POLYGONS]:
        error_px = max(_OUTLINE_ERROR_PX, 0.003 * cv2.arcLength(contour, True))
        points = cv2.approxPolyDP(contour, error_px, True).reshape(-1, 2)
        while len(points) > OUTLINE_MAX_POINTS:
            error_px *= 1.5
            points = cv2.approxPolyDP(contour, error_px, True).reshape(-1, 2)
        polygons.append([(left + float(x), top + float(y)) for x, y in points])
    return polygons


def extent_of_mask(placed: CroppedMask, scale: Scale) -> Extent:
    """Area of the mask, and the sides of the smallest rectangle (at any angle) around its pixels.

    Sides are exact for an upright rectangle, and at most a pixel too long for one at an angle. Where the camera sees
    its belt at a slant, the millimetres are those of the smallest rectangle on the belt.
    """
    contours, _ = cv2.findContours(placed.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    border = np.concatenate(contours)
    # The rectangle goes through the centres of the border's pixels: a pixel has to be added to see the whole of them.
    _, sides, _ = cv2.minAreaRect(border)
    known = None if isinstance(scale, BeltView) else scale
    extent = _extent(float(placed.area_px), max(sides) + 1, min(sides) + 1, known)
    if not isinstance(scale, BeltView):
        return extent
    left, top = placed.left_px, placed.top_px
    pixels = border.reshape(-1, 1, 2) + np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    rows, columns = np.nonzero(placed.mask)
    centres = np.stack([columns + left + 0.5, rows + top + 0.5], axis=1)
    area_mm2 = float(_area_of_px(scale, centres).sum())
    return _on_belt(extent, area_mm2, pixels.reshape(-1, 2) + np.array([left, top]), scale)


def extent_of_box(box_xyxy_px: Box, scale: Scale) -> Extent:
    """Where there is no mask, the box's own measures."""
    left, top, right, bottom = map(float, box_xyxy_px)
    width, height = right - left, bottom - top
    known = None if isinstance(scale, BeltView) else scale
    extent = _extent(width * height, max(width, height), min(width, height), known)
    if not isinstance(scale, BeltView):
        return extent
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    on_belt = cv2.perspectiveTransform(corners[None], scale.to_mm)[0].astype(np.float32)
    return _on_belt(extent, float(cv2.contourArea(on_belt)), corners, scale)


def scaled(extent: Extent, scale: Scale, box_xyxy_px: Box) -> Extent:
    """The same extent at this scale; itself where it has that scale already, but for rounding.

    Seen at a slant, the scale is that in the middle of its box: how it lies on the belt is not known without its mask.
    """
    has, tolerance = extent.area_mm2, 1e-3
    if isinstance(scale, BeltView):
        left, top, right, bottom = box_xyxy_px
        centre = np.array([[(left + right) / 2, (top + bottom) / 2]])
        scale, tolerance = math.sqrt(float(_area_of_px(scale, centre)[0])), 0.1
    if scale is None and has is None:
        return extent
    if scale is not None and has is not None and math.isclose(has, extent.area_px * scale**2, rel_tol=tolerance):
        return extent
    return _extent(extent.area_px, extent.length_px, extent.width_px, scale)


def _area_of_px(view: BeltView, at_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many mm² of the belt a pixel shows at each of these (n, 2) places."""
    nearness = np.maximum(at_px @ view.to_mm[2, :2] + view.to_mm[2, 2], 1e-9)
    return np.asarray(abs(np.linalg.det(view.to_mm)) / nearness**3, np.float64)


def _on_belt(extent: Extent, area_mm2: float, points_px: NDArray[np.float64], view: BeltView) -> Extent:
    """With the sides of the smallest rectangle on the belt around these (n, 2) points."""
    on_belt = cv2.perspectiveTransform(points_px[None].astype(np.float64), view.to_mm)[0]
    _, sides, _ = cv2.minAreaRect((on_belt - on_belt.mean(axis=0)).astype(np.float32))
    return msgspec.structs.replace(
        extent, area_mm2=round(area_mm2, 3), length_mm=round(max(sides), 3), width_mm=round(min(sides), 3)
    )


def _extent(area_px: float, length_px: float, width_px: float, mm_per_px: float | None) -> Extent:
    known = mm_per_px is not None
    scale = float(mm_per_px or 0)
    return Extent(
        area_px=round(area_px, 2),
        length_px=round(length_px, 2),
        width_px=round(width_px, 2),
        area_mm2=round(area_px * scale**2, 3) if known else None,
        length_mm=round(length_px * scale, 3) if known else None,
        width_mm=round(width_px * scale, 3) if known else None,
    )
