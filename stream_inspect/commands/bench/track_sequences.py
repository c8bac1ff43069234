"""Generated sequences for linking: parts on a belt, what a camera judges of them, and which box shows which part.

Two lanes of equal parts move from left to right by 0.1 to 4 of their widths between two judged frames, at a random or
at a regular pitch of 1.5 widths at least; one box in ten is missed, and each frame has a false one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_inspect.boxes import clip
from stream_inspect.messages import Box

WIDTH_PX, HEIGHT_PX, SIZE_PX = 1280, 720, 48.0
RATE_HZ = 5.0
DISPLACEMENTS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""In widths of a part, from one judged frame to the next. 1.5 and 3 are whole pitches: each part lies where its
neighbour was."""
PITCHES = ("random", "regular")
SMALLEST_PITCH = 1.5
"""In widths, from one part to the next of its lane: at a regular pitch always, at a random one at least."""
MISS, JITTER_PX = 0.1, 2.0
SHOWN_FROM_PX = 8.0
"""A part is in the picture from so much of it on."""
FALSE = -1
"""The part of a false box."""


@dataclass(frozen=True, slots=True)
class Look:
    """A judged frame. `truth` are the parts in the picture with their true boxes; `parts` says which part each of
    `boxes` shows."""

    pts_s: float
    truth: list[tuple[int, Box]]
    boxes: list[Box]
    scores: list[float]
    parts: list[int]


@dataclass(frozen=True, slots=True)
class Run:
    """The judged frames of one run."""

    displacement: float
    pitch: str
    seed: int
    looks: list[Look]

    @property
    def name(self) -> str:
        return f"{self.pitch}-{self.displacement:g}-{self.seed}"

    @property
    def speed_px_s(self) -> float:
        """The true speed."""
        return self.displacement * SIZE_PX * RATE_HZ


def generate(displacement: float, pitch: str, seed: int, frames: int | None = None) -> Run:
    """One run; its length is such that parts of all displacements are in some tens of frames or by some hundreds."""
    rng = random.Random(seed)
    frames = frames or round(min(150.0, max(50.0, 75 / displacement**0.5)))
    step_px = displacement * SIZE_PX
    places = _places(rng, WIDTH_PX + frames * step_px, SMALLEST_PITCH, is_random=pitch == "random")
    looks = [_look(rng, places, number, step_px, MISS, 1) for number in range(frames)]
    return Run(displacement, pitch, seed, looks)


def twenty_boxes() -> Run:
    """A run with 20 parts in each picture, for times: at a displacement at which every tracker can follow."""
    rng = random.Random(1)
    displacement, frames = 0.25, 300
    step_px = displacement * SIZE_PX
    places = _places(rng, WIDTH_PX + frames * step_px, 2 * WIDTH_PX / SIZE_PX / 20, is_random=False)
    looks = [_look(rng, places, number, step_px, 0.0, 0) for number in range(frames)]
    return Run(displacement, "twenty", 1, looks)


def _places(rng: random.Random, way_px: float, pitch: float, *, is_random: bool) -> list[tuple[float, float]]:
    """(left, top) of each part at the beginning."""
    places = []
    for lane_px in (200.0, 500.0):
        left = WIDTH_PX - SIZE_PX
        while left > -way_px:
            places.append((left, lane_px + (rng.uniform(-60, 60) if is_random else 0.0)))
            left -= SIZE_PX * (pitch + (rng.expovariate(0.5) if is_random else 0.0))
    return places


def _look(
    rng: random.Random, places: Sequence[tuple[float, float]], number: int, step_px: float, miss: float, false: int
) -> Look:
    truth, boxes, parts = [], [], []
    for part, (start, top) in enumerate(places):
        left = start + number * step_px
        if left + SIZE_PX < SHOWN_FROM_PX or left > WIDTH_PX - SHOWN_FROM_PX:
            continue
        sides = (left, top, left + SIZE_PX, top + SIZE_PX)
        truth.append((part, _clipped(sides)))
        if rng.random() >= miss:
            boxes.append(_clipped([side + rng.gauss(0, JITTER_PX) for side in sides]))
            parts.append(part)
    for _ in range(false):
        x, y = rng.uniform(0, WIDTH_PX - SIZE_PX), rng.uniform(0, HEIGHT_PX - SIZE_PX)
        boxes.append((x, y, x + SIZE_PX * rng.uniform(0.5, 1.0), y + SIZE_PX * rng.uniform(0.5, 1.0)))
        parts.append(FALSE)
    return Look(number / RATE_HZ, truth, boxes, [rng.uniform(0.7, 1.0) for _ in boxes], parts)


def _clipped(sides: Iterable[float]) -> Box:
    left, top, right, bottom = sides
    return clip((left, top, right, bottom), float(WIDTH_PX), float(HEIGHT_PX))


# --- MOT format: frame from 1, id, left, top, width, height, confidence, class -----------------------------------


def write_truth(sequence: Run, path: Path) -> None:
    """What is in each picture."""
    _write(
        path, ((number, part + 1, box, 1.0) for number, look in enumerate(sequence.looks) for part, box in look.truth)
    )


def write_boxes(sequence: Run, path: Path) -> None:
    """What a tracker is given, without ids."""
    _write(
        path,
        (
            (number, -1, box, score)
            for number, look in enumerate(sequence.looks)
            for box, score in zip(look.boxes, look.scores, strict=True)
        ),
    )


def write_tracks(sequence: Run, tracks: Sequence[Sequence[int]], path: Path) -> None:
    """What a tracker has made of it: the track of each box, less than 0 for none."""
    _write(
        path,
        (
            (number, track + 1, box, 1.0)
            for number, (look, of) in enumerate(zip(sequence.looks, tracks, strict=True))
            for box, track in zip(look.boxes, of, strict=True)
            if track >= 0
        ),
    )


def _write(path: Path, rows: Iterable[tuple[int, int, Box, float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        f"{number + 1},{identity},{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f},{confidence:.3f},1\n"
        for number, identity, (left, top, right, bottom), confidence in rows
    )
    path.write_text("".join(lines), encoding="utf-8")
