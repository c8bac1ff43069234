"""Defects as paint: each is a colour and the alpha with which it is blended, so that its mask is exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stream_inspect.sim.canvas import Canvas, Point
from stream_inspect.sim.noise import F32, noise_crop

U8 = npt.NDArray[np.uint8]

MASK_ALPHA = 0.2
"""A pixel belongs to a defect's mask where at least this share of its colour is the defect's."""

ALLOWED: dict[str, tuple[str, ...]] = {
    "metal plate": ("scratch", "crack", "hole", "rust", "stain", "dent"),
    "washer": ("scratch", "crack", "rust", "stain", "dent"),
    "bottle cap": ("scratch", "crack", "hole", "stain", "dent"),
    "circuit board": ("scratch", "hole", "rust", "stain"),
}
"""What a kind of part can have: plastic does not rust, boards neither dent nor crack, a washer has its bore."""


@dataclass(slots=True)
class DefectPaint:
    """A defect on a patch of its own."""

    bgr: U8
    """(h, w, 3) uint8: its colour, also outside its mask."""
    alpha: F32
    """(h, w) float32 in 0..1: the share of its colour in each pixel."""


@dataclass(frozen=True, slots=True)
class DefectStyle:
    """What a defect's look depends on apart from chance."""

    part_kind: str
    base_bgr: tuple[float, float, float]
    """Mean colour of the part where the defect lies."""
    contrast: float
    thin_scratch: bool


def draw_defect(name: str, rng: np.random.Generator, px_per_mm: float, style: DefectStyle) -> DefectPaint:
    """Draw one defect, upright, in the middle of a patch just large enough."""
    paint = _KINDS[name](rng, px_per_mm, style)
    paint.alpha *= np.float32(style.contrast)
    return paint


def _room(rng: np.random.Generator, style: DefectStyle, low_mm: float, high_mm: float) -> float:
    """A length for the defect; a washer's ring is narrow, so what lies on it is smaller."""
    shrink = 0.72 if style.part_kind == "washer" else 1.0
    return float(rng.uniform(low_mm, high_mm)) * shrink


def _turned(points: list[Point], angle: float) -> list[Point]:
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return [(x * cos - y * sin, x * sin + y * cos) for x, y in points]


def _scratch(rng: np.random.Generator, px_per_mm: float, style: DefectStyle) -> DefectPaint:
    length = _room(rng, style, 54, 96)
    angle = float(rng.uniform(0, np.pi))
    bend = float(rng.uniform(-0.10, 0.10)) * length
    strokes = 1 if style.thin_scratch else int(rng.integers(2, 5))
    width = float(rng.uniform(3.6, 4.8)) if style.thin_scratch else float(rng.uniform(4.2, 5.6))
    cover = Canvas((length + 24, length + 24), px_per_mm)
    gap = width + float(rng.uniform(2.6, 3.8))
    for stroke in range(strokes):
        y_mm = (stroke - (strokes - 1) / 2) * gap
        start, end = -length / 2 + rng.uniform(0, 0.16) * length, length / 2 - rng.uniform(0, 0.16) * length
        xs = np.linspace(start, end, 9)
        points = [(float(x), float(y_mm + bend * (1 - (2 * x / length) ** 2))) for x in xs]
        cover.stroke(_turned(points, angle), 255, width)
    return _groove(cover.pixels, px_per_mm, width)


def _groove(cover: U8, px_per_mm: float, width_mm: float) -> DefectPaint:
    """A scratch has a bright floor and dark flanks, so that it shows on bright and on dark parts."""
    flanks = cv2.GaussianBlur(cover, (0, 0), max(0.4, 0.3 * width_mm * px_per_mm)).astype(np.float32)
    floor = cover.astype(np.float32)[:, :, None] / np.float32(255)
    bgr = floor * np.float32(250) + (1 - floor) * np.float32(34)
    alpha = np.maximum(cover, np.minimum(flanks * np.float32(1.2), 150)) / np.float32(255)
    return DefectPaint(np.repeat(bgr.astype(np.uint8), 3, axis=2), np.asarray(alpha, np.float32))


def _crack(rng: np.random.Generator, px_per_mm: float, style: DefectStyle) -> DefectPaint:
    length = _room(rng, style, 60, 98)
    width = float(rng.uniform(4.4, 6.4))
    cover = Canvas((length + 24, length + 24), px_per_mm)
    angle = float(rng.uniform(0, 2 * np.pi))
    spine = _jagged(rng, (-length / 2, 0.0), 0.0, length, steps=8)
    cover.stroke(_turned(spine, angle), 255, width)
    for _ in range(int(rng.integers(1, 4))):
        root = spine[int(rng.integers(2, 7))]
        heading = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.1))
        branch = _jagged(rng, root, heading, length * float(rng.uniform(0.18, 0.34)), steps=4)
        cover.stroke(_turned(branch, angle), 255, width * 0.75)
    return _flat(cover.pixels, (16, 15, 15))


def _jagged(rng: np.random.Generator, start: Point, heading: float, length: float, steps: int) -> list[Point]:
    points = [start]
    for _ in range(steps):
        turn = heading + float(rng.uniform(-0.75, 0.75))
        step = length / steps * float(rng.uniform(0.8, 1.2))
        x, y = points[-1]
        points.append((x + step * float(np.cos(turn)), y + step * float(np.sin(turn))))
    return points


def _flat(cover: U8, bgr: tuple[float, float, float]) -> DefectPaint:
    alpha = cover.astype(np.float32) / np.float32(255)
    return DefectPaint(np.broadcast_to(np.asarray(bgr, np.uint8), (*cover.shape, 3)).copy(), alpha)


def _blob(rng: np.random.Generator, px_per_mm: float, size_mm: float, lobes: float, soft_mm: float) -> F32:
    """Alpha of an irregular disc about `size_mm` across; `lobes` is how far its rim wanders, `soft_mm` its edge."""
    cover = Canvas((size_mm * 1.5 + 8, size_mm * 1.5 + 8), px_per_mm)
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    rim = np.ones(48)
    for order in range(2, 6):
        rim += lobes / order * float(rng.normal()) * np.cos(order * angles + float(rng.uniform(0, 2 * np.pi)))
    stretch = float(rng.uniform(0.75, 1.0))
    radius = size_mm / 2 * np.clip(rim, 0.55, 1.45)
    points = [(float(r * np.cos(a)), float(r * stretch * np.sin(a))) for r, a in zip(radius, angles, strict=True)]
    cover.fill(_turned(points, float(rng.uniform(0, np.pi))), 255)
    soft = cv2.GaussianBlur(cover.pixels, (0, 0), max(0.3, soft_mm * px_per_mm))
    return np.asarray(soft, np.float32) / np.float32(255)


def _hole(rng: np.random.Generator, px_per_mm: float, style: DefectStyle) -> DefectPaint:
    size = _room(rng, style, 36, 60)
    alpha = _blob(rng, px_per_mm, size, lobes=0.22, soft_mm=0.5)
    depth = np.clip((alpha - 0.5) * 2, 0, 1)
    inner = cv2.GaussianBlur(depth, (0, 0), max(0.5, 2.2 * px_per_mm))
    rim = np.clip(1.35 - inner * 1.6, 0, 1)[:, :, None]
    lip = np.minimum(np.asarray(style.base_bgr) * 1.25 + 25, 255)
    bgr = (rim * lip + (1 - rim) * np.asarray((14.0, 13.0, 12.0))).astype(np.uint8)
    return DefectPaint(bgr, alpha)


def _rust(rng: np.random.Generator, px_per_mm: float, style: DefectStyle) -> DefectPaint:
    size = _room(rng, style, 42, 84)
    alpha = _blob(rng, px_per_mm, size, lobes=0.3, soft_mm=1.6)
    mottle = noise_crop("mottle", px_per_mm, alpha.shape, rng)
    alpha = np.asarray(np.clip(alpha * 1.5 - 0.25 + 0.16 * mottle * (alpha > 0.05), 0, 0.95), np.float32)
    alpha = _largest_piece(alpha)
    shade = np.clip(1.0 + 0.22 * mottle, 0.5, 1.5)[:, :, None]
    bgr = np.clip(np.asarray((26.0, 70.0, 150.0)) * rng.uniform(0.85, 1.15) * shade, 0, 255).astype(np.uint8)
    return DefectPaint(bgr, alpha)


_STAIN_COLOURS = ((190, 40, 30), (150, 30, 160), (50, 170, 40), (200, 170, 20))


def _stain(rng: np.random.Generator, px_per_mm: float, style: DefectStyle) -> DefectPaint:
    size = _room(rng, style, 38, 80)
    alpha = np.minimum(_blob(rng, px_per_mm, size, lobes=0.34, soft_mm=1.0), np.float32(0.92))
    bgr = np.broadcast_to(np.asarray(_stain_colour(rng, style), np.uint8), (*alpha.shape, 3)).copy()
    return DefectPaint(bgr, alpha)


def _stain_colour(rng: np.random.Generator, style: DefectStyle) -> tuple[int, int, int]:
    """One of the liquids of the plant that shows on this part."""
    base = np.asarray(style.base_bgr)
    seen = [c for c in _STAIN_COLOURS if np.abs(np.asarray(c) - base).max() > 70]
    return seen[int(rng.integers(len(seen)))]


def _dent(rng: np.random.Generator, px_per_mm: float, style: DefectStyle) -> DefectPaint:
    radius = _room(rng, style, 25, 40)
    side = 2 * radius + 14
    canvas = Canvas((side, side), px_per_mm)
    y_mm, x_mm = (np.indices((canvas.height_px, canvas.width_px), dtype=np.float32) + 0.5) / np.float32(px_per_mm)
    angle, stretch = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.75, 1.0))
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    x_mm, y_mm = x_mm - side / 2, y_mm - side / 2
    along = (x_mm * cos + y_mm * sin) / radius
    across = (y_mm * cos - x_mm * sin) / (radius * stretch)
    distance = np.sqrt(along**2 + across**2)
    inside = np.clip((1 - distance) * radius / 2.5, 0, 1)
    lit = np.clip(0.5 + 0.75 * along, 0, 1)[:, :, None]
    base = np.asarray(style.base_bgr)
    bgr = lit * np.minimum(base * 1.45 + 45, 255) + (1 - lit) * (base * 0.28)
    alpha = inside * np.clip(0.42 + 0.65 * np.abs(along), 0, 0.95)
    return DefectPaint(bgr.astype(np.uint8), np.asarray(alpha, np.float32))


def _largest_piece(alpha: F32) -> F32:
    """Drop crumbs that a threshold broke off: one defect is one piece."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats((alpha > 0.02).astype(np.uint8))
    if count <= 2:
        return alpha
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return np.asarray(np.where(pieces == largest, alpha, 0), np.float32)


_KINDS: dict[str, Callable[[np.random.Generator, float, DefectStyle], DefectPaint]] = {
    "scratch": _scratch,
    "crack": _crack,
    "hole": _hole,
    "rust": _rust,
    "stain": _stain,
    "dent": _dent,
}
