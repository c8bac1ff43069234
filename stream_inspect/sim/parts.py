"""The parts on the belt, drawn upright: what a good one looks like, markings and holes by design included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from stream_inspect.sim.canvas import Canvas, rounded_rectangle
from stream_inspect.sim.distractors import draw_glint, draw_label
from stream_inspect.sim.noise import noise_crop

U8 = npt.NDArray[np.uint8]
Colour = tuple[float, float, float]


@dataclass(slots=True)
class PartDrawing:
    """An upright part on its own canvas; all arrays share the canvas's height and width."""

    kind: str
    px_per_mm: float
    bgr: U8
    """(h, w, 3) uint8"""
    alpha: U8
    """(h, w) uint8: 255 where the part covers the belt; 0 in a washer's bore."""
    surface: U8
    """(h, w) uint8: 255 where the middle of a defect may lie (clear of edges, bores and screw holes)."""
    labels: list[U8] = field(default_factory=list)
    """(h, w) uint8 each: the labels stuck on the part, 255 where they cover it."""


def draw_part(kind: str, rng: np.random.Generator, px_per_mm: float) -> PartDrawing:
    """Draw one good part of the kind; sizes, colours and markings vary with the generator."""
    return _KINDS[kind](rng, px_per_mm)


def _shade(bgr: U8, relief: npt.NDArray[np.floating]) -> U8:
    """Brighten by `relief` per cent, (h, w)."""
    factor = np.float32(1.0) + relief.astype(np.float32) / np.float32(100.0)
    return np.clip(bgr * factor[:, :, None], 0, 255).astype(np.uint8)


def _shrunk(mask: U8, margin_mm: float, px_per_mm: float) -> U8:
    size = 2 * max(1, round(margin_mm * px_per_mm)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=(0,)), np.uint8)


def _finish(
    kind: str, rng: np.random.Generator, colour: Canvas, alpha: Canvas, margin_mm: float, label_share: float
) -> PartDrawing:
    """Add the markings that any part may carry, and find out where defects may lie."""
    scale = colour.px_per_mm
    drawing = PartDrawing(kind, scale, colour.pixels, alpha.pixels, _shrunk(alpha.pixels, margin_mm, scale))
    if rng.random() < label_share:
        label = draw_label(colour, rng)
        drawing.labels.append(np.minimum(label, alpha.pixels))
    if rng.random() < 0.3:
        draw_glint(colour.pixels, alpha.pixels, rng, scale)
    return drawing


def _metal_plate(rng: np.random.Generator, px_per_mm: float) -> PartDrawing:
    size = (float(rng.uniform(190, 215)), float(rng.uniform(135, 155)))
    outline = rounded_rectangle(size, float(rng.uniform(6, 16)))
    colour = Canvas((size[0] + 8, size[1] + 8), px_per_mm, 3)
    alpha = Canvas((size[0] + 8, size[1] + 8), px_per_mm)
    grey = float(rng.uniform(108, 152))
    colour.pixels[:] = np.asarray((grey * 1.03, grey, grey * 0.97), np.uint8)
    alpha.fill(outline, 255)
    colour.pixels = _shade(colour.pixels, _brushed(colour.pixels.shape[:2], rng, px_per_mm))
    colour.stroke(outline, (grey * 0.62,) * 3, 3.0, closed=True)
    colour.stroke(rounded_rectangle((size[0] - 5, size[1] - 5), 8), (min(255.0, grey * 1.25),) * 3, 1.6, closed=True)
    inset = float(rng.uniform(15, 19))
    for sign_x in (-1, 1):
        for sign_y in (-1, 1):
            _screw_hole(colour, (sign_x * (size[0] / 2 - inset), sign_y * (size[1] / 2 - inset)), grey)
    if rng.random() < 0.5:
        serial = f"SN{int(rng.integers(1000, 9999))}"
        place = (float(rng.uniform(-30, 30)), float(rng.uniform(-35, 35)))
        colour.text(place, serial, 11.0, (grey * 0.55,) * 3)
    return _finish("metal plate", rng, colour, alpha, 26.0, label_share=0.35)


def _brushed(shape: tuple[int, ...], rng: np.random.Generator, px_per_mm: float) -> npt.NDArray[np.float32]:
    grain = noise_crop("grain", px_per_mm, (shape[0], shape[1]), rng)
    length_px = max(3, round(26 * px_per_mm))
    lines = cv2.blur(grain, (length_px, 1))
    return np.asarray(lines * np.float32(4.0 / max(float(np.std(lines)), 1e-6)), np.float32)


def _screw_hole(colour: Canvas, centre: tuple[float, float], grey: float) -> None:
    # A machined hole: perfectly round, with a bright countersink. The defect "hole" is ragged and has no such ring.
    colour.disc(centre, 7.5, (min(255.0, grey * 1.3),) * 3)
    colour.disc(centre, 6.3, (grey * 0.7,) * 3)
    colour.disc(centre, 4.4, (32, 32, 32))


def _washer(rng: np.random.Generator, px_per_mm: float) -> PartDrawing:
    outer, inner = float(rng.uniform(78, 92)), float(rng.uniform(26, 34))
    colour = Canvas((2 * outer + 8, 2 * outer + 8), px_per_mm, 3)
    alpha = Canvas((2 * outer + 8, 2 * outer + 8), px_per_mm)
    grey = float(rng.uniform(98, 146))
    tint = rng.uniform(0.9, 1.0)
    colour.pixels[:] = np.asarray((grey * tint, grey, grey), np.uint8)
    colour.pixels = _shade(colour.pixels, _turned(colour, rng))
    alpha.disc((0, 0), outer, 255)
    alpha.disc((0, 0), inner, 0)
    for radius, factor, width in ((outer - 1, 0.6, 3.0), (outer - 5, 1.22, 2.2), (inner + 2, 0.65, 3.0)):
        colour.ring((0, 0), radius, (min(255.0, grey * factor),) * 3, width)
    return _finish("washer", rng, colour, alpha, 20.0, label_share=0.0)


def _turned(colour: Canvas, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """The shine of a surface turned on a lathe: bright sectors and concentric lines."""
    y_px, x_px = np.indices((colour.height_px, colour.width_px), dtype=np.float32)
    x_px -= colour.width_px / 2
    y_px -= colour.height_px / 2
    angle = np.arctan2(y_px, x_px)
    radius_mm = np.hypot(x_px, y_px) / colour.px_per_mm
    sectors = 9.0 * np.cos(2 * (angle - rng.uniform(0, np.pi)))
    return np.asarray(sectors + 2.5 * np.sin(radius_mm * 1.5), np.float32)


_CAP_COLOURS: Sequence[Colour] = (
    (48, 44, 190), (178, 92, 36), (72, 148, 54), (40, 182, 214), (60, 120, 222),
)  # fmt: skip


def _bottle_cap(rng: np.random.Generator, px_per_mm: float) -> PartDrawing:
    radius = float(rng.uniform(68, 82))
    colour = Canvas((2 * radius + 8, 2 * radius + 8), px_per_mm, 3)
    alpha = Canvas((2 * radius + 8, 2 * radius + 8), px_per_mm)
    paint = np.asarray(_CAP_COLOURS[int(rng.integers(len(_CAP_COLOURS)))]) * rng.uniform(0.88, 1.08)
    paint = np.clip(paint, 0, 235)
    colour.pixels[:] = paint.astype(np.uint8)
    alpha.disc((0, 0), radius, 255)
    teeth = int(rng.integers(30, 44))
    for tooth in range(teeth):
        angle = 2 * np.pi * tooth / teeth
        inner = (float(np.cos(angle)) * (radius - 9), float(np.sin(angle)) * (radius - 9))
        outer = (float(np.cos(angle)) * (radius + 1), float(np.sin(angle)) * (radius + 1))
        colour.stroke([inner, outer], paint * 0.55, 2.4)
    colour.ring((0, 0), radius - 10, np.minimum(paint * 1.3 + 12, 255), 3.0)
    colour.ring((0, 0), radius - 13, paint * 0.75, 1.6)
    grain = noise_crop("mottle", px_per_mm, (colour.height_px, colour.width_px), rng)
    colour.pixels = _shade(colour.pixels, 1.5 * grain)
    ink = tuple(float(c) for c in (np.minimum(paint * 1.5 + 40, 255) if paint.mean() < 130 else paint * 0.6))
    if rng.random() < 0.5:
        words = str(rng.choice(["COLA", "FIZZ", "AQUA", "MALT", "PULP"]))
        colour.text((0, float(rng.uniform(-20, 20))), words, 15.0, ink)
    return _finish("bottle cap", rng, colour, alpha, 26.0, label_share=0.0)


_BOARD_COLOURS: Sequence[Colour] = ((58, 104, 30), (118, 66, 24), (52, 92, 62), (92, 48, 30))


def _circuit_board(rng: np.random.Generator, px_per_mm: float) -> PartDrawing:
    size = (float(rng.uniform(180, 208)), float(rng.uniform(130, 150)))
    colour = Canvas((size[0] + 8, size[1] + 8), px_per_mm, 3)
    alpha = Canvas((size[0] + 8, size[1] + 8), px_per_mm)
    resist = np.asarray(_BOARD_COLOURS[int(rng.integers(len(_BOARD_COLOURS)))]) * rng.uniform(1.15, 1.45)
    colour.pixels[:] = resist.astype(np.uint8)
    outline = rounded_rectangle(size, 5.0)
    alpha.fill(outline, 255)
    _traces(colour, rng, size, resist)
    colour.stroke(outline, resist * 0.6, 2.0, closed=True)
    for sign_x in (-1, 1):
        for sign_y in (-1, 1):
            centre = (sign_x * (size[0] / 2 - 11), sign_y * (size[1] / 2 - 11))
            colour.disc(centre, 7.0, (70, 170, 198))
            colour.disc(centre, 4.0, (26, 26, 26))
    chips = int(rng.integers(2, 4))
    spots = rng.permutation(4)[:chips]
    for spot in spots:
        centre = ((-0.25 if spot % 2 else 0.25) * size[0], (-0.2 if spot < 2 else 0.2) * size[1])
        _chip(colour, rng, centre)
    return _finish("circuit board", rng, colour, alpha, 24.0, label_share=0.2)


def _traces(
    colour: Canvas, rng: np.random.Generator, size: tuple[float, float], resist: npt.NDArray[np.floating]
) -> None:
    copper = np.minimum(resist * 1.35 + 10, 255)
    for _ in range(int(rng.integers(9, 15))):
        x_mm, y_mm = rng.uniform(-0.44, 0.44, 2) * size
        run, rise = rng.uniform(20, 70), rng.uniform(-25, 25)
        points = [(x_mm, y_mm), (x_mm + run, y_mm), (x_mm + run + abs(rise), y_mm + rise)]
        half = np.array(size) * 0.455
        inside = [(float(x), float(y)) for x, y in np.clip(np.array(points), -half, half)]
        colour.stroke(inside, copper, 2.0)
        colour.disc(inside[0], 2.6, (120, 190, 206))


def _chip(colour: Canvas, rng: np.random.Generator, centre: tuple[float, float]) -> None:
    width, height = float(rng.uniform(26, 44)), float(rng.uniform(20, 30))
    for pin in np.linspace(-0.4, 0.4, int(rng.integers(5, 9))):
        for sign in (-1, 1):
            place = (centre[0] + float(pin) * width, centre[1] + sign * (height / 2 + 2))
            colour.box(place, (2.4, 6.0), (176, 184, 186))
    colour.box(centre, (width, height), (74, 72, 70))
    colour.disc((centre[0] - width / 2 + 5, centre[1] - height / 2 + 5), 1.8, (110, 110, 110))


_KINDS: dict[str, Callable[[np.random.Generator, float], PartDrawing]] = {
    "metal plate": _metal_plate,
    "washer": _washer,
    "bottle cap": _bottle_cap,
    "circuit board": _circuit_board,
}
