"""One camera's pictures in the plane of its belt: halved, with rows along the belt. Everything that measures a belt by
its pictures works on these, which are made once a frame.

A belt along one of the picture's sides needs no warp. For another one the halved picture is warped, by a map that is
planned once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np

from stream_inspect.belt.geometry import BeltView, Floats
from stream_inspect.config.models import BeltConfig
from stream_inspect.messages import Box, Corners
from stream_inspect.picture import Picture, UInt8Array

Planes = Sequence[UInt8Array]
"""Y, U and V, each (h, w) uint8."""

_MOST_PLACES = 1.25
"""A warped picture has at most so many times the places of the halved one: a slant stretches what is far away."""
_TO_HALVED: Floats = np.array([[0.5, 0, -0.5], [0, 0.5, -0.5], [0, 0, 1]])
"""From pixels to indices of the halved picture, whose pixels' middles are whole numbers."""


class BeltPicture:
    """One picture, rectified."""

    def __init__(self, picture: Picture, plane: BeltPlane) -> None:
        self.picture, self.plane = picture, plane

    @cached_property
    def luma(self) -> UInt8Array:
        """(h, w) uint8, rows along the belt."""
        height = self.picture.i420.shape[0] * 2 // 3
        size = self.picture.i420.shape[1] // 2, height // 2
        halved = cv2.resize(self.picture.i420[:height], size, interpolation=cv2.INTER_AREA)
        return self.plane.rectified(np.asarray(halved, np.uint8))

    @cached_property
    def planes(self) -> Planes:
        """Y, U and V, each of the same shape."""
        width = self.picture.i420.shape[1]
        height = self.picture.i420.shape[0] * 2 // 3
        u, v = self.picture.i420[height:].reshape(2, height // 2, width // 2)
        return self.luma, self.plane.rectified(u), self.plane.rectified(v)


class BeltPlane:
    """How pictures of one size are rectified."""

    def __init__(self, view: BeltView) -> None:
        self.view = view
        self._upright = view.is_straight and view.angle_deg in (0, 180)
        self._straight = view.is_straight
        self.sign = -1.0 if view.is_straight and view.angle_deg >= 180 else 1.0
        """Of the belt's way in the rows' order."""
        halved = math.ceil(view.width_px / 2), math.ceil(view.height_px / 2)
        if self._straight:
            self.mm_per_px = 2 * view.mm_per_px
            self.shape = halved[::-1] if self._upright else halved
            self.seen: UInt8Array | None = None
            return
        places = view.length_mm * view.width_mm / (2 * view.mm_per_px) ** 2
        coarser = max(1.0, math.sqrt(places / (_MOST_PLACES * halved[0] * halved[1])))
        self.mm_per_px = 2 * view.mm_per_px * coarser
        """Of the rectified picture."""
        self.shape = math.ceil(view.width_mm / self.mm_per_px), math.ceil(view.length_mm / self.mm_per_px)
        """(rows, columns) of the rectified picture."""
        to_mm = np.diag([self.mm_per_px, self.mm_per_px, 1]) @ np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        self._to_px: Floats = view.to_px @ to_mm
        """From indices of the rectified picture to pixels."""
        rows, columns = np.indices(self.shape, np.float64)
        x, y, nearness = np.tensordot(_TO_HALVED @ self._to_px, np.stack([columns, rows, np.ones_like(rows)]), 1)
        nearness = np.maximum(nearness, 1e-9)
        self._map = cv2.convertMaps((x / nearness).astype(np.float32), (y / nearness).astype(np.float32), cv2.CV_16SC2)
        corners = cv2.perspectiveTransform(np.array([view.seen_px], np.float64), np.linalg.inv(self._to_px))
        drawn = cv2.fillConvexPoly(np.zeros(self.shape, np.uint8), np.rint(corners).astype(np.int32), 255)
        self.seen = np.asarray(drawn, np.uint8)
        """255 where the camera sees the belt, (h, w) uint8; None: everywhere."""

    @property
    def seen_count(self) -> int:
        """Places of the rectified picture that show something."""
        return self.shape[0] * self.shape[1] if self.seen is None else cv2.countNonZero(self.seen)

    def rectified(self, halved: UInt8Array) -> UInt8Array:
        """A plane of the halved picture, with rows along the belt; repeated beyond what the camera sees."""
        if self._upright:
            return halved
        if self._straight:
            return np.asarray(cv2.transpose(halved), np.uint8)
        return np.asarray(
            cv2.remap(halved, self._map[0], self._map[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
        )

    def in_picture(self, mask: UInt8Array, left: int, top: int) -> tuple[UInt8Array, int, int]:
        """A thing's mask, and its left and top, in the halved picture, from those in the rectified one."""
        if self._upright:
            return mask, left, top
        if self._straight:
            return np.asarray(cv2.transpose(mask), np.uint8), top, left
        to_halved = _TO_HALVED @ self._to_px @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        outlines = [np.rint(cv2.perspectiveTransform(contour.astype(np.float64), to_halved)) for contour in contours]
        width, height = math.ceil(self.view.width_px / 2), math.ceil(self.view.height_px / 2)
        x, y, w, h = cv2.boundingRect(np.concatenate(outlines).astype(np.int32))
        x, right = max(x, 0), min(x + w, width)
        y, bottom = max(y, 0), min(y + h, height)
        drawn = np.zeros((max(bottom - y, 1), max(right - x, 1)), np.uint8)
        shapes = [outline.astype(np.int32) for outline in outlines]
        return np.asarray(cv2.fillPoly(drawn, shapes, 255, offset=(-x, -y)), np.uint8), x, y

    def corners_px(self, box: Box) -> Corners:
        """Corners in the picture of a box of the rectified one; none where the two lie the same way."""
        if self._straight:
            return ()
        left, top, right, bottom = (side - 0.5 for side in box)
        corners = np.array([[[left, top], [right, top], [right, bottom], [left, bottom]]])
        placed = cv2.perspectiveTransform(corners, self._to_px)[0]
        return tuple((float(x), float(y)) for x, y in placed)


class Rectifier:
    """Rectifies the pictures of one camera; plans once for each size."""

    def __init__(self, belt: BeltConfig) -> None:
        self._belt = belt
        self._plane: BeltPlane | None = None

    def see(self, picture: Picture) -> BeltPicture:
        """The picture, to be rectified as far as it is used."""
        size = picture.width_px, picture.height_px
        if self._plane is None or (self._plane.view.width_px, self._plane.view.height_px) != size:
            self._plane = BeltPlane(BeltView(self._belt, *size))
        return BeltPicture(picture, self._plane)
