"""Training pictures cut from strips: where they lie in the detector's square, what they show, how they are lit."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stream_inspect.sim.light import draw_light
from stream_inspect.sim.truth import clip
from stream_inspect.sim.world import FIELD_OF_VIEW_MM, World
from stream_inspect.tiny.geometry import GRID, IMAGE_PX, PATCH_PX
from stream_inspect.tiny.strips import Strip

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

CELL_PX = 4
"""Side of the cells in which the auxiliary loss asks what each place is."""
_PICTURE_HEIGHT_PX = IMAGE_PX * FIELD_OF_VIEW_MM[1] / FIELD_OF_VIEW_MM[0]
_LIGHTS = 160


@dataclass(frozen=True, slots=True)
class Photometry:
    """How far the pictures' look is varied beyond what the world itself varies."""

    gain: float = 0.08
    cast: float = 0.03
    noise: float = 2.0
    blur_px: float = 0.5
    zoom: tuple[float, float] = (0.9, 1.12)
    zoom_share: float = 0.3
    other_aspect_share: float = 0.1


MILD = Photometry()
WIDE = Photometry(
    gain=0.15, cast=0.06, noise=3.5, blur_px=0.7, zoom=(0.8, 1.3), zoom_share=0.35, other_aspect_share=0.15
)


@dataclass(frozen=True, slots=True, eq=False)
class WindowObject:
    """An object in a window."""

    class_number: int
    box_xyxy_px: tuple[float, float, float, float]
    """In pixels of the detector's square, clipped to the window."""
    visible_fraction: float


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A training picture: `tokens` x `tokens` patches of the detector's square."""

    bgr: U8
    """(16 n, 16 n, 3) uint8"""
    token_x: int
    token_y: int
    """Where the window lies in the square, in patches."""
    objects: tuple[WindowObject, ...]
    cells: U8
    """(4 n, 4 n) uint8: 0 for belt and black, else class number + 1 of what lies on top."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """Where the camera's picture lies in the square, and which piece of the strip it shows."""

    top_px: int
    height_px: int
    zoom: float
    strip_x: float
    strip_y: float


class WindowCutter:
    """Cuts lit windows from strips."""

    def __init__(self, world: World, photometry: Photometry, seed: int) -> None:
        self.photometry = photometry
        rng = np.random.default_rng([seed, 31])
        lights = [draw_light(rng, world, 64, 36) for _ in range(_LIGHTS)]
        self._shades = [light.shade for light in lights]
        self._glares = [light.glare for light in lights]

    def cut(self, strip: Strip, rng: np.random.Generator, tokens: int) -> Window:
        """One window at a random place, turned over at random."""
        picture = self._place(strip, rng)
        token_x = int(rng.integers(GRID - tokens + 1))
        lowest = (picture.top_px + picture.height_px - PATCH_PX * tokens // 4 * 3) // PATCH_PX
        token_y = int(rng.integers(max(0, min(lowest, GRID - tokens)) + 1))
        return self._cut_at(strip, picture, token_x, token_y, tokens, rng)

    def _place(self, strip: Strip, rng: np.random.Generator) -> _Picture:
        look = self.photometry
        zoom = float(rng.uniform(*look.zoom)) if rng.random() < look.zoom_share else 1.0
        height = min(float(IMAGE_PX), _PICTURE_HEIGHT_PX * zoom)
        top = 0
        if rng.random() < look.other_aspect_share:
            height *= float(rng.uniform(0.7, 1.0))
            if rng.random() < 0.4:
                top = int(rng.integers(0, IMAGE_PX - int(height)))
        scale = strip.bgr.shape[0] / _PICTURE_HEIGHT_PX / zoom
        room_x = strip.bgr.shape[1] - IMAGE_PX * scale
        room_y = strip.bgr.shape[0] - height * scale
        x, y = float(rng.uniform(0, max(room_x, 0))), float(rng.uniform(0, max(room_y, 0)))
        return _Picture(top, int(height), zoom, x, y)

    def _cut_at(
        self, strip: Strip, picture: _Picture, token_x: int, token_y: int, tokens: int, rng: np.random.Generator
    ) -> Window:
        side = tokens * PATCH_PX
        left, top = token_x * PATCH_PX, token_y * PATCH_PX
        row0, row1 = max(0, picture.top_px - top), min(side, picture.top_px + picture.height_px - top)
        bgr: U8 = np.zeros((side, side, 3), np.uint8)
        cells: U8 = np.zeros((side // CELL_PX, side // CELL_PX), np.uint8)
        if row1 <= row0:
            return Window(bgr, token_x, token_y, (), cells)
        scale = strip.bgr.shape[0] / _PICTURE_HEIGHT_PX / picture.zoom
        x0, x1 = round(picture.strip_x + left * scale), round(picture.strip_x + (left + side) * scale)
        first_row = top + row0 - picture.top_px
        y0 = round(picture.strip_y + first_row * scale)
        y1 = round(picture.strip_y + (first_row + row1 - row0) * scale)
        flips = (bool(rng.random() < 0.5), bool(rng.random() < 0.5))
        if flips[0]:
            x0, x1 = strip.bgr.shape[1] - x1, strip.bgr.shape[1] - x0
        if flips[1]:
            y0, y1 = strip.bgr.shape[0] - y1, strip.bgr.shape[0] - y0
        x0, y0 = max(0, x0), max(0, y0)
        crop = strip.bgr[y0:y1, x0:x1]
        y1, x1 = y0 + crop.shape[0], x0 + crop.shape[1]
        content = np.asarray(cv2.resize(crop, (side, row1 - row0), interpolation=cv2.INTER_AREA), np.uint8)
        steps = (-1 if flips[1] else 1, -1 if flips[0] else 1)
        content = content[:: steps[0], :: steps[1]]
        bgr[row0:row1] = self._lit(content, left, first_row, picture.height_px, rng)
        objects, labels = _what_is_there(strip, (x0, y0, x1, y1))
        factors = (side / (x1 - x0), (row1 - row0) / (y1 - y0))
        seen = tuple(
            WindowObject(number, _box_in_square(box, (x1 - x0, y1 - y0), flips, factors, (left, top + row0)), fraction)
            for number, box, fraction in objects
        )
        _sample_cells(cells, labels[:: steps[0], :: steps[1]], row0, row1)
        return Window(bgr, token_x, token_y, seen, cells)

    def _lit(self, content: U8, left: int, first_row: int, height_px: int, rng: np.random.Generator) -> U8:
        look = self.photometry
        number = int(rng.integers(len(self._shades)))
        shape = (content.shape[1], content.shape[0])
        box = np.array([left / IMAGE_PX * 64, (left + shape[0]) / IMAGE_PX * 64]).round().astype(int)
        rows = np.array([first_row / height_px * 36, (first_row + shape[1]) / height_px * 36]).round().astype(int)
        piece = np.s_[min(rows[0], 35) : max(rows[1], rows[0] + 1), min(box[0], 63) : max(box[1], box[0] + 1)]
        shade = cv2.resize(self._shades[number][piece], shape) * np.float32(rng.uniform(1 - look.gain, 1 + look.gain))
        glare = cv2.resize(self._glares[number][piece], shape)
        cast = rng.uniform(1 - look.cast, 1 + look.cast, 3).astype(np.float32)
        picture: F32 = content.astype(np.float32)
        if rng.random() < 0.5:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.15, look.blur_px))), np.float32)
        picture = np.asarray(picture * (shade[:, :, None] * cast) + glare[:, :, None], np.float32)
        sigma = np.float32(rng.uniform(0.3, look.noise))
        picture += rng.standard_normal((*content.shape[:2], 1), dtype=np.float32) * sigma
        return np.clip(picture, 0, 255).astype(np.uint8)


Found = list[tuple[int, tuple[int, int, int, int], float]]


def _what_is_there(strip: Strip, crop: tuple[int, int, int, int]) -> tuple[Found, U8]:
    """Objects in a crop of the strip (boxes in the crop's pixels), and a map of class number + 1."""
    x0, y0, x1, y1 = crop
    labels: U8 = np.zeros((y1 - y0, x1 - x0), np.uint8)
    found: Found = []
    for item in strip.objects:
        left, top = item.stamp.left_px - x0, item.stamp.top_px - y0
        clipped = clip(item.stamp, left, top, (y1 - y0, x1 - x0))
        if clipped is None:
            continue
        box, area = clipped
        found.append((item.class_number, box, area / item.stamp.area_px))
        piece = item.stamp.mask[box[1] - top : box[3] - top, box[0] - left : box[2] - left]
        labels[box[1] : box[3], box[0] : box[2]][piece] = item.class_number + 1
    return found, labels


def _box_in_square(
    box: tuple[int, int, int, int],
    crop_size: tuple[int, int],
    flips: tuple[bool, bool],
    factors: tuple[float, float],
    origin: tuple[int, int],
) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    if flips[0]:
        x0, x1 = crop_size[0] - x1, crop_size[0] - x0
    if flips[1]:
        y0, y1 = crop_size[1] - y1, crop_size[1] - y0
    return (
        x0 * factors[0] + origin[0],
        y0 * factors[1] + origin[1],
        x1 * factors[0] + origin[0],
        y1 * factors[1] + origin[1],
    )


def _sample_cells(cells: U8, labels: U8, row0: int, row1: int) -> None:
    """Fill the map of cells, in place, from a map of the rows [row0, row1) of the window."""
    middles = np.arange(cells.shape[0]) * CELL_PX + CELL_PX // 2
    inside = np.flatnonzero((middles >= row0) & (middles < row1))
    rows = ((middles[inside] - row0) * labels.shape[0] / (row1 - row0)).astype(int)
    columns = (middles * labels.shape[1] / (cells.shape[1] * CELL_PX)).astype(int)
    cells[inside] = labels[np.ix_(rows, np.minimum(columns, labels.shape[1] - 1))]
