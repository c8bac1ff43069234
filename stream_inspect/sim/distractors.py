"""Things on a part that are not defects: labels, barcodes, glints. A detector must learn to leave them alone."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stream_inspect.sim.canvas import Canvas

U8 = npt.NDArray[np.uint8]

_PAPERS = ((70, 205, 242), (150, 190, 245), (80, 222, 205))
"""Yellow, pale orange and lime."""


def draw_label(colour: Canvas, rng: np.random.Generator) -> U8:
    """Stick a paper label with print or a barcode on the part; returns its cover, (h, w) uint8."""
    size = (float(rng.uniform(52, 72)), float(rng.uniform(30, 40)))
    room_x = colour.width_px / colour.px_per_mm / 2 - size[0] / 2 - 14
    room_y = colour.height_px / colour.px_per_mm / 2 - size[1] / 2 - 14
    centre = (float(rng.uniform(-room_x, room_x)), float(rng.uniform(-room_y, room_y)))
    # Coloured paper: at the detector's scale white paper with black bars is a broad scratch, for us as well.
    paper = np.asarray(_PAPERS[int(rng.integers(len(_PAPERS)))]) * rng.uniform(0.92, 1.05)
    colour.box((centre[0] + 1, centre[1] + 1), size, (90, 90, 90))
    colour.box(centre, size, np.minimum(paper, 255))
    if rng.random() < 0.5:
        _barcode(colour, rng, centre, size)
    else:
        _print(colour, rng, centre, size)
    cover = Canvas.like(colour)
    cover.box(centre, size, 255)
    return cover.pixels


def _barcode(colour: Canvas, rng: np.random.Generator, centre: tuple[float, float], size: tuple[float, float]) -> None:
    x_mm = -size[0] / 2 + 5
    while x_mm < size[0] / 2 - 6:
        width_mm = float(rng.choice([1.2, 1.8, 2.8]))
        colour.box((centre[0] + x_mm + width_mm / 2, centre[1] - 2), (width_mm, size[1] - 13), (28, 28, 28))
        x_mm += width_mm + float(rng.choice([1.4, 2.2]))
    colour.text((centre[0], centre[1] + size[1] / 2 - 4.5), f"{int(rng.integers(10**6, 10**7))}", 5.0, (40, 40, 40))


def _print(colour: Canvas, rng: np.random.Generator, centre: tuple[float, float], size: tuple[float, float]) -> None:
    heading = str(rng.choice(["QC OK", "LOT 7", "MODEL A", "REV C", "24 V"]))
    colour.text((centre[0], centre[1] - size[1] / 4), heading, 9.0, (36, 36, 36))
    for line in range(2):
        y_mm = centre[1] + 3 + 7 * line
        length = size[0] * float(rng.uniform(0.5, 0.8))
        colour.box((centre[0] - size[0] * 0.42 + length / 2, y_mm), (length, 2.0), (95, 95, 95))


def draw_glint(bgr: U8, alpha: U8, rng: np.random.Generator, px_per_mm: float) -> None:
    """Lay a soft reflection over the part, in place; it has no edge, which is how it differs from a stain."""
    height, width = alpha.shape
    cover = np.zeros((height, width), np.uint8)
    centre = (round(width * rng.uniform(0.25, 0.75)), round(height * rng.uniform(0.25, 0.75)))
    axes = (round(rng.uniform(16, 40) * px_per_mm), round(rng.uniform(6, 12) * px_per_mm))
    strength = float(rng.uniform(60, 120))
    cv2.ellipse(cover, centre, axes, float(rng.uniform(0, 180)), 0, 360, (strength,), -1)
    soft = cv2.GaussianBlur(cover, (0, 0), max(0.6, 7.0 * px_per_mm))
    share = soft.astype(np.float32)[:, :, None] / np.float32(255)
    bgr[:] = (bgr + (np.float32(255) - bgr) * share).astype(np.uint8)
