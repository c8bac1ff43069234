"""The empty belt: a texture that repeats along the belt without a seam, and the rails next to it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from stream_inspect.sim.noise import F32, smooth_periodic
from stream_inspect.sim.world import FIELD_OF_VIEW_MM, RAIL_MM

U8 = npt.NDArray[np.uint8]

TILE_MM = 960.0
"""Length after which the belt's texture repeats; every pattern's period divides it."""


def belt_tile(kind: str, rng: np.random.Generator, px_per_mm: float) -> U8:
    """One period of the belt, (width of view, TILE_MM) in pixels of `px_per_mm`, uint8 BGR."""
    shape = (round(FIELD_OF_VIEW_MM[1] * px_per_mm), round(TILE_MM * px_per_mm))
    colour, relief = _KINDS[kind](rng, shape, px_per_mm)
    grime = _noise(rng, shape, 14.0 * px_per_mm) * np.float32(rng.uniform(1.0, 2.5))
    grain = _noise(rng, shape, 0.4 * px_per_mm) * np.float32(rng.uniform(2.0, 4.0))
    shade = np.float32(1.0) + (relief + grime + grain) / np.float32(100.0)
    return np.asarray(np.clip(shade[:, :, None] * colour, 0, 255), np.uint8)


def draw_rails(picture_bgr: U8, px_per_mm: float, bolt_offset_mm: float = 60.0) -> None:
    """Draw the two rails over a picture that spans the whole width of view, in place."""
    height, width = picture_bgr.shape[:2]
    rail = max(2, round(RAIL_MM * px_per_mm))
    profile = np.interp(np.arange(rail), [0, rail * 0.2, rail * 0.8, rail - 1], [120, 205, 175, 70])
    band = np.repeat(profile.astype(np.uint8)[:, None, None], 3, axis=2)
    picture_bgr[:rail] = band
    picture_bgr[height - rail :] = band[::-1]
    for x_mm in np.arange(bolt_offset_mm, width / px_per_mm, 160.0):
        for y_px in (rail / 2, height - rail / 2):
            centre = (round(x_mm * px_per_mm), round(y_px))
            cv2.circle(picture_bgr, centre, max(1, round(3.2 * px_per_mm)), (96, 94, 92), -1, cv2.LINE_AA)


def _noise(rng: np.random.Generator, shape: tuple[int, int], sigma_px: float) -> F32:
    # Blurring at full size would cost more than the rest of the belt: coarse noise is made small and enlarged.
    shrink = max(1, int(sigma_px / 2))
    small_shape = (max(2, shape[0] // shrink), max(2, shape[1] // shrink))
    small = smooth_periodic(rng.standard_normal(small_shape, dtype=np.float32), sigma_px / shrink)
    if shrink == 1:
        return small
    wrapped = np.pad(small, ((1, 1), (1, 1)), mode="wrap")
    scale_y, scale_x = shape[0] / small_shape[0], shape[1] / small_shape[1]
    place = np.array([[1 / scale_x, 0, 1 + 0.5 / scale_x - 0.5], [0, 1 / scale_y, 1 + 0.5 / scale_y - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(wrapped, place, (shape[1], shape[0]), flags=flags), np.float32)


def _colour(rng: np.random.Generator, bgr: tuple[float, float, float], spread: float = 0.07) -> F32:
    return np.asarray(bgr, np.float32) * np.float32(rng.uniform(1 - spread, 1 + spread))


def _rubber(rng: np.random.Generator, shape: tuple[int, int], px_per_mm: float) -> tuple[F32, F32]:
    speckle = _noise(rng, shape, 0.9 * px_per_mm)
    return _colour(rng, (62, 60, 58)), np.asarray(4.0 * speckle, np.float32)


def _weave(rng: np.random.Generator, shape: tuple[int, int], px_per_mm: float) -> tuple[F32, F32]:
    y_mm, x_mm = _grid_mm(shape, px_per_mm)
    period_mm = float(rng.choice([6.0, 8.0, 10.0]))
    warp = np.sin(2 * np.pi * x_mm / period_mm) * np.sin(2 * np.pi * y_mm / period_mm)
    return _colour(rng, (88, 112, 52)), np.asarray(6.0 * warp, np.float32)


def _modular(rng: np.random.Generator, shape: tuple[int, int], px_per_mm: float) -> tuple[F32, F32]:
    y_mm, x_mm = _grid_mm(shape, px_per_mm)
    long_mm, wide_mm = float(rng.choice([40.0, 48.0])), 60.0
    row = np.floor(x_mm / long_mm)
    joint_x = np.abs((x_mm / long_mm) % 1.0 - 0.5) > 0.5 - 1.1 / long_mm
    joint_y = np.abs((y_mm / wide_mm + 0.5 * row) % 1.0 - 0.5) > 0.5 - 1.1 / wide_mm
    relief = np.where(joint_x | joint_y, -34.0, 0.0)
    return _colour(rng, (150, 96, 48)), np.asarray(relief, np.float32)


def _ribbed(rng: np.random.Generator, shape: tuple[int, int], px_per_mm: float) -> tuple[F32, F32]:
    y_mm, x_mm = _grid_mm(shape, px_per_mm)
    period_mm = float(rng.choice([20.0, 24.0, 30.0]))
    phase = (x_mm + (y_mm if rng.random() < 0.5 else -y_mm)) / period_mm
    ridge = np.maximum(np.sin(2 * np.pi * phase), 0.0)
    return _colour(rng, (128, 138, 140)), np.asarray(-13.0 * ridge, np.float32)


def _grid_mm(shape: tuple[int, int], px_per_mm: float) -> tuple[F32, F32]:
    y_mm = ((np.arange(shape[0], dtype=np.float32) + 0.5) / np.float32(px_per_mm))[:, None]
    x_mm = ((np.arange(shape[1], dtype=np.float32) + 0.5) / np.float32(px_per_mm))[None, :]
    return y_mm, x_mm


_KINDS: dict[str, Callable[[np.random.Generator, tuple[int, int], float], tuple[F32, F32]]] = {
    "rubber": _rubber,
    "weave": _weave,
    "modular": _modular,
    "ribbed": _ribbed,
}
