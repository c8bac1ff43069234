"""Millimetres of a pixel: by two points, by a printed checkerboard, or by a pattern of the belt of known pitch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

from stream_inspect.belt.rectified import BeltPicture
from stream_inspect.belt.visual_odometer import top
from stream_inspect.commands.belt.frames import BeltError
from stream_inspect.picture import Picture, UInt8Array

Point = tuple[float, float]

_CLICK_PX = 0.7
"""How well a point is placed by hand."""
_FEWEST_CORNERS = 3
"""Inner corners of a checkerboard, along either side."""
_SLANT = 0.03
"""The scale may differ so much over the picture before the camera is taken to see the belt at a slant."""
_REPEATS = 0.25
"""Correlation with itself from which on a pattern repeats."""
_FIRST = 0.8
"""Share of the highest correlation from which on a repeat is the first one."""
_SHORTEST_PX = 4


@dataclass(frozen=True, slots=True)
class Scale:
    """Millimetres of a pixel, and how they are known."""

    mm_per_px: float
    sigma: float
    """One standard deviation, as a share."""
    by: str


@dataclass(frozen=True, slots=True)
class Target:
    """A checkerboard that lies on the belt."""

    scale: Scale
    corners_px: list[Point]
    """Of the rectangle of its inner corners, in order around it."""
    corners_mm: tuple[float, float]
    is_slanted: bool
    """The camera does not look straight down on it."""


def scale_of_points(first: Point, second: Point, mm: float) -> Scale:
    """By two points on the belt that are so far apart. Raises `BeltError` where they are one."""
    distance_px = math.dist(first, second)
    if distance_px < 10 * _CLICK_PX:
        raise BeltError(f"the two points are {distance_px:.1f} px apart: choose points that are farther apart")
    return Scale(mm / distance_px, math.sqrt(2) * _CLICK_PX / distance_px, f"two points {distance_px:.1f} px apart")


def find_target(pictures: Sequence[Picture], square_mm: float) -> Target:
    """A printed checkerboard of at least 4 by 4 squares, each `square_mm` wide, in any of the pictures.

    Raises `BeltError` where there is none.
    """
    for picture in pictures:
        flags = cv2.CALIB_CB_LARGER | cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY
        luma = np.ascontiguousarray(picture.luma)
        found, points, meta = cv2.findChessboardCornersSBWithMeta(luma, (_FEWEST_CORNERS, _FEWEST_CORNERS), flags)
        if found:
            # OpenCV's middles of pixels are whole numbers.
            corners = np.asarray(points, np.float64).reshape(-1, 2) + 0.5
            return _target(corners, meta.shape, (picture.width_px, picture.height_px), square_mm)
    raise BeltError(
        "no checkerboard is seen: lay one of at least 4 by 4 squares flat on the belt, whole in the picture and with "
        "a white margin around it"
    )


def _target(corners: npt.NDArray[np.float64], shape: tuple[int, int], size_px: Point, square_mm: float) -> Target:
    rows, columns = shape
    flat = np.array([(column, row) for row in range(rows) for column in range(columns)], np.float64) * square_mm
    to_px, _ = cv2.findHomography(flat, corners)
    along, across = (columns - 1) * square_mm, (rows - 1) * square_mm
    outline = np.array([[[0, 0], [along, 0], [along, across], [0, across]]], np.float64)
    placed = cv2.perspectiveTransform(outline, to_px)[0]
    seen = cv2.perspectiveTransform(flat[None], to_px)[0]
    off_px = float(np.sqrt(((seen - corners) ** 2).sum(axis=1).mean()))
    width, height = size_px
    to_mm = np.asarray(np.linalg.inv(to_px), np.float64)
    places = [(width / 2, height / 2), (0, 0), (width, 0), (width, height), (0, height)]
    middle, *others = (_local_scale(to_mm, place) for place in places)
    diagonal_px = math.dist(placed[0], placed[2])
    mm_per_px = math.hypot(along, across) / diagonal_px
    squares = f"checkerboard of {columns + 1} by {rows + 1} squares of {square_mm:g} mm"
    # A board that covers little of the picture gives no more than the scale where it lies: its slant is not known then.
    slant = max(abs(np.log(np.array(others) / middle)).max(), abs(math.log(mm_per_px / middle)))
    return Target(
        Scale(mm_per_px, max(off_px, 0.1) / diagonal_px, squares),
        [(float(x), float(y)) for x, y in placed],
        (along, across),
        slant > _SLANT,
    )


def _local_scale(to_mm: npt.NDArray[np.float64], at_px: Point) -> float:
    """Millimetres of a pixel at this place; very many beyond the horizon."""
    square = np.array([[at_px, (at_px[0] + 1, at_px[1]), (at_px[0], at_px[1] + 1)]], np.float64)
    (x, y), (right_x, right_y), (down_x, down_y) = cv2.perspectiveTransform(square, to_mm)[0]
    area = abs((right_x - x) * (down_y - y) - (right_y - y) * (down_x - x))
    return math.sqrt(max(area, 1e-12))


def scale_of_pitch(shown: Iterable[BeltPicture], pitch_mm: float) -> Scale:
    """By a pattern along the belt that repeats every `pitch_mm`: modules, ribs, cleats.

    Raises `BeltError` where nothing repeats.
    """
    rows = [_even(picture.luma) for picture in shown]
    # What goes right across the belt, a joint or a cleat, is its pitch rather than what repeats along each row.
    for lumas in ([luma.mean(axis=0, keepdims=True) for luma in rows], rows):
        correlation = np.mean([_with_itself(luma) for luma in lumas], axis=0)
        peaks = np.flatnonzero((correlation[1:-1] >= correlation[:-2]) & (correlation[1:-1] > correlation[2:])) + 1
        peaks = peaks[peaks >= _SHORTEST_PX]
        highest = float(correlation[peaks].max(initial=0.0))
        if highest >= _REPEATS:
            break
    else:
        raise BeltError(
            "no pattern repeats along the belt, so --pitch-mm cannot be used: take --target-mm or --two-points"
        )
    period_px = float(peaks[correlation[peaks] >= _FIRST * highest][0])
    times = 1
    while (next_px := (times + 1) * period_px / times) < correlation.size - 3:  # a later repeat is placed as well
        near = round(next_px) + np.arange(-2, 3)
        best = int(near[correlation[near].argmax()])
        if correlation[best] < _FIRST * _REPEATS or best in (near[0], near[-1]):
            break
        times, period_px = times + 1, best + top(correlation[best - 1 : best + 2].astype(np.float32))
    px = period_px / times * 2  # of the picture, which was halved
    return Scale(pitch_mm / px, 0.5 / (px * times), f"pitch of {pitch_mm:g} mm is {px:.2f} px")


def _even(luma: UInt8Array) -> npt.NDArray[np.float32]:
    """A picture without what is coarser than a quarter of its rows."""
    rows = luma.astype(np.float32)
    return np.asarray(rows - cv2.blur(rows, (2 * (rows.shape[1] // 8) + 1, 1)), np.float32)


def _with_itself(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Correlation of rows with themselves, by their shift, up to half their length; 1 at none."""
    length = rows.shape[1]
    spectrum = np.abs(fft.rfft(rows, 2 * length, axis=1)) ** 2
    correlation = fft.irfft(spectrum.sum(axis=0))[: length // 2].astype(np.float64)
    correlation /= np.arange(length, length - correlation.size, -1)  # of what both show
    return np.asarray(correlation / max(correlation[0], 1e-9))
