"""Which crops to embed for a segmenter that wants crops: as few as serve all the hits."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_inspect.inspect.segment.segmenter import CropPreference

SHARED_SCALE = 1.5
"""A hit may share a crop at most this many times larger than the one it wants: farther out it would get too small."""


@dataclass(slots=True)
class Crop:
    """A part of the picture, in whole pixels, and the indices of the hits decoded from its one embedding."""

    left: int
    top: int
    width: int
    height: int
    hits: list[int] = field(default_factory=list)


def plan_crops(
    boxes_xyxy_px: NDArray[np.floating], preference: CropPreference, width_px: int, height_px: int
) -> list[Crop]:
    """Crops for the (N, 4) hits of one picture. Largest first: its crop may serve smaller hits inside it."""
    longer = np.maximum(boxes_xyxy_px[:, 2] - boxes_xyxy_px[:, 0], boxes_xyxy_px[:, 3] - boxes_xyxy_px[:, 1])
    wanted = np.maximum(preference.min_side_px, preference.context * longer)
    crops: list[Crop] = []
    for index in np.argsort(-wanted, kind="stable"):
        box, side = boxes_xyxy_px[index], float(wanted[index])
        crop = next((crop for crop in crops if _serves(crop, box, side)), None)
        if crop is None:
            crop = _around(box, side, width_px, height_px)
            crops.append(crop)
        crop.hits.append(int(index))
    return crops


def _around(box: NDArray[np.floating], side: float, width_px: int, height_px: int) -> Crop:
    """A square around the box's centre, moved into the picture, and cut only where the picture is smaller."""
    whole = max(1, round(side))
    width, height = min(whole, width_px), min(whole, height_px)
    left = round(float(box[0] + box[2]) / 2 - width / 2)
    top = round(float(box[1] + box[3]) / 2 - height / 2)
    return Crop(min(max(left, 0), width_px - width), min(max(top, 0), height_px - height), width, height)


def _serves(crop: Crop, box: NDArray[np.floating], side: float) -> bool:
    inside = (
        box[0] >= crop.left
        and box[1] >= crop.top
        and box[2] <= crop.left + crop.width
        and box[3] <= crop.top + crop.height
    )
    return bool(inside) and max(crop.width, crop.height) <= SHARED_SCALE * side
