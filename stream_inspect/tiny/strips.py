"""Strips of belt, from which training crops its pictures: rendering is expensive, cropping is nearly free."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from stream_inspect.sim.belt import draw_rails
from stream_inspect.sim.scene import Scene
from stream_inspect.sim.truth import Stamp, stamp_of
from stream_inspect.sim.world import World
from stream_inspect.tiny.geometry import STRIP_PX_PER_MM
from stream_inspect.tiny.vocabulary import CLASS_NAMES

U8 = npt.NDArray[np.uint8]

_PARTS = 4
"""Parts on a strip."""


@dataclass(frozen=True, slots=True, eq=False)
class StripObject:
    """A defect, part or label; the stamp's corner is in pixels of the strip."""

    class_number: int
    stamp: Stamp


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A piece of belt with its rails, unlit, and everything on it."""

    bgr: U8
    """(h, w, 3) uint8 at `STRIP_PX_PER_MM`"""
    objects: tuple[StripObject, ...]
    """Parts first, then labels, then defects: what comes later lies on top."""


def draw_strip(seed: int, world: World, shrink: float = 1.0) -> Strip:
    """Draw a line's first parts. `shrink` > 1 draws finer and averages, as a camera of higher resolution does."""
    fine = draw_fine(seed, world, shrink)
    if shrink == 1.0:
        return fine
    size = (round(fine.bgr.shape[1] / shrink), round(fine.bgr.shape[0] / shrink))
    picture = np.asarray(cv2.resize(fine.bgr, size, interpolation=cv2.INTER_AREA), np.uint8)
    return Strip(picture, tuple(StripObject(o.class_number, _shrunk(o.stamp, shrink)) for o in fine.objects))


def draw_fine(seed: int, world: World, fineness: float) -> Strip:
    """Draw a line's first parts at `fineness` times the usual scale."""
    scene = Scene(seed, world, STRIP_PX_PER_MM * fineness)
    start_px = round(-world.pitch_mm / 2 * scene.px_per_mm)
    stop_px = start_px + round(world.pitch_mm * _PARTS * scene.px_per_mm)
    picture = np.ascontiguousarray(scene.render(start_px, stop_px))
    draw_rails(picture, scene.px_per_mm, float(np.random.default_rng(seed).uniform(0, 160)))
    layers: tuple[list[StripObject], list[StripObject], list[StripObject]] = ([], [], [])
    for part in scene.parts_between(start_px, stop_px):
        named = [(0, part.kind, part.stamp), *((1, label.name, label.stamp) for label in part.labels)]
        named += [(2, defect.name, defect.stamp) for defect in part.defects]
        for layer, name, stamp in named:
            moved = replace(stamp, left_px=stamp.left_px - start_px)
            layers[layer].append(StripObject(CLASS_NAMES.index(name), moved))
    return Strip(picture, (*layers[0], *layers[1], *layers[2]))


def _shrunk(stamp: Stamp, shrink: float) -> Stamp:
    """A stamp in pixels `shrink` times larger."""
    left, top = stamp.left_px, stamp.top_px
    x0, y0 = int(np.floor(left / shrink)), int(np.floor(top / shrink))
    x1 = int(np.ceil((left + stamp.mask.shape[1]) / shrink))
    y1 = int(np.ceil((top + stamp.mask.shape[0]) / shrink))
    place = np.array([[1 / shrink, 0, left / shrink - x0], [0, 1 / shrink, top / shrink - y0]])
    soft = cv2.blur(stamp.mask.astype(np.float32), (round(shrink), round(shrink)), borderType=cv2.BORDER_CONSTANT)
    small = cv2.warpAffine(soft, place, (x1 - x0, y1 - y0))
    moved = stamp_of(small > 0.4, x0, y0)
    return moved if moved is not None else Stamp(x0, y0, np.ones((1, 1), np.bool_), 1)


class StripPool:
    """Strips that are drawn during training; once there are `capacity`, new ones replace the oldest.

    Strip number n has seed `first_seed + n`, whenever it is drawn.
    """

    def __init__(self, world: World, first_seed: int, capacity: int, fine_share: float = 0.0) -> None:
        self.world = world
        self.strips: list[Strip] = []
        self.drawn = 0
        self._first_seed = first_seed
        self._capacity = capacity
        self._fine_share = fine_share

    def grow(self, count: int = 1) -> None:
        """Draw `count` more strips."""
        for _ in range(count):
            rng = np.random.default_rng([self._first_seed, self.drawn])
            shrink = 2.5 if rng.random() < self._fine_share else 1.0
            strip = draw_strip(self._first_seed + self.drawn, self.world, shrink)
            if len(self.strips) < self._capacity:
                self.strips.append(strip)
            else:
                self.strips[self.drawn % self._capacity] = strip
            self.drawn += 1

    def draw(self, rng: np.random.Generator) -> Strip:
        """Any strip of the pool."""
        return self.strips[int(rng.integers(len(self.strips)))]
