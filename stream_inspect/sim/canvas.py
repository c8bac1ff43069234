"""A small drawing surface in millimetres: shapes are given about the middle, pixels stay inside this file."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
Point = tuple[float, float]
Colour = float | Sequence[float] | npt.NDArray[np.floating]
"""Grey, or blue, green, red, 0 to 255."""

_SHIFT = 4
"""Fractional bits of OpenCV's fixed-point coordinates: edges land where they belong, not on whole pixels."""


class Canvas:
    """An image of `channels` whose coordinates are millimetres, x right and y down, the origin in its middle."""

    def __init__(self, size_mm: tuple[float, float], px_per_mm: float, channels: int = 1) -> None:
        self.px_per_mm = px_per_mm
        self.width_px = max(8, round(size_mm[0] * px_per_mm))
        self.height_px = max(8, round(size_mm[1] * px_per_mm))
        shape = (self.height_px, self.width_px) if channels == 1 else (self.height_px, self.width_px, channels)
        self.pixels: U8 = np.zeros(shape, np.uint8)

    @classmethod
    def like(cls, other: Canvas) -> Canvas:
        """An empty one-channel canvas over the same pixels as another."""
        canvas = cls((1.0, 1.0), other.px_per_mm)
        canvas.height_px, canvas.width_px = other.height_px, other.width_px
        canvas.pixels = np.zeros((other.height_px, other.width_px), np.uint8)
        return canvas

    def fill(self, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.pixels, [self._fixed(points)], _scalar(colour), cv2.LINE_AA, _SHIFT)

    def stroke(self, points: Sequence[Point], colour: Colour, width_mm: float, closed: bool = False) -> None:
        """Draw a line through the points; a width under a pixel becomes one pixel."""
        width_px = max(1, round(width_mm * self.px_per_mm))
        fixed = [self._fixed(points)]
        cv2.polylines(self.pixels, fixed, closed, _scalar(colour), width_px, cv2.LINE_AA, _SHIFT)

    def disc(self, centre: Point, radius_mm: float, colour: Colour) -> None:
        """Fill a circle."""
        self._circle(centre, radius_mm, colour, -1)

    def ring(self, centre: Point, radius_mm: float, colour: Colour, width_mm: float) -> None:
        """Draw a circle's outline."""
        self._circle(centre, radius_mm, colour, max(1, round(width_mm * self.px_per_mm)))

    def box(self, centre: Point, size_mm: Point, colour: Colour, turn_deg: float = 0.0) -> None:
        """Fill a rectangle turned about its middle."""
        self.fill(rectangle(centre, size_mm, turn_deg), colour)

    def text(self, centre: Point, words: str, height_mm: float, colour: Colour) -> None:
        """Print words, `height_mm` high, with their middle at `centre`."""
        font = cv2.FONT_HERSHEY_SIMPLEX
        scale = height_mm * self.px_per_mm / 21.0
        thickness = max(1, round(height_mm * self.px_per_mm / 9.0))
        (width_px, height_px), _ = cv2.getTextSize(words, font, scale, thickness)
        x_px, y_px = self._pixel(centre)
        origin = (round(x_px - width_px / 2), round(y_px + height_px / 2))
        cv2.putText(self.pixels, words, origin, font, scale, _scalar(colour), thickness, cv2.LINE_AA)

    def _circle(self, centre: Point, radius_mm: float, colour: Colour, width_px: int) -> None:
        x_px, y_px = self._pixel(centre)
        one = 1 << _SHIFT
        fixed = (round(x_px * one), round(y_px * one))
        radius = round(radius_mm * self.px_per_mm * one)
        cv2.circle(self.pixels, fixed, radius, _scalar(colour), width_px, cv2.LINE_AA, _SHIFT)

    def _pixel(self, point: Point) -> tuple[float, float]:
        # OpenCV counts from the middle of the first pixel, hence the half.
        x_px = point[0] * self.px_per_mm + self.width_px / 2 - 0.5
        y_px = point[1] * self.px_per_mm + self.height_px / 2 - 0.5
        return x_px, y_px

    def _fixed(self, points: Sequence[Point]) -> npt.NDArray[np.int32]:
        pixels = np.array([self._pixel(point) for point in points])
        return np.asarray(np.round(pixels * (1 << _SHIFT)), np.int32)


def rectangle(centre: Point, size_mm: Point, turn_deg: float = 0.0) -> list[Point]:
    """Corners of a rectangle turned about its middle."""
    angle = np.deg2rad(turn_deg)
    along = np.array([np.cos(angle), np.sin(angle)]) * size_mm[0] / 2
    across = np.array([-np.sin(angle), np.cos(angle)]) * size_mm[1] / 2
    corners = [-along - across, along - across, along + across, across - along]
    return [(centre[0] + float(c[0]), centre[1] + float(c[1])) for c in corners]


def rounded_rectangle(size_mm: Point, radius_mm: float) -> list[Point]:
    """Outline of a rectangle about the origin with round corners."""
    half_x, half_y = size_mm[0] / 2 - radius_mm, size_mm[1] / 2 - radius_mm
    outline: list[Point] = []
    for corner, (sign_x, sign_y) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        for step in range(7):
            angle = np.pi / 2 * (corner + step / 6)
            x_mm = sign_x * half_x + radius_mm * float(np.cos(angle))
            y_mm = sign_y * half_y + radius_mm * float(np.sin(angle))
            outline.append((x_mm, y_mm))
    return outline


def _scalar(colour: Colour) -> tuple[float, ...]:
    return (float(colour),) if isinstance(colour, float | int) else tuple(float(c) for c in colour)
