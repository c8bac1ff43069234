"""The belt with its parts, drawn piece by piece at any scale. It has no camera yet: see `line.py`.

Belt columns count along the belt from the place of the first part; part n = 0, 1, ... lies near n pitches from there,
upwards or downwards as the line's direction has it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from stream_inspect.sim.belt import belt_tile
from stream_inspect.sim.defects import ALLOWED, MASK_ALPHA, DefectPaint, DefectStyle, draw_defect
from stream_inspect.sim.parts import PartDrawing, draw_part
from stream_inspect.sim.truth import Stamp, stamp_of
from stream_inspect.sim.world import FIELD_OF_VIEW_MM, World

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Pixels = TypeVar("Pixels", U8, F32)

_SHADOW_MM = 12.0
_SHADOW_STRENGTH = 0.45
_PARTS_KEPT = 12
MOST_DEFECTS = 4
"""Defects on one part at most."""
_MIN_ON_PART = 0.85
"""A defect whose alpha lies on the part by less than this share is drawn elsewhere."""
_PART_SALT, _LINE_SALT = 11, 12


@dataclass(frozen=True, slots=True, eq=False)
class NamedStamp:
    """A defect or label on the belt."""

    name: str
    stamp: Stamp


@dataclass(frozen=True, slots=True, eq=False)
class PlacedPart:
    """A part on the belt, ready to be laid over it: belt = belt * keep / 255 + add."""

    index: int
    kind: str
    left_px: int
    top_px: int
    keep: U8
    """(h, w, 3) uint8: how much of the belt still shows, shadow included."""
    add: U8
    """(h, w, 3) uint8"""
    stamp: Stamp
    defects: tuple[NamedStamp, ...]
    labels: tuple[NamedStamp, ...]

    @property
    def right_px(self) -> int:
        """First belt column that the part and its shadow do not touch."""
        return self.left_px + int(self.keep.shape[1])


class Scene:
    """One line's belt and parts. The same (seed, world, scale) draws the same pixels, in any order of calls."""

    def __init__(
        self, seed: int, world: World, px_per_mm: float, upwards: bool = True, draw_defects: bool = True
    ) -> None:
        self.seed = seed
        self._sign = 1 if upwards else -1
        self.world = world
        self.px_per_mm = px_per_mm
        self.height_px = round(FIELD_OF_VIEW_MM[1] * px_per_mm)
        self._draw_defects = draw_defects
        rng = np.random.default_rng([seed, _LINE_SALT])
        self.belt_kind = str(rng.choice(world.belts))
        warmth = rng.uniform(*world.warmth)
        self._cast = np.asarray((1 - warmth, 1.0, 1 + warmth)) * rng.uniform(*world.gain)
        # The blur is given for the usual 1280 px wide picture.
        self._blur_px = float(rng.uniform(*world.lens_blur_px)) * px_per_mm * FIELD_OF_VIEW_MM[0] / 1280.0
        self._tile = belt_tile(self.belt_kind, rng, px_per_mm)
        self._parts: OrderedDict[int, PlacedPart] = OrderedDict()

    def render(self, start_px: int, stop_px: int) -> U8:
        """Belt columns [start, stop) with their parts, (H, stop - start, 3) uint8 BGR, without light and noise."""
        margin = 6
        columns = np.arange(start_px - margin, stop_px + margin) % self._tile.shape[1]
        picture = np.ascontiguousarray(self._tile[:, columns])
        for part in self.parts_between(start_px - margin, stop_px + margin):
            _lay(picture, part, start_px - margin)
        if self._blur_px > 0.2:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), self._blur_px), np.uint8)
        return _tint(picture[:, margin:-margin], self._cast)

    def parts_between(self, start_px: int, stop_px: int) -> list[PlacedPart]:
        """Every part of which a pixel (or its shadow) may lie in the belt columns [start, stop)."""
        reach_mm = self.world.pitch_jitter_mm + 160.0
        ends_mm = sorted(self._sign * column / self.px_per_mm for column in (start_px, stop_px))
        first = max(0, int(np.floor((ends_mm[0] - reach_mm) / self.world.pitch_mm)))
        last = int(np.ceil((ends_mm[1] + reach_mm) / self.world.pitch_mm))
        parts = [self.part(index) for index in range(first, last + 1)]
        return [part for part in parts if part.left_px < stop_px and part.right_px > start_px]

    def part(self, index: int) -> PlacedPart:
        """Part number `index`, drawn when first asked for."""
        if index in self._parts:
            self._parts.move_to_end(index)
        else:
            self._parts[index] = self._draw(index)
            if len(self._parts) > _PARTS_KEPT:
                self._parts.popitem(last=False)
        return self._parts[index]

    def _draw(self, index: int) -> PlacedPart:
        rng = np.random.default_rng([self.seed, _PART_SALT, index])
        world, scale = self.world, self.px_per_mm
        centre_x_mm = self._sign * index * world.pitch_mm + rng.uniform(-world.pitch_jitter_mm, world.pitch_jitter_mm)
        centre_y_mm = FIELD_OF_VIEW_MM[1] / 2 + rng.uniform(-world.lane_jitter_mm, world.lane_jitter_mm)
        kind = str(rng.choice(world.parts))
        turn_deg = float(rng.uniform(-world.rotation_deg, world.rotation_deg))
        names = self._choose_defects(kind, rng)
        drawing = draw_part(kind, rng, scale)
        paints = _place_defects(names, drawing, rng, world)
        place, size = _turn(drawing, turn_deg)
        left_px, top_px = round(centre_x_mm * scale) - size[0] // 2, round(centre_y_mm * scale) - size[1] // 2
        bgr, alpha = _warp(drawing.bgr, place, size), _warp(drawing.alpha, place, size)
        defects: list[NamedStamp] = []
        for name, paint, offset in paints:
            defect_place = place @ np.array([[1, 0, offset[0]], [0, 1, offset[1]], [0, 0, 1.0]])
            defect_alpha = _warp(paint.alpha, defect_place, size) * (alpha.astype(np.float32) / np.float32(255))
            stamp = stamp_of(defect_alpha >= MASK_ALPHA, left_px, top_px)
            if stamp is not None and self._draw_defects:
                bgr = _blend(bgr, _warp(paint.bgr, defect_place, size), defect_alpha)
                defects.append(NamedStamp(name, stamp))
        labels = [stamp_of(_warp(label, place, size) >= 128, left_px, top_px) for label in drawing.labels]
        part_stamp = stamp_of(alpha >= 128, left_px, top_px)
        assert part_stamp is not None, "a part covers at least one pixel"
        keep, add = _cover(bgr, alpha, scale)
        named = tuple(NamedStamp("label", stamp) for stamp in labels if stamp is not None)
        return PlacedPart(index, kind, left_px, top_px, keep, add, part_stamp, tuple(defects), named)

    def _choose_defects(self, kind: str, rng: np.random.Generator) -> list[str]:
        choices = [name for name in ALLOWED[kind] if name in self.world.defects]
        chances = [self.world.defect_share, *[self.world.further_defect_share] * (MOST_DEFECTS - 1)]
        lucky = rng.random(MOST_DEFECTS) < chances
        count = min(int(np.logical_and.accumulate(lucky).sum()), len(choices))
        return [str(name) for name in rng.choice(choices, count, replace=False)] if count else []


def _place_defects(
    names: list[str], drawing: PartDrawing, rng: np.random.Generator, world: World
) -> list[tuple[str, DefectPaint, tuple[int, int]]]:
    """Draw each defect and find it a place on the part, clear of the others; one without a place is left out."""
    spots = np.argwhere(drawing.surface > 0)
    placed: list[tuple[str, DefectPaint, tuple[int, int]]] = []
    taken = np.zeros(drawing.alpha.shape, np.bool_)
    for name in names:
        for _ in range(10):
            y_px, x_px = (int(v) for v in spots[int(rng.integers(len(spots)))])
            style = DefectStyle(
                drawing.kind,
                _mean_colour(drawing.bgr, y_px, x_px, round(12 * drawing.px_per_mm)),
                float(rng.uniform(*world.contrast)),
                bool(rng.random() < world.thin_scratch_share),
            )
            paint = draw_defect(name, rng, drawing.px_per_mm, style)
            offset = (x_px - paint.alpha.shape[1] // 2, y_px - paint.alpha.shape[0] // 2)
            cover = _on_canvas(paint.alpha, offset, drawing.alpha.shape)
            on_part = float(cover[drawing.alpha >= 128].sum()) / max(float(paint.alpha.sum()), 1e-6)
            if on_part >= _MIN_ON_PART and not (taken & (cover > 0.02)).any():
                near = cv2.dilate((cover > 0.02).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=3)
                taken |= near > 0
                placed.append((name, paint, offset))
                break
    return placed


def _mean_colour(bgr: U8, y_px: int, x_px: int, radius_px: int) -> tuple[float, float, float]:
    patch = bgr[max(0, y_px - radius_px) : y_px + radius_px + 1, max(0, x_px - radius_px) : x_px + radius_px + 1]
    blue, green, red = patch.reshape(-1, 3).mean(axis=0)
    return float(blue), float(green), float(red)


def _on_canvas(alpha: F32, offset: tuple[int, int], shape: tuple[int, ...]) -> F32:
    """Paste a patch at (x, y) into zeros of `shape`, cut off at the edges."""
    canvas = np.zeros((shape[0], shape[1]), np.float32)
    x0, y0 = max(0, offset[0]), max(0, offset[1])
    x1, y1 = min(shape[1], offset[0] + alpha.shape[1]), min(shape[0], offset[1] + alpha.shape[0])
    if x0 < x1 and y0 < y1:
        canvas[y0:y1, x0:x1] = alpha[y0 - offset[1] : y1 - offset[1], x0 - offset[0] : x1 - offset[0]]
    return canvas


def _turn(drawing: PartDrawing, turn_deg: float) -> tuple[npt.NDArray[np.float64], tuple[int, int]]:
    """The 3x3 map from the upright canvas to the turned one with room for the shadow, and its (width, height)."""
    height, width = drawing.alpha.shape
    angle = np.deg2rad(turn_deg)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    room = 2 * round(1.6 * _SHADOW_MM * drawing.px_per_mm)
    size = (
        int(np.ceil(abs(cos) * width + abs(sin) * height)) + room,
        int(np.ceil(abs(sin) * width + abs(cos) * height)) + room,
    )
    centre_in, centre_out = ((width - 1) / 2, (height - 1) / 2), ((size[0] - 1) / 2, (size[1] - 1) / 2)
    place = np.array(
        [
            [cos, -sin, centre_out[0] - cos * centre_in[0] + sin * centre_in[1]],
            [sin, cos, centre_out[1] - sin * centre_in[0] - cos * centre_in[1]],
            [0.0, 0.0, 1.0],
        ]
    )
    return place, size


def _warp(image: Pixels, place: npt.NDArray[np.float64], size: tuple[int, int]) -> Pixels:
    return np.asarray(cv2.warpAffine(image, place[:2], size, flags=cv2.INTER_LINEAR), image.dtype)


def _blend(bgr: U8, paint_bgr: U8, alpha: F32) -> U8:
    share = alpha[:, :, None]
    return np.asarray(bgr * (1 - share) + paint_bgr * share + np.float32(0.5), np.uint8)


def _cover(bgr: U8, alpha: U8, px_per_mm: float) -> tuple[U8, U8]:
    """Fold part and shadow into the two pictures of `PlacedPart`."""
    share = alpha.astype(np.float32) / np.float32(255)
    shift = 0.6 * _SHADOW_MM * px_per_mm
    moved = cv2.warpAffine(share, np.array([[1, 0, shift], [0, 1, shift]]), (alpha.shape[1], alpha.shape[0]))
    shadow = cv2.GaussianBlur(moved, (0, 0), max(0.5, 0.35 * _SHADOW_MM * px_per_mm))
    keep = (1 - share) * (1 - _SHADOW_STRENGTH * shadow)
    keep_u8 = np.asarray(keep * 255 + 0.5, np.uint8)
    add = np.asarray(bgr * share[:, :, None] + np.float32(0.5), np.uint8)
    return np.repeat(keep_u8[:, :, None], 3, axis=2), add


def _lay(picture: U8, part: PlacedPart, start_px: int) -> None:
    """Lay a part over the belt columns that start at `start_px`, in place."""
    x = part.left_px - start_px
    x0, x1 = max(0, x), min(picture.shape[1], x + part.keep.shape[1])
    y0, y1 = max(0, part.top_px), min(picture.shape[0], part.top_px + part.keep.shape[0])
    piece = np.s_[y0 - part.top_px : y1 - part.top_px, x0 - x : x1 - x]
    under = picture[y0:y1, x0:x1]
    lit = cv2.multiply(under, part.keep[piece], scale=1 / 255)
    picture[y0:y1, x0:x1] = cv2.add(lit, part.add[piece])


def _tint(picture: U8, cast: npt.NDArray[np.float64]) -> U8:
    """Multiply each channel by its factor, by table."""
    levels = np.arange(256)[None, :, None] * cast[None, None, :]
    table = np.clip(levels + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(np.ascontiguousarray(picture), table), np.uint8)
