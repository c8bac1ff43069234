"""The lamp: what it does to the picture stands still while the belt moves."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stream_inspect.sim.world import World

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """picture = picture * shade + glare, the same for all three colours."""

    shade: F32
    """(h, w) float32 in 0..1"""
    glare: F32
    """(h, w) float32, grey levels added"""


def draw_light(rng: np.random.Generator, world: World, width_px: int, height_px: int) -> Light:
    """One lamp's light over a picture of this size."""
    y, x = np.meshgrid(np.linspace(-1, 1, height_px), np.linspace(-1, 1, width_px), indexing="ij")
    angle = rng.uniform(0, 2 * np.pi)
    slope = float(rng.uniform(*world.gradient))
    ramp = (x * np.cos(angle) + y * np.sin(angle)) / np.sqrt(2)
    vignette = 1 - 0.35 * slope * (x**2 + y**2) / 2
    shade = (1 - slope * (0.5 + 0.5 * ramp)) * vignette
    band_angle = rng.uniform(-0.5, 0.5)
    across = (x * 1.78 * np.cos(band_angle) + y * np.sin(band_angle) - rng.uniform(-1.5, 1.5)) / rng.uniform(0.12, 0.4)
    glare = 255 * float(rng.uniform(*world.glare)) * np.exp(-(across**2))
    return Light(np.asarray(shade, np.float32), np.asarray(glare, np.float32))


class PlanarLight:
    """The same lamp for I420 planes, in whole numbers: about a quarter of a millisecond for a 1280x720 frame."""

    def __init__(self, light: Light) -> None:
        half = (light.shade.shape[1] // 2, light.shade.shape[0] // 2)
        shade_uv = np.asarray(cv2.resize(light.shade, half, interpolation=cv2.INTER_AREA), np.float32)
        # Y of limited range is 16 + 219 L and U, V are 128 + c: the offsets must not be dimmed with the light.
        self._shade_y = _u8(light.shade * 255)
        self._offset_y = _u8(16 * (1 - light.shade) + light.glare * np.float32(219 / 255))
        self._shade_uv = _u8(shade_uv * 255)
        self._offset_uv = _u8(128 * (1 - shade_uv))

    def luma(self, plane: U8, gain: float) -> U8:
        """Light a Y plane; `gain` is the lamp's flicker."""
        return np.asarray(cv2.add(cv2.multiply(plane, self._shade_y, scale=gain / 255), self._offset_y), np.uint8)

    def chroma(self, plane: U8) -> U8:
        """Light a U or V plane."""
        return np.asarray(cv2.add(cv2.multiply(plane, self._shade_uv, scale=1 / 255), self._offset_uv), np.uint8)


def _u8(values: npt.NDArray[np.floating]) -> U8:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
