"""Parts on a belt by what differs from the empty belt, without a model.

The belt's texture moves, so each place of the picture knows a mean and a spread, of luma and both colours. A place is
unlike the belt by the sum of its three deviations, in spreads, averaged over a small neighbourhood: so a thin joint of
a modular belt is not a part, and a grey part on a grey belt is found by its tint. It is learned where no part is, and
only while the belt moves: a part that stands does not become background.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from stream_inspect.belt.rectified import BeltPicture, BeltPlane, Planes
from stream_inspect.messages import PartSight
from stream_inspect.picture import UInt8Array

F32 = npt.NDArray[np.float32]
Outline = npt.NDArray[np.int32]
"""(points, 1, 2), a border as OpenCV has it."""

_LOOK_SHARE, _FOLLOW_SHARE = 0.0075, 0.03
"""The belt is learned, and once known followed, each time it moved this share of the picture."""
_LOOKS, _KNOWN_SHARE, _MOST_LOOKS = 12, 0.85, 48
"""It is known when this share of the picture was alike in so many looks; more than the last number are not counted."""
_FIRST_SPREAD, _LEAST_SPREAD = (8.0, 2.0, 2.0), (1.5, 0.6, 0.6)
_FOLLOWED_OVER = 32
"""Looks over which a known belt is averaged: dirt, wear and daylight are followed."""
_AS_UNLIKE_AS = 8.0
"""Spreads from which more does not count, so that the neighbourhood of a sharp edge is not unlike as well."""
_UNLIKE = 4.8
"""Mean sum of the three deviations, in spreads, from which a place is not the belt; the belt itself has about 2.4."""
_NEIGHBOURHOOD = (5, 5)
_ALONG = (321, 3)
"""How far the belt is taken to be as before and behind a place."""
_GAIN = (0.7, 1.4)
"""Light by which the picture may differ from the learned one: beyond, it was switched, and the belt is not known."""
_DARK = 16
"""Levels over black up to which a place, of a frame around the belt, says nothing of the light."""
_LEAST_SHARE = 0.002
"""Share of the picture below which a thing is not a part, unless it is configured."""
_LOST_SHARE = 0.8
"""Share of the picture that cannot all be parts."""
_RELEARN_SHARE = 0.25
"""Way after which a belt that is not what it was is learned again, as a share of the picture."""
_SHADOW, _SHADOW_TINT = (0.35, 0.97), 4.0
"""A shadow leaves the belt this share of its light, and its colour to so many levels."""
_CORE_SHARE = 0.6
"""A thing of which less than this is not shadow is a dark part."""
_PIECE_SHARE = 0.2
"""A piece that reaches into another lane is another part from this share of the whole on."""
_TIP = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
_SMALL, _GAP, _AROUND = (np.ones((size, size), np.uint8) for size in (3, 5, 15))


@dataclass(frozen=True, slots=True)
class BackgroundSettings:
    """What a part is."""

    min_area_mm2: float | None = None
    """A smaller thing is not a part. None: 0.2 % of the picture."""
    lanes_mm: tuple[tuple[float, float], ...] = ()
    """The lanes across the belt, from the picture's top or left edge: parts of two lanes that touch are two."""


class BackgroundParts:
    """Finds the parts in the pictures of one camera. The same pictures and ways give the same parts."""

    def __init__(self, settings: BackgroundSettings | None = None) -> None:
        self._settings = settings or BackgroundSettings()
        self._model: _EmptyBelt | None = None
        self._since_look_mm = 0.0
        self._lost_mm = 0.0
        self.learning = True
        """Whether the empty belt is not known (yet, or in this light): then no part is seen."""

    def see(self, shown: BeltPicture, moved_mm: float | None) -> list[PartSight]:
        """The parts in this picture; `moved_mm` since the last one, None where it is not known."""
        planes, plane = shown.planes, shown.plane
        length_mm = plane.view.length_mm
        way_mm = abs(moved_mm or 0.0)
        if self._model is None or self._model.plane is not plane or self._lost_mm > _RELEARN_SHARE * length_mm:
            self._model = _EmptyBelt(planes, plane)
            self._lost_mm = self._since_look_mm = 0.0
        self._since_look_mm += way_mm
        look = self._since_look_mm >= (_FOLLOW_SHARE if self._model.known else _LOOK_SHARE) * length_mm
        if look:
            self._since_look_mm = 0.0
        black = 0 if shown.picture.full_range else 16
        belt = self._model.lit_as(planes, black) if self._model.known else None
        unlike = None if belt is None else self._model.unlike(planes, belt)
        if belt is None or unlike is None or cv2.countNonZero(unlike) > _LOST_SHARE * plane.seen_count:
            self.learning = True
            if self._model.known:
                self._lost_mm += way_mm
            elif look:
                self._model.get_to_know(planes)
            return []
        self.learning, self._lost_mm = False, 0.0
        # With nothing beyond the picture's edge: the gap between a part and the edge is not one in a part.
        closed = cv2.morphologyEx(unlike, cv2.MORPH_CLOSE, _GAP, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        joined = np.asarray(cv2.bitwise_or(unlike, closed), np.uint8)
        things = _outlines(_closed_at_ends(joined), self._least_px(plane))
        self._model.covered = _filled(joined.shape, things)
        if look:
            self._model.follow(planes)
        return [
            _sight(shown, piece, left, top)
            for left, top, core in _cores(things, planes, belt, black)
            for piece in self._by_lane(core, top, plane.mm_per_px)
        ]

    def _least_px(self, plane: BeltPlane) -> float:
        """The smallest area of a part, in places of the rectified picture."""
        if self._settings.min_area_mm2 is None:
            return _LEAST_SHARE * plane.seen_count
        return self._settings.min_area_mm2 / plane.mm_per_px**2

    def _by_lane(self, core: UInt8Array, top: int, mm_per_px: float) -> list[UInt8Array]:
        """The part's mask, or several where it lies in more than one lane; `top` is its place across."""
        lanes = sorted(self._settings.lanes_mm)
        cuts = [(one[1] + other[0]) / 2 / mm_per_px - top for one, other in pairwise(lanes)]
        bounds = [0, *(round(cut) for cut in cuts if 0 < cut < core.shape[0]), core.shape[0]]
        pieces = []
        for low, high in pairwise(bounds):
            piece = np.zeros_like(core)
            piece[low:high] = core[low:high]
            pieces.append(piece)
        least = _PIECE_SHARE * cv2.countNonZero(core)
        pieces = [piece for piece in pieces if cv2.countNonZero(piece) > least]
        return pieces if len(pieces) > 1 else [core]


class _EmptyBelt:
    """Mean and spread of the empty belt, at each place of the rectified picture."""

    def __init__(self, planes: Planes, plane: BeltPlane) -> None:
        self.plane = plane
        self.shape = planes[0].shape
        self.known = False
        self.covered: UInt8Array = np.zeros(self.shape, np.uint8)
        """Where the last picture showed parts."""
        self._mean: list[F32] = [plane.astype(np.float32) for plane in planes]
        self._spread: list[F32] = [np.full(self.shape, spread, np.float32) for spread in _FIRST_SPREAD]
        self._alike: F32 = np.zeros(self.shape, np.float32)
        """Looks in which the place was what it is taken for, minus those in which it was not."""
        self._looks = 0
        self._prepare()

    def unlike(self, planes: Planes, belt: Planes) -> UInt8Array:
        """255 where the picture is not the belt, (h, w) uint8."""
        total: UInt8Array = np.zeros(self.shape, np.uint8)
        for plane, mean, weight in zip(planes, belt, self._weight, strict=True):
            away = cv2.multiply(cv2.absdiff(plane, mean), weight, scale=1 / _WEIGHT_STEPS)
            total = np.asarray(cv2.add(total, away), np.uint8)
        limit = _UNLIKE * 255 / _AS_UNLIKE_AS
        unlike = cv2.threshold(cv2.blur(total, _NEIGHBOURHOOD), limit, 255, cv2.THRESH_BINARY)[1]
        return np.asarray(unlike if self.plane.seen is None else cv2.bitwise_and(unlike, self.plane.seen), np.uint8)

    def lit_as(self, planes: Planes, black: int) -> Planes | None:
        """The empty belt in this picture's light; None where that is not the light in which it was learned."""
        grid = np.s_[8::16, 8::16]
        free = (self.covered[grid] == 0) & (self._rounded[0][grid] > black + _DARK)
        if self.plane.seen is not None:
            free &= self.plane.seen[grid] > 0
        if not free.any():
            return None
        luma, *colours = (plane[grid][free].astype(np.float32) for plane in planes)
        mean_luma, *mean_colours = (mean[grid][free] for mean in self._mean)
        gain = float(np.median((luma - black) / np.maximum(mean_luma - black, 1)))
        if not _GAIN[0] < gain < _GAIN[1]:
            return None
        tints = [float(np.median(now - mean)) for now, mean in zip(colours, mean_colours, strict=True)]
        y, u, v = (
            np.asarray(cv2.convertScaleAbs(mean, alpha=scale, beta=offset), np.uint8)
            for mean, scale, offset in zip(self._rounded, (gain, 1.0, 1.0), (black * (1 - gain), *tints), strict=True)
        )
        return y, u, v

    def get_to_know(self, planes: Planes) -> None:
        """Learn from what may be the empty belt: a place is what it was in most looks."""
        like = self.unlike(planes, self._rounded) == 0
        self._alike += np.where(like, 1, -1)
        np.minimum(self._alike, _MOST_LOOKS, out=self._alike)
        other = self._alike < 0
        self._alike[other] = 0
        share = np.where(like, 1 / (self._alike + 1), 0).astype(np.float32)
        for plane, mean, spread, first in zip(planes, self._mean, self._spread, _FIRST_SPREAD, strict=True):
            spread += share * (_SIGMA * np.abs(plane - mean) - spread)
            mean += share * (plane - mean)
            mean[other] = plane[other]
            spread[other] = first
        known = self._alike >= _LOOKS
        if self.plane.seen is not None:
            known &= self.plane.seen > 0
        if np.count_nonzero(known) >= _KNOWN_SHARE * self.plane.seen_count:
            self._fill_from_the_same_lane(known)
            self.known = True
        self._prepare()

    def _fill_from_the_same_lane(self, known: npt.NDArray[np.bool_]) -> None:
        """Where parts hid the belt it is as before and behind them."""
        weight = known.astype(np.float32)
        total = cv2.blur(weight, _ALONG) + np.float32(1e-6)
        for values in (*self._mean, *self._spread):
            np.copyto(values, cv2.blur(values * weight, _ALONG) / total, where=~known)

    def follow(self, planes: Planes) -> None:
        """Learn on where no part is."""
        free = cv2.bitwise_not(cv2.dilate(self.covered, _AROUND))
        for plane, rounded, mean, spread in zip(planes, self._rounded, self._mean, self._spread, strict=True):
            away = cv2.convertScaleAbs(cv2.absdiff(plane, rounded), alpha=_SIGMA)
            cv2.accumulateWeighted(away, spread, 1 / _FOLLOWED_OVER, free)
            cv2.accumulateWeighted(plane, mean, 1 / _FOLLOWED_OVER, free)
        self._looks += 1
        if self._looks % 8 == 0:
            self._prepare()

    def _prepare(self) -> None:
        self._rounded = [np.asarray(cv2.convertScaleAbs(mean), np.uint8) for mean in self._mean]
        self._weight = []
        for spread, rounded, least in zip(self._spread, self._rounded, _LEAST_SPREAD, strict=True):
            smooth = cv2.max(cv2.blur(spread, (7, 7)), cv2.blur(spread, (31, 31)))
            shaken = _SHAKE_PX * cv2.morphologyEx(rounded, cv2.MORPH_GRADIENT, _SMALL).astype(np.float32)
            self._weight.append(cv2.convertScaleAbs(_WEIGHT_STEPS * 255 / _AS_UNLIKE_AS / (smooth + shaken + least)))


_SIGMA = 1.25
"""Standard deviation of normal noise over its mean absolute deviation."""
_SHAKE_PX = 0.15
"""What stands still, a rail's edge, may move by so much of a pixel: cameras shake, and codecs smear."""
_WEIGHT_STEPS = 8
"""Weights of deviations are kept in so many steps a level."""


def _outlines(mask: UInt8Array, least_px: float) -> list[Outline]:
    """The outer borders of the mask's things, without those that are too small."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [np.asarray(contour, np.int32) for contour in contours if cv2.contourArea(contour) >= least_px]


def _closed_at_ends(mask: UInt8Array) -> UInt8Array:
    """The mask, in which a thing that the picture cuts in two reaches along its edge, from one place there to another.

    Of a part that looks like the belt the rim alone may be unlike it: a ring, which is open while the part comes in,
    and what lies in it would be other parts.
    """
    last = mask.shape[1] - 1
    ends = [np.flatnonzero(mask[:, column]) for column in (0, last)]
    if not any(rows.size and rows[-1] - rows[0] >= rows.size for rows in ends):
        return mask  # at neither end are two things, or two places of one
    closed = mask.copy()
    for contour in _outlines(mask, 0.0):
        points = contour[:, 0]
        for column in (0, last):
            rows = points[points[:, 0] == column, 1]
            if rows.size:
                closed[rows.min() : rows.max() + 1, column] = 255
    return closed


def _filled(shape: tuple[int, ...], outlines: Sequence[Outline]) -> UInt8Array:
    """255 within these borders."""
    return np.asarray(cv2.drawContours(np.zeros(shape, np.uint8), outlines, -1, 255, cv2.FILLED), np.uint8)


def _cores(
    things: Sequence[Outline], planes: Planes, belt: Planes, black: int
) -> Iterator[tuple[int, int, UInt8Array]]:
    """Left, top and mask of each thing without its shadow, in rectified pixels."""
    for contour in things:
        left, top, width, height = cv2.boundingRect(contour)
        cut = np.s_[top : top + height, left : left + width]
        thing = cv2.drawContours(
            np.zeros((height, width), np.uint8), [contour], 0, 255, cv2.FILLED, offset=(-left, -top)
        )
        shadow = _shadow([plane[cut] for plane in planes], [mean[cut] for mean in belt], black)
        core = cv2.morphologyEx(cv2.bitwise_and(thing, cv2.bitwise_not(shadow)), cv2.MORPH_OPEN, _TIP)
        core = _filled(core.shape, _outlines(np.asarray(core, np.uint8), 0.0))
        dark = cv2.countNonZero(core) < _CORE_SHARE * cv2.countNonZero(thing)
        yield left, top, np.asarray(thing if dark else core, np.uint8)


def _shadow(planes: Planes, belt: Planes, black: int) -> UInt8Array:
    """255 where it may be the belt with less light, (h, w) uint8."""
    y, u, v = (plane.astype(np.float32) for plane in planes)
    belt_y, belt_u, belt_v = (mean.astype(np.float32) for mean in belt)
    light = (y - black) / np.maximum(belt_y - black, 1)
    shadow = (light > _SHADOW[0]) & (light < _SHADOW[1])
    for colour, mean in ((u, belt_u), (v, belt_v)):
        shadow &= np.abs(colour - 128 - light * (mean - 128)) < _SHADOW_TINT
    return shadow.astype(np.uint8) * np.uint8(255)


def _sight(shown: BeltPicture, part: UInt8Array, left: int, top: int) -> PartSight:
    """Box and quality of a part by its mask, whose corner is at (left, top) of the rectified picture."""
    picture = shown.picture
    x, y, width, height = cv2.boundingRect(part)
    on_belt = (float(left + x), float(top + y), float(left + x + width), float(top + y + height))
    part, left, top = shown.plane.in_picture(part, left, top)
    x, y, width, height = cv2.boundingRect(part)
    part = part[y : y + height, x : x + width]
    left, top = 2 * (left + x), 2 * (top + y)
    right, bottom = min(left + 2 * width, picture.width_px), min(top + 2 * height, picture.height_px)
    luma = picture.luma[top:bottom, left:right]
    sample = np.ascontiguousarray(luma[::2, ::2])
    on_part = np.ascontiguousarray(part[: sample.shape[0], : sample.shape[1]])
    low, high = (0, 255) if picture.full_range else (16, 235)
    within = cv2.countNonZero(cv2.bitwise_and(cv2.inRange(sample, low + 1, high - 1), on_part))
    edges = np.ascontiguousarray(cv2.Laplacian(luma, cv2.CV_16S)[::2, ::2])
    _, deviation = cv2.meanStdDev(edges, mask=cv2.erode(on_part, _SMALL, iterations=2, borderValue=0))
    clipped = 1 - within / max(cv2.countNonZero(on_part), 1)
    return PartSight(
        box_xyxy_px=(float(left), float(top), float(right), float(bottom)),
        clipped_share=clipped,
        sharpness=float(deviation[0, 0]) ** 2,
        corners_px=shown.plane.corners_px(on_belt),
    )
