"""Pictures of a moving belt, drawn or from the sample clips, with their truth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from stream_inspect.config.models import BeltConfig
from stream_inspect.picture import Picture, UInt8Array

WIDTH_PX, HEIGHT_PX, FPS = 640, 360, 25.0
TEXTURES = ("rubber", "weave", "ribbed", "modular")
CLIP_PX = 12
"""The sample clips move so many pixels a frame, from left to right."""
CLIPS = ("virtual_conveyor_cookies", "virtual_conveyor_pcb")

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def belt(px_per_frame: float = 8.0, direction: str = "left_to_right", mm_per_px: float = 1.0) -> BeltConfig:
    return BeltConfig(direction=direction, speed_mm_s=px_per_frame * mm_per_px * FPS, mm_per_px=mm_per_px)


def texture(kind: str, length_px: int = 3000, seed: int = 1) -> F32:
    """A belt from above, (HEIGHT_PX, length) grey levels: a pattern, and a little of what makes each place its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT_PX, :length_px].astype(np.float32)
    pattern = {
        "rubber": np.zeros_like(x),
        "weave": 8 * np.sin(2 * np.pi * x / 9) * np.sin(2 * np.pi * y / 9),
        "ribbed": 14 * np.maximum(np.sin(2 * np.pi * (x + y) / 24), 0),
        "modular": np.where((x % 44 < 2) | ((y + 30 * (x // 44)) % 60 < 2), -34.0, 0.0),
    }[kind]
    fine = cv2.GaussianBlur(rng.normal(0, 8, x.shape).astype(np.float32), (0, 0), 1.2)
    coarse = cv2.GaussianBlur(rng.normal(0, 60, x.shape).astype(np.float32), (0, 0), 7)
    return np.asarray(90 + pattern + fine + coarse, np.float32)


def grey(luma: npt.ArrayLike, noise: float = 2.0, seed: int = 0) -> Picture:
    """A colourless picture with the sensor's noise, which is another one for each seed."""
    level = np.asarray(luma, np.float32)
    height, width = level.shape
    i420: UInt8Array = np.full((height * 3 // 2, width), 128, dtype=np.uint8)
    noisy = level + np.random.default_rng(seed).normal(0, noise, level.shape)
    i420[:height] = np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
    return Picture(np.asarray(i420, np.uint8), width, height)


def views(lying: F32, places_px: Iterable[int]) -> Iterator[Picture]:
    """The belt, moved to the right by each of these pixels, under light that falls off to one side."""
    light = np.linspace(1.0, 0.8, WIDTH_PX, dtype=np.float32)
    for number, place_px in enumerate(places_px):
        start = lying.shape[1] - WIDTH_PX - place_px
        yield grey(lying[:, start : start + WIDTH_PX] * light, seed=number)


def clip(sample_data: Path, name: str, first: int = 0, count: int | None = None) -> Iterator[Picture]:
    """Frames of a sample clip."""
    with av.open(str(sample_data / name / "clip.mp4")) as container:
        for frame in islice(container.decode(video=0), first, None if count is None else first + count):
            yield Picture(np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8), frame.width, frame.height)


@dataclass(frozen=True, slots=True)
class Mounting:
    """A camera that sees the sample clips' belt another way: `to_px` maps their pixels, which are mm, to its own."""

    name: str
    to_px: F64
    belt: BeltConfig

    def picture(self, straight: Picture) -> Picture:
        """What it shows of a clip's frame; black beyond."""
        width, height = straight.width_px, straight.height_px
        halved = np.diag([0.5, 0.5, 1]) @ self.to_px @ np.diag([2, 2, 1])
        planes = [straight.luma, *straight.i420[height:].reshape(2, height // 2, width // 2)]
        seen = [
            cv2.warpPerspective(
                plane,
                CENTRED @ matrix @ np.linalg.inv(CENTRED),
                plane.shape[::-1],
                flags=cv2.INTER_AREA,
                borderValue=level,
            )
            for plane, matrix, level in zip(planes, (self.to_px, halved, halved), (16, 128, 128), strict=True)
        ]
        i420 = np.concatenate([plane.ravel() for plane in seen]).reshape(straight.i420.shape)
        return Picture(np.asarray(i420, np.uint8), width, height)

    def corners(self, box: tuple[float, float, float, float]) -> tuple[tuple[float, float], ...]:
        """Where the corners of a clip's box lie."""
        left, top, right, bottom = box
        corners = np.array([[[left, top], [right, top], [right, bottom], [left, bottom]]], np.float64)
        return tuple((float(x), float(y)) for x, y in cv2.perspectiveTransform(corners, self.to_px)[0])


CENTRED = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
"""From pixels to indices, which are whole numbers in the middles of pixels."""
TURNED_DEG = 30.0


def turned() -> Mounting:
    """A camera that is turned against the belt."""
    to_px = np.vstack([cv2.getRotationMatrix2D((640, 360), -TURNED_DEG, 1), [0, 0, 1]])
    return Mounting("turned", to_px, BeltConfig(direction_deg=TURNED_DEG, speed_mm_s=CLIP_PX * FPS, mm_per_px=1))


def slanted() -> Mounting:
    """A camera that looks at the belt from one side and along it."""
    ends = np.array([[120, 60], [1230, 150], [1270, 640], [10, 700]], np.float32)
    to_px = cv2.getPerspectiveTransform(np.array([[0, 0], [1280, 0], [1280, 720], [0, 720]], np.float32), ends)
    corners = cv2.perspectiveTransform(
        np.array([[[200, 100], [1000, 100], [1000, 600], [200, 600]]], np.float64), to_px
    )
    rectangle = BeltConfig(corners_px=corners[0].tolist(), corners_mm=(800, 500), speed_mm_s=CLIP_PX * FPS)
    return Mounting("slanted", np.asarray(to_px, np.float64), rectangle)


MOUNTINGS = (turned(), slanted())


@dataclass(frozen=True, slots=True)
class TruePart:
    """A part as one frame shows it."""

    part_id: str
    box_xyxy_px: tuple[float, float, float, float]
    whole: bool


def clip_truth(sample_data: Path, name: str) -> list[list[TruePart]]:
    """The parts in each frame of a sample clip."""
    lines = (sample_data / name / "frames.jsonl").read_text().splitlines()
    return [
        [
            TruePart(part["part_id"], tuple(part["xyxy"]), part["visible_fraction"] == 1)
            for part in json.loads(line)["parts"]
        ]
        for line in lines
    ]
