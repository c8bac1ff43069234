"""Cheap repeatable texture: a few noise fields are made once per scale, everything else is a random crop of them.

Drawing a part with fresh random numbers costs more than all its geometry; a crop is free. A crop's place comes from
the caller's generator, so that the picture still depends on nothing but the seed.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

FIELD_MM = 360.0
"""Side of a noise field; crops larger than this repeat the field."""

_FIELD_SEED = 20_261_121
_BLUR_MM = {"grain": 0.6, "mottle": 2.5, "blotch": 8.0, "cloud": 26.0}


@lru_cache(maxsize=32)
def noise_field(name: str, px_per_mm: float) -> F32:
    """A periodic field of unit variance, (N, N) float32, whose features have the size that `name` says."""
    side_px = max(64, round(FIELD_MM * px_per_mm))
    salt = sorted(_BLUR_MM).index(name)
    white = np.random.default_rng([_FIELD_SEED, salt]).standard_normal((side_px, side_px), dtype=np.float32)
    return smooth_periodic(white, _BLUR_MM[name] * px_per_mm)


def smooth_periodic(field: F32, sigma_px: float) -> F32:
    """Blur a field as if it went round a torus (so that it tiles without a seam), and bring it to unit variance."""
    if sigma_px > 0.3:
        pad = min(int(3 * sigma_px) + 1, min(field.shape))
        wrapped = np.pad(field, pad, mode="wrap")
        field = np.asarray(cv2.GaussianBlur(wrapped, (0, 0), sigma_px), np.float32)[pad:-pad, pad:-pad]
    deviation = field - np.float32(field.mean())
    return np.asarray(deviation / max(float(field.std()), 1e-6), np.float32)


def noise_crop(name: str, px_per_mm: float, shape: tuple[int, int], rng: np.random.Generator) -> F32:
    """A random piece of a noise field, (h, w) float32, unit variance."""
    field = noise_field(name, px_per_mm)
    rows = (int(rng.integers(field.shape[0])) + np.arange(shape[0])) % field.shape[0]
    columns = (int(rng.integers(field.shape[1])) + np.arange(shape[1])) % field.shape[1]
    return field[np.ix_(rows, columns)]
