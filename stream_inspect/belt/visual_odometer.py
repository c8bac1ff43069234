"""How far the belt moved, by its own texture and by what lies on it.

The rows of the reduced picture, along the belt, are compared with those of a reference frame. Each frequency votes for
a shift, as strongly as the rows agree on it (the smoothed coherence transform): the wide range of weak texture
outvotes the one strong frequency of a woven or ribbed belt, and a frequency that shows only noise counts for little.
The reference is kept while the belt moves a quarter of the picture, so that errors do not add up frame by frame.

What stands still in the picture (rails, dirt, light) votes as much for a shift backwards as for the same one forwards.
The difference of the two is the belt's vote, with nothing to learn first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

from stream_inspect.belt.rectified import BeltPicture, BeltPlane
from stream_inspect.config.models import BeltConfig
from stream_inspect.picture import UInt8Array

F32 = npt.NDArray[np.float32]
C64 = npt.NDArray[np.complex64]

_ALONG_PX = 320
"""Size along the belt that a picture is about reduced to; finer costs more and measures no better."""
_WARPED = 180, 440
"""Rows and columns of a reduced picture that was warped, at most: its rows show something in a part of them."""
_SHORTEST_PX = 40
"""A row that shows less says nothing."""
_LOWEST, _HIGHEST = 4, 0.45
"""Frequencies that vote: from so many periods in a padded row, to so many in a pixel. Below is light, above noise."""
_FLAT_LEVELS = 0.3
"""A row that deviates less than this from its mean, in grey levels, shows little more than rounding."""
_EMPTY_POWER = 1e-3
"""Power at a frequency that is as good as none; a textured picture has 0.1 to 1."""
_FINE = 4
"""Steps a reduced pixel at which votes are counted; a parabola through the highest three places the shift."""
_FASTEST = 3.0
"""The belt is looked for at up to so many times the configured speed, in both directions."""
_REFERENCE_SHARE, _SIGHT_SHARE = 0.25, 0.75
"""Shares of the picture after which the reference is replaced, and beyond which no shift is looked for."""
_HOLD_S = 0.5
"""How long a reference is kept that nothing is like: a hand, a flash, a broken frame."""
_STILL_PX = 3.0
"""Shifts below this are voted for by the belt and by what stands still alike."""
_MOVING_VOTE, _MOVING_SHARE = 0.06, 0.12
"""A belt that runs outvotes what stands still from this vote, and this share of its vote, on."""
_NOISE_VOTE, _CLEAR_VOTE, _CLEAR_STILL_VOTE = 0.08, 0.16, 0.45
"""Noise alone reaches the first. From the second on a shift is certain; that nothing moves, from the third on."""
_CLEAR_LEAD = 0.3
"""The lead over the next best shift, as a share of the vote, from which it is certain which of them it was."""
_CERTAIN = 0.3
"""From this confidence on a frame gives a speed to expect, and can be the next reference."""
_SIGMA_PX = 0.014
"""Error of a unanimous vote, in reduced pixels: measured on the synthetic line."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What a frame shows of the belt's way since the last frame that showed it."""

    mm: float | None
    """Along the belt, negative backwards. None where the picture does not show it."""
    sigma_mm: float | None
    """One standard deviation of `mm`, provided that it is the right one of several shifts that look alike."""
    confidence: float
    """0 (not seen) to 1. Low where there is little texture, or where it repeats and another shift fits as well."""


NOT_SEEN = Moved(None, None, 0.0)


class VisualOdometer:
    """Measures the way of one camera's belt, one frame after the other. The same frames give the same answers."""

    def __init__(self, belt: BeltConfig) -> None:
        self._speed_mm_s = belt.speed_mm_s
        self._rows: _Rows | None = None
        self._reference: _Spectrum | None = None
        self._latest: _Spectrum | None = None
        """The last frame seen, where its shift is certain: the next reference."""
        self._shift_px = 0.0
        """Of the last frame seen, against the reference: in reduced pixels, in the rows' order."""
        self._speed_px_s = 0.0
        self._seen_s = 0.0

    def reset(self) -> None:
        """Begin another session of the same camera: its first frame shows no way."""
        self._reference = None
        self._speed_px_s = 0.0

    def see(self, shown: BeltPicture, pts_s: float) -> Moved:
        """How far the belt moved since the last frame that showed it."""
        if self._rows is None or self._rows.plane is not shown.plane:
            self._rows, self._reference = _Rows.of(shown.plane), None
        rows = self._rows
        spectrum = _Spectrum.of(_reduced(shown.luma, rows.shape), rows)
        sign, mm_per_px = shown.plane.sign, rows.mm_per_px
        elapsed_s = max(0.0, pts_s - self._seen_s)
        expected_px = self._shift_px + self._speed_px_s * elapsed_s
        if self._reference is None or abs(expected_px) > _SIGHT_SHARE * rows.along_px:
            return self._begin(spectrum, pts_s)
        configured_px_s = sign * self._speed_mm_s / mm_per_px
        reach_px = 2.0 + _FASTEST * abs(configured_px_s) * elapsed_s
        guesses_px = (expected_px, self._shift_px + configured_px_s * elapsed_s, self._shift_px)
        found = _elect(_votes(self._reference, spectrum, rows), self._shift_px, guesses_px, reach_px)
        if (found is None or found.confidence < _CERTAIN) and self._latest is not None:
            since_px = [guess_px - self._shift_px for guess_px in guesses_px]
            self._reference, self._latest, self._shift_px = self._latest, None, 0.0
            found = _elect(_votes(self._reference, spectrum, rows), 0.0, since_px, reach_px)
        if found is None:
            return self._begin(spectrum, pts_s) if elapsed_s > _HOLD_S else NOT_SEEN
        return self._follow(found, spectrum, pts_s, rows, sign)

    def _begin(self, spectrum: _Spectrum, pts_s: float) -> Moved:
        self._reference, self._latest = spectrum, None
        self._shift_px, self._seen_s = 0.0, pts_s
        return NOT_SEEN

    def _follow(self, found: _Shift, spectrum: _Spectrum, pts_s: float, rows: _Rows, sign: float) -> Moved:
        step_px, elapsed_s = found.px - self._shift_px, pts_s - self._seen_s
        self._shift_px, self._seen_s = found.px, pts_s
        certain = found.confidence >= _CERTAIN
        self._latest = spectrum if certain else None
        if certain and elapsed_s > 0:
            self._speed_px_s = step_px / elapsed_s
        if certain and abs(found.px) > _REFERENCE_SHARE * rows.along_px:
            self._begin(spectrum, pts_s)
        return Moved(sign * step_px * rows.mm_per_px, found.sigma_px * rows.mm_per_px, found.confidence)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """What the rows of all pictures of one plane have in common."""

    plane: BeltPlane
    shape: tuple[int, int]
    mm_per_px: float
    """Of the reduced rows."""
    padded_px: int
    along_px: float
    """Length of what a row shows; of a belt at an angle to the picture, in the mean."""
    weight: F32
    """(rows, columns), or (1, columns) where all rows are alike: 0 where the picture shows nothing, else 1, and faded
    out at the ends of what a row shows, where something is cut in two and would vote for standing still."""
    energy: F32
    """(rows, 1), of a row that deviates by one level everywhere."""
    voice: F32
    """(rows, 1), how much a row counts: as much as it shows."""

    @classmethod
    def of(cls, plane: BeltPlane) -> _Rows:
        """For the rows of a plane, reduced to about `_ALONG_PX` columns."""
        if plane.seen is None:
            rows, columns = _reduced_shape(plane.shape, plane.shape[1])
            weight = _taper(columns)[None]
        else:
            rows, columns = (min(size, most) for size, most in zip(plane.shape, _WARPED, strict=True))
            ends = [_ends(row) for row in _reduced(plane.seen, (rows, columns)) == 255]
            weight = np.zeros((rows, columns), np.float32)
            for row, (start, end) in zip(weight, ends, strict=True):
                row[start:end] = _taper(end - start)
        shown_px = (weight > 0).sum(axis=1, keepdims=True).astype(np.float32)
        along_px = float((shown_px**2).sum() / max(1.0, float(shown_px.sum())))
        padded_px = int(fft.next_fast_len(2 * columns, real=True))
        energy = np.maximum(shown_px, 1) * np.float32(padded_px / 2)
        mm_per_px = plane.mm_per_px * plane.shape[1] / columns
        return cls(
            plane,
            (rows, columns),
            mm_per_px,
            padded_px,
            along_px,
            weight,
            energy,
            shown_px / max(1.0, float(shown_px.max())),
        )


def _ends(row: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Where what a row shows begins and ends."""
    shown = np.flatnonzero(row)
    return (int(shown[0]), int(shown[-1]) + 1) if shown.size >= _SHORTEST_PX else (0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Spectrum:
    """The frequencies of a picture's rows that vote, each row with the same energy for what it shows."""

    rows: C64
    """(rows, frequencies)"""
    power: F32
    """(frequencies,), the sum over the rows"""

    @classmethod
    def of(cls, luma: UInt8Array, rows: _Rows) -> _Spectrum:
        """Of an (H, W) uint8 picture whose rows lie along the belt."""
        levels = luma.astype(np.float32)
        if rows.plane.seen is None:
            levels -= levels.mean(axis=1, keepdims=True)
        else:
            shows = rows.weight > 0
            levels -= (levels * shows).sum(axis=1, keepdims=True) / np.maximum(shows.sum(axis=1, keepdims=True), 1)
        levels *= rows.weight
        spectrum = fft.rfft(levels, rows.padded_px, axis=1)[:, _LOWEST : int(_HIGHEST * rows.padded_px)]
        power = spectrum.real**2 + spectrum.imag**2
        share = rows.voice / (power.sum(axis=1, keepdims=True) + np.float32(_FLAT_LEVELS**2) * rows.energy)
        return cls(spectrum * np.sqrt(share), (power * share).sum(axis=0))


@dataclass(frozen=True, slots=True)
class _Shift:
    px: float
    sigma_px: float
    vote: float
    confidence: float


def reduced(luma: UInt8Array) -> UInt8Array:
    """A picture, (H, W) uint8, halved until its longer side is about 320."""
    return _reduced(luma, _reduced_shape(luma.shape, max(luma.shape)))


def _reduced_shape(shape: tuple[int, ...], size_px: int) -> tuple[int, int]:
    """The shape, halved until what was `size_px` is about 320."""
    rows, columns = shape
    while size_px >= 1.5 * _ALONG_PX:
        rows, columns, size_px = rows // 2, columns // 2, size_px // 2
    return rows, columns


def _reduced(luma: UInt8Array, shape: tuple[int, int]) -> UInt8Array:
    """To this shape. Twice by two takes an eighth of the time of once by four."""
    rows, columns = luma.shape
    while rows >= 2 * shape[0] and columns >= 2 * shape[1]:
        rows, columns = rows // 2, columns // 2
        luma = np.asarray(cv2.resize(luma, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    if (rows, columns) != shape:
        luma = np.asarray(cv2.resize(luma, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    return luma


@lru_cache(maxsize=1024)
def _taper(along_px: int) -> F32:
    """Fades a tenth at either end out: what the picture's edge cuts in two would vote for standing still."""
    ramp = np.sin(np.pi / 2 * np.linspace(0, 1, along_px // 10 + 2)[1:-1]) ** 2
    taper = np.ones(along_px, np.float32)
    taper[: ramp.size], taper[-ramp.size :] = ramp, ramp[::-1]
    return taper


@dataclass(frozen=True, slots=True, eq=False)
class _Votes:
    """The vote for each shift, in steps of 1 / _FINE reduced pixels; negative ones from the array's end."""

    of: F32
    limit_px: float


def _votes(reference: _Spectrum, spectrum: _Spectrum, rows: _Rows) -> _Votes:
    """1 where all frequencies agree on one shift; noise spreads over all of them."""
    cross = (spectrum.rows * reference.rows.conj()).sum(axis=0)
    coherence = cross / np.sqrt(spectrum.power * reference.power + np.float32(_EMPTY_POWER**2))
    count = _FINE * rows.padded_px
    voters = np.zeros(count // 2 + 1, np.complex64)
    voters[_LOWEST : _LOWEST + coherence.size] = coherence
    votes = fft.irfft(voters, count) * np.float32(count / 2 / coherence.size)
    return _Votes(votes, _SIGHT_SHARE * rows.along_px)


def _elect(votes: _Votes, last_px: float, guesses_px: Sequence[float], reach_px: float) -> _Shift | None:
    """The shift with the most votes within reach of the last one; None where none rises above the noise.

    Of shifts with about the same vote, those of a periodic belt, the one near a guess is taken.
    """
    low_px, high_px = max(-votes.limit_px, last_px - reach_px), min(votes.limit_px, last_px + reach_px)
    steps = np.arange(math.floor(low_px * _FINE), math.ceil(high_px * _FINE) + 1)
    still = np.abs(steps) < _STILL_PX * _FINE
    near = np.where(still, votes.of[steps], votes.of[steps] - votes.of[-steps])
    likely = np.maximum.reduce([_nearness(steps / _FINE, guess_px, last_px) for guess_px in guesses_px])
    score = near * (1 + 2 * likely) / 3
    moving = np.where(still, 0.0, score)
    if moving.max() > max(_MOVING_VOTE, _MOVING_SHARE * float(score.max(where=still, initial=0.0))):
        score = moving
    best = int(score.argmax())
    best += int(near[max(best - 2, 0) : best + 3].argmax()) - min(best, 2)
    vote = float(near[best])
    if vote < _NOISE_VOTE or score[best] <= 0:
        return None
    peaks = np.flatnonzero((score[1:-1] >= score[:-2]) & (score[1:-1] > score[2:])) + 1
    next_best = float(score[peaks[np.abs(peaks - best) > 3 * _FINE]].max(initial=0.0))
    clear_vote = _CLEAR_STILL_VOTE if still[best] else _CLEAR_VOTE
    confidence = min(1.0, (vote - 0.8 * _NOISE_VOTE) / (clear_vote - 0.8 * _NOISE_VOTE))
    confidence *= min(1.0, max(0.0, 1 - next_best / float(score[best])) / _CLEAR_LEAD)
    between = top(near[best - 1 : best + 2]) if 0 < best < near.size - 1 else 0.0
    return _Shift(float(steps[best] + between) / _FINE, _SIGMA_PX / vote, vote, confidence)


def _nearness(shifts_px: npt.NDArray[np.float64], guess_px: float, last_px: float) -> npt.NDArray[np.float64]:
    """1 at the guess, falling off over a quarter of the step to it, two pixels at least."""
    return np.exp(-0.5 * ((shifts_px - guess_px) / max(2.0, 0.25 * abs(guess_px - last_px))) ** 2)


def top(votes: F32) -> float:
    """Where the parabola through three votes has its top, in steps from the middle one; 0 where that is not highest."""
    before, vote, after = (float(value) for value in votes)
    bend = before - 2 * vote + after
    return 0.5 * (before - after) / bend if bend < 0 and vote >= max(before, after) else 0.0
