"""Which way the belt runs through a clip, and how fast, with nothing known about it.

As in `visual_odometer.py`, frequencies vote for a shift; here in both axes, and each as strongly as all pairs of frames
agree on it. The shift from one frame to the next says where to look for the larger one between frames farther apart,
which is measured as exactly: so the error falls with the distance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

from stream_inspect.belt.visual_odometer import reduced, top
from stream_inspect.picture import Picture

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
C64 = npt.NDArray[np.complex64]

_FRAMES = 250
"""Frames of the clip that are used."""
_LONGEST_SHARE = 0.3
"""The longest shift that is measured, as a share of the picture's shorter side."""
_AROUND_PX = 4
"""How far from its expected place a longer shift is looked for, in reduced pixels."""
_EMPTY_POWER = 1e-5
"""Share of the highest power of a frequency below which it shows nothing."""
_NOISE_VOTE, _CLEAR_VOTE = 0.03, 0.15


@dataclass(frozen=True, slots=True)
class ClipMotion:
    """The even motion of what moves in a clip."""

    direction_deg: float
    """0 to 360, clockwise: 0 is to the right, 90 downwards."""
    speed_px: float
    """Pixels a frame."""
    confidence: float
    """0 to 1; low where little moves, or not evenly."""


def measure_motion(pictures: Iterable[Picture]) -> ClipMotion | None:
    """Direction and speed of the belt in consecutive frames of one size; None where nothing moves evenly.

    What stands still in all of them is not seen. Raises ValueError for fewer than three frames.
    """
    shown = list(islice(((p.height_px, p.width_px, reduced(p.luma)) for p in pictures), _FRAMES))
    if len(shown) < 3:
        raise ValueError(f"expected at least 3 frames, got {len(shown)}")
    spectra = _spectra(np.stack([luma for _, _, luma in shown]))
    height, width = spectra.shape[1:]
    lag, found = 1, _highest(_votes(spectra, 1), None)
    if found is None:
        return None
    confidence = min(1.0, (found.vote - _NOISE_VOTE) / (_CLEAR_VOTE - _NOISE_VOTE))
    while 2 * lag < len(shown) / 2 and 2 * math.hypot(*found.shift_px) < _LONGEST_SHARE * min(height, width):
        longer = _highest(_votes(spectra, 2 * lag), 2 * found.shift_px)
        if longer is None:
            break
        lag, found = 2 * lag, longer
    down_px, right_px = found.shift_px / lag * np.array(shown[0][:2]) / (height, width)
    return ClipMotion(math.degrees(math.atan2(down_px, right_px)) % 360, math.hypot(down_px, right_px), confidence)


@dataclass(frozen=True, slots=True)
class _Found:
    shift_px: F64
    """Down and to the right, in reduced pixels."""
    vote: float


def _spectra(clip: npt.NDArray[np.uint8]) -> C64:
    """Of (frames, h, w) uint8, without what stands still and faded out at the edges; the same shape."""
    height, width = clip.shape[1:]
    window = np.asarray(cv2.createHanningWindow((width, height), cv2.CV_32F), np.float32)
    still = clip.mean(axis=0, dtype=np.float32)
    return np.stack([np.asarray(fft.fft2((luma - still) * window), np.complex64) for luma in clip])


def _votes(spectra: C64, lag: int) -> F32:
    """(h, w), the vote for each shift between frames that are `lag` apart; negative ones from the arrays' ends."""
    cross = np.zeros(spectra.shape[1:], np.complex64)
    power = np.zeros(spectra.shape[1:], np.float32)
    for earlier, later in zip(spectra[:-lag], spectra[lag:], strict=True):
        cross += later * earlier.conj()
        power += (np.abs(earlier) ** 2 + np.abs(later) ** 2) / 2
    return np.asarray(fft.ifft2(cross / (power + np.float32(_EMPTY_POWER * power.max() + 1e-6))).real, np.float32)


def _highest(votes: F32, near_px: F64 | None) -> _Found | None:
    """The shift with the highest vote, of all or of those near a place; None where it does not rise above the noise."""
    height, width = votes.shape
    if near_px is None:
        row, column = (int(index) for index in np.unravel_index(int(votes.argmax()), votes.shape))
    else:
        rows, columns = (round(float(centre)) + np.arange(-_AROUND_PX, _AROUND_PX + 1) for centre in near_px)
        near = votes[np.ix_(rows % height, columns % width)]
        down, right = np.unravel_index(int(near.argmax()), near.shape)
        row, column = int(rows[down]), int(columns[right])
    around = votes[np.ix_((row + np.arange(-1, 2)) % height, (column + np.arange(-1, 2)) % width)]
    if around[1, 1] < _NOISE_VOTE:
        return None
    place = np.array([row + top(around[:, 1]), column + top(around[1, :])])
    size = np.array([height, width])
    return _Found((place + size / 2) % size - size / 2, float(around[1, 1]))
