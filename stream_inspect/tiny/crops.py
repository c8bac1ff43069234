"""Crops around defects (and some parts), as the service cuts them for the segmenter, with their exact masks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stream_inspect.sim.truth import Stamp
from stream_inspect.sim.world import FIELD_OF_VIEW_MM, World
from stream_inspect.tiny.geometry import CROP_PX, STRIP_PX_PER_MM
from stream_inspect.tiny.strips import StripObject, draw_fine
from stream_inspect.tiny.vocabulary import DEFECT_CLASSES

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

_SURROUNDINGS = 1.6
"""What is kept around an object, in longer sides of its box, on each side."""
_PART_SHARE = 0.15
_EDGE_SHARE = 0.2
"""Share of crops with the object at the picture's edge, and of those with it off their middle."""


@dataclass(frozen=True, slots=True, eq=False)
class Specimen:
    """An object and its surroundings at the camera's resolution."""

    class_number: int
    bgr: U8
    mask: U8
    """(h, w) uint8, 255 on the object"""
    box: tuple[int, int, int, int]
    """The object's box in these pixels"""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingCrop:
    """One input of the segmenter."""

    class_number: int
    bgr: U8
    """(128, 128, 3) uint8; what lies beyond `size` is padding"""
    size: tuple[int, int]
    """(width, height) of the picture inside the square"""
    box: tuple[float, float, float, float]
    """Box prompt in the square's pixels"""
    mask: F32
    """(128, 128) share of each pixel that is the object's"""


class SpecimenBank:
    """Objects cropped from finely drawn strips; new ones replace the oldest."""

    def __init__(self, world: World, first_seed: int, capacity: int = 3000) -> None:
        self.specimens: list[Specimen] = []
        self.strips = 0
        self._world, self._first_seed, self._capacity = world, first_seed, capacity
        self._drawn = 0

    def grow(self, strips: int) -> None:
        """Draw that many strips and keep what is on them."""
        px_per_mm = 1280 / FIELD_OF_VIEW_MM[0]
        for _ in range(strips):
            strip = draw_fine(self._first_seed + self.strips, self._world, px_per_mm / STRIP_PX_PER_MM)
            rng = np.random.default_rng([self._first_seed, self.strips])
            self.strips += 1
            for item in strip.objects:
                wanted = item.class_number in DEFECT_CLASSES or rng.random() < _PART_SHARE
                if wanted and _is_inside(strip.bgr, item.stamp):
                    self._keep(_specimen(strip.bgr, item))

    def _keep(self, specimen: Specimen) -> None:
        if len(self.specimens) < self._capacity:
            self.specimens.append(specimen)
        else:
            self.specimens[self._drawn % self._capacity] = specimen
        self._drawn += 1


def _is_inside(bgr: U8, stamp: Stamp) -> bool:
    height, width = stamp.mask.shape
    right, bottom = stamp.left_px + width, stamp.top_px + height
    return stamp.left_px >= 0 and stamp.top_px >= 0 and right <= bgr.shape[1] and bottom <= bgr.shape[0]


def _specimen(bgr: U8, item: StripObject) -> Specimen:
    stamp = item.stamp
    height, width = stamp.mask.shape
    margin = round(_SURROUNDINGS * max(height, width))
    x0, y0 = max(0, stamp.left_px - margin), max(0, stamp.top_px - margin)
    x1 = min(bgr.shape[1], stamp.left_px + width + margin)
    y1 = min(bgr.shape[0], stamp.top_px + height + margin)
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    left, top = stamp.left_px - x0, stamp.top_px - y0
    mask[top : top + height, left : left + width] = stamp.mask.astype(np.uint8) * 255
    box = (left, top, left + width, top + height)
    return Specimen(item.class_number, bgr[y0:y1, x0:x1].copy(), mask, box)


def cut_crop(
    specimen: Specimen, rng: np.random.Generator, context: tuple[float, float], box_jitter: float
) -> TrainingCrop:
    """Cut one crop: box guessed badly by `box_jitter` (standard deviation in sides), context at random."""
    bgr, mask, box = _turned(specimen, rng)
    if rng.random() < _EDGE_SHARE:
        bgr, mask, box = _at_picture_edge(bgr, mask, box, rng)
    x0, y0, x1, y1 = box
    longer = max(x1 - x0, y1 - y0)
    error = rng.normal(0, box_jitter, 4) * [x1 - x0, y1 - y0, x1 - x0, y1 - y0] + rng.normal(0, 0.01 * longer, 4)
    height, width = mask.shape
    guess = np.clip(np.array(box) + error, 0, [width, height, width, height])
    sides = guess[2:] - guess[:2]
    side = max(float(sides.max()), 16.0) * float(rng.uniform(*context))
    # A crop that serves several hits has them off its middle.
    room = (side - sides) / 2 if rng.random() < _EDGE_SHARE else np.array([0.05, 0.05]) * side
    centre = (guess[:2] + guess[2:]) / 2 + rng.uniform(-1, 1, 2) * np.maximum(room, 0)
    whole = np.minimum(round(side), [width, height]).astype(int)
    left, top = np.clip(np.round(centre - whole / 2), 0, [width - whole[0], height - whole[1]]).astype(int)
    piece = np.s_[top : top + whole[1], left : left + whole[0]]
    scale = CROP_PX / max(whole)
    size = (round(float(whole[0]) * scale), round(float(whole[1]) * scale))
    kernel = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    square = np.zeros((CROP_PX, CROP_PX, 3), np.uint8)
    content = np.asarray(cv2.resize(np.ascontiguousarray(bgr[piece]), size, interpolation=kernel), np.uint8)
    square[: size[1], : size[0]] = _lit(content, rng)
    soft = np.zeros((CROP_PX, CROP_PX), np.float32)
    small_mask = cv2.resize(np.ascontiguousarray(mask[piece]), size, interpolation=kernel)
    soft[: size[1], : size[0]] = small_mask.astype(np.float32) / 255
    moved = np.clip((guess - [left, top, left, top]) * scale, 0, [size[0], size[1], size[0], size[1]])
    prompt = (float(moved[0]), float(moved[1]), float(moved[2]), float(moved[3]))
    return TrainingCrop(specimen.class_number, square, size, prompt, soft)


def _at_picture_edge(
    bgr: U8, mask: U8, box: tuple[int, int, int, int], rng: np.random.Generator
) -> tuple[U8, U8, tuple[int, int, int, int]]:
    """Let the picture begin left of the object, or somewhere in it."""
    width = box[2] - box[0]
    edge = max(0, round(box[0] + width * float(rng.uniform(-0.4, 0.6))))
    if mask.shape[1] - edge < 16 or not mask[:, edge:].any():
        return bgr, mask, box
    return bgr[:, edge:], mask[:, edge:], _box_of(mask[:, edge:])


def _turned(specimen: Specimen, rng: np.random.Generator) -> tuple[U8, U8, tuple[int, int, int, int]]:
    """The specimen turned by a quarter or flipped at random."""
    bgr, mask = specimen.bgr, specimen.mask
    quarter = int(rng.integers(4))
    bgr, mask = np.rot90(bgr, quarter), np.rot90(mask, quarter)
    if rng.random() < 0.5:
        bgr, mask = bgr[:, ::-1], mask[:, ::-1]
    return bgr, mask, _box_of(mask)


def _box_of(mask: U8) -> tuple[int, int, int, int]:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _lit(bgr: U8, rng: np.random.Generator) -> U8:
    gain = rng.uniform(0.65, 1.15) * rng.uniform(0.95, 1.05, 3)
    noise = rng.standard_normal((*bgr.shape[:2], 1), dtype=np.float32) * np.float32(rng.uniform(0.3, 4.0))
    lit = bgr * gain.astype(np.float32) + noise + np.float32(rng.uniform(0, 18))
    return np.asarray(np.clip(lit, 0, 255), np.uint8)
