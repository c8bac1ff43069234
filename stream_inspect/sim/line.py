"""The synthetic line: a camera over a moving belt, with exact truth for every frame.

The belt is drawn ahead in narrow chunks of I420 planes and scrolled by copying slices, so that a 1280x720 frame costs
one or two milliseconds: a demonstration must leave the processor to the service that it demonstrates.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from stream_inspect.sim.belt import draw_rails
from stream_inspect.sim.light import PlanarLight, draw_light
from stream_inspect.sim.scene import PlacedPart, Scene
from stream_inspect.sim.truth import Box, DefectTruth, FrameTruth, PartTruth, Stamp, clip
from stream_inspect.sim.world import FIELD_OF_VIEW_MM, RAIL_MM, STANDARD, World

U8 = npt.NDArray[np.uint8]

_CHUNK_PX = 128
_LIGHT_SALT, _NOISE_SALT, _FRAME_SALT = 21, 22, 23
_DEFECTS_A_PART = 8
"""Defect ids are part id * this + number on the part."""
_NOISE_MARGIN_PX = 64


@dataclass(frozen=True, slots=True)
class PassedObject:
    """A defect that the belt has carried past the camera."""

    object_id: int
    """`defect_id` as in the frames' truth."""
    part_id: int
    name: str
    first_index: int
    """First frame with a pixel of it."""
    last_index: int
    """Last frame with a pixel of it."""


@dataclass(frozen=True, slots=True)
class EnteredPart:
    """A part that is in the picture, or was."""

    part_id: int
    is_defective: bool
    middle_px: float
    """How far the belt has to move, since frame 0, until its middle is at the picture's upstream edge."""


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticFrame:
    """One picture and what is really in it."""

    i420: U8
    """(H * 3 / 2, W) uint8: Y, then U, then V; BT.601, limited range."""
    truth: FrameTruth

    @property
    def image_bgr(self) -> U8:
        """The picture as (H, W, 3) uint8 BGR, converted at each call."""
        return np.asarray(cv2.cvtColor(self.i420, cv2.COLOR_YUV2BGR_I420), np.uint8)


class _Planes(NamedTuple):
    """Y (h, w), U and V (h / 2, w / 2), uint8."""

    y: U8
    u: U8
    v: U8

    @classmethod
    def empty(cls, height_px: int, width_px: int) -> _Planes:
        half = (height_px // 2, width_px // 2)
        return cls(np.empty((height_px, width_px), np.uint8), np.empty(half, np.uint8), np.empty(half, np.uint8))

    @classmethod
    def of_bgr(cls, picture: U8) -> _Planes:
        height, width = picture.shape[:2]
        i420 = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8)
        u, v = i420[height:].reshape(2, height // 2, width // 2)
        return cls(i420[:height], u, v)

    def paste(self, other: _Planes, left_px: int) -> None:
        """Copy what fits of another's columns to column `left_px` (even, may be negative)."""
        for target, source, step in zip(self, other, (1, 2, 2), strict=True):
            x = left_px // step
            x0, x1 = max(0, x), min(target.shape[1], x + source.shape[1])
            target[:, x0:x1] = source[:, x0 - x : x1 - x]


class SyntheticLine:
    """A line to try everything on. Any frame can be had by its number; asking in order is what is fast.

    The view is always 360 mm across the belt; `width_px` and `height_px` (multiples of 4) choose the picture's size, so
    that a picture of another shape sees more or less of the belt's length. `speed_px_s` is positive whatever way
    the belt runs.
    """

    def __init__(
        self,
        seed: int,
        width_px: int = 1280,
        height_px: int = 720,
        fps: float = 25.0,
        speed_px_s: float = 400.0,
        world: World = STANDARD,
        moves_right: bool = False,
    ) -> None:
        if width_px % 4 or height_px % 4 or min(width_px, height_px) < _CHUNK_PX:
            raise ValueError(f"width and height must be multiples of 4 from {_CHUNK_PX} px, not {width_px}x{height_px}")
        if fps <= 0 or speed_px_s <= 0:
            raise ValueError(f"fps and speed_px_s must be positive, not {fps} and {speed_px_s}")
        self.seed, self.world = seed, world
        self.width_px, self.height_px = width_px, height_px
        self.fps, self.speed_px_s, self.moves_right = fps, speed_px_s, moves_right
        px_per_mm = height_px / FIELD_OF_VIEW_MM[1]
        self.mm_per_px = 1.0 / px_per_mm
        self.scene = Scene(seed, world, px_per_mm, upwards=not moves_right)
        self._start_px = 2 * round(world.pitch_mm / 2 * px_per_mm / 2)
        rng = np.random.default_rng([seed, _LIGHT_SALT])
        self._light = PlanarLight(draw_light(rng, world, width_px, height_px))
        self._rail_px = 4 * round(RAIL_MM * px_per_mm / 4)
        self._rails = self._draw_rails(px_per_mm)
        self._noise = _noise_fields(seed, float(rng.uniform(*world.noise)), width_px, height_px)
        self._chunks: OrderedDict[int, _Planes] = OrderedDict()
        self._chunks_kept = width_px // _CHUNK_PX + 6

    @property
    def speed_mm_s(self) -> float:
        """Speed of the belt."""
        return self.speed_px_s * self.mm_per_px

    def frame(self, index: int) -> SyntheticFrame:
        """Frame number `index`, from 0."""
        return SyntheticFrame(self.i420(index), self.truth(index))

    def frames(self, count: int, first: int = 0) -> Iterator[SyntheticFrame]:
        """`count` frames in order."""
        return (self.frame(index) for index in range(first, first + count))

    def i420(self, index: int) -> U8:
        """The picture alone, (H * 3 / 2, W) uint8."""
        belt = self._belt(self.left_px(index))
        height, width = self.height_px, self.width_px
        rng = np.random.default_rng([self.seed, _FRAME_SALT, index])
        picture: U8 = np.empty((height * 3 // 2, width), np.uint8)
        lit = self._light.luma(belt.y, gain=float(rng.uniform(0.99, 1.01)))
        picture[:height] = self._add_noise(lit, rng)
        chroma = picture[height:].reshape(2, height // 2, width // 2)
        chroma[0], chroma[1] = self._light.chroma(belt.u), self._light.chroma(belt.v)
        return picture

    def truth(self, index: int) -> FrameTruth:
        """What the frame shows, without drawing it."""
        left_px = self.left_px(index)
        parts: list[PartTruth] = []
        defects: list[DefectTruth] = []
        for part in self.scene.parts_between(left_px, left_px + self.width_px):
            if (seen := self._seen(part.stamp, left_px)) is not None:
                parts.append(PartTruth(part.kind, *seen, part_id=part.index))
            for number, defect in enumerate(part.defects):
                if (seen := self._seen(defect.stamp, left_px)) is not None:
                    identity = part.index * _DEFECTS_A_PART + number
                    defects.append(DefectTruth(defect.name, *seen, defect_id=identity, part_id=part.index))
        parts.sort(key=lambda truth: truth.part_id)
        defects.sort(key=lambda truth: truth.defect_id)
        return FrameTruth(index, tuple(parts), tuple(defects))

    def passed_defects(self, index: int) -> list[PassedObject]:
        """Every defect of which an earlier frame showed something and frame `index` shows nothing any more."""
        found = [
            PassedObject(part.index * _DEFECTS_A_PART + number, part.index, defect.name, *self._lifetime(defect.stamp))
            for part in self._parts_until(index)
            for number, defect in enumerate(part.defects)
        ]
        return [passed for passed in found if passed.last_index < index]

    def entered_parts(self, index: int) -> list[EnteredPart]:
        """Every part of which frame `index` or an earlier one shows something, in order."""
        direction = -1 if self.moves_right else 1
        return [
            EnteredPart(
                part.index,
                bool(part.defects),
                self._start_px + direction * (part.stamp.left_px + part.stamp.right_px) / 2,
            )
            for part in self._parts_until(index)
        ]

    def _seen(self, stamp: Stamp, left_px: int) -> tuple[Box, float, int, Stamp, int, tuple[int, int]] | None:
        """The fields that all truth shares, for a picture whose left edge is at belt column `left_px`."""
        x, shape = stamp.left_px - left_px, (self.height_px, self.width_px)
        clipped = clip(stamp, x, stamp.top_px, shape)
        if clipped is None:
            return None
        box, area_px = clipped
        return box, area_px / stamp.area_px, area_px, stamp, x, shape

    def _parts_until(self, index: int) -> Iterator[PlacedPart]:
        """Parts in order of entering, to the last that an earlier frame than `index` could have shown."""
        for number in itertools.count():
            part = self.scene.part(number)
            if self._lifetime(part.stamp)[0] > index:
                return
            yield part

    def _travel_px(self, index: int) -> int:
        """How far the belt has moved since frame 0: whole chroma pixels, so that planes are cut and not resampled."""
        return 2 * round(index * self.speed_px_s / self.fps / 2)

    def left_px(self, index: int) -> int:
        """Belt column at the picture's left edge. Frame 0 shows an empty belt, the first part just out of sight."""
        travel_px = self._travel_px(index)
        return self._start_px - travel_px if self.moves_right else travel_px - self._start_px - self.width_px

    def _lifetime(self, stamp: Stamp) -> tuple[int, int]:
        """First and last frame that show something of the object."""
        front_px, back_px = (-stamp.right_px, -stamp.left_px) if self.moves_right else (stamp.left_px, stamp.right_px)
        entered = self._index_of_travel(self._start_px + front_px + 1)
        gone = self._index_of_travel(self._start_px + self.width_px + back_px)
        return entered, gone - 1

    def _index_of_travel(self, travel_px: int) -> int:
        """First frame (from 0) by which the belt has moved at least this far."""
        index = max(0, int(travel_px * self.fps / self.speed_px_s) - 2)
        while self._travel_px(index) < travel_px:
            index += 1
        return index

    def _belt(self, left_px: int) -> _Planes:
        """Unlit planes of what is under the camera, rails included."""
        belt = _Planes.empty(self.height_px, self.width_px)
        first, last = left_px // _CHUNK_PX, (left_px + self.width_px - 1) // _CHUNK_PX
        for number in range(first, last + 1):
            belt.paste(self._chunk(number), number * _CHUNK_PX - left_px)
        # One chunk ahead of need, so that its cost is spread over the frames before it.
        self._chunk(first - 1 if self.moves_right else last + 1)
        rail, height = self._rail_px, self.height_px
        for plane, rails, step in zip(belt, self._rails, (1, 2, 2), strict=True):
            for rows in (np.s_[: rail // step], np.s_[(height - rail) // step :]):
                plane[rows] = rails[rows]
        return belt

    def _chunk(self, number: int) -> _Planes:
        if number not in self._chunks:
            start_px = number * _CHUNK_PX
            self._chunks[number] = _Planes.of_bgr(self.scene.render(start_px, start_px + _CHUNK_PX))
            if len(self._chunks) > self._chunks_kept:
                self._chunks.popitem(last=False)
        return self._chunks[number]

    def _add_noise(self, luma: U8, rng: np.random.Generator) -> U8:
        brighter, darker = self._noise
        y, x = (int(v) for v in rng.integers(0, _NOISE_MARGIN_PX, 2))
        piece = np.s_[y : y + self.height_px, x : x + self.width_px]
        return np.asarray(cv2.subtract(cv2.add(luma, brighter[piece]), darker[piece]), np.uint8)

    def _draw_rails(self, px_per_mm: float) -> _Planes:
        picture = np.zeros((self.height_px, self.width_px, 3), np.uint8)
        draw_rails(picture, px_per_mm)
        return _Planes.of_bgr(picture)


def _noise_fields(seed: int, sigma: float, width_px: int, height_px: int) -> tuple[U8, U8]:
    """What the sensor's noise adds and what it takes away: two pictures, cut at a random place for each frame."""
    shape = (height_px + _NOISE_MARGIN_PX, width_px + _NOISE_MARGIN_PX)
    rng = np.random.default_rng([seed, _NOISE_SALT])
    noise = np.round(rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma))
    return np.maximum(noise, 0).astype(np.uint8), np.maximum(-noise, 0).astype(np.uint8)
