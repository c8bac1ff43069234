"""Constant-velocity motion of a box in the picture, by OpenCV's Kalman filter, in seconds."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_inspect.boxes import centre
from stream_inspect.messages import Box

Vector = NDArray[np.float64]

_PLACE_NOISE = 0.08
"""Standard deviation of a measured centre or side, in box sizes."""
_FIRST_SPEED = 3.0
"""Standard deviation of a new track's unknown speed, in box sizes a second."""
_ACCELERATION = 1.0
"""Standard deviation of what changes the speed, in box sizes a second, over one second."""
_RESIZING = 0.3
"""The same for the size, which hardly changes."""
_FARTHEST = 1.5
"""No match is farther than this from the predicted place, in box sizes, however little is known of the speed: otherwise
any two false boxes within a second would make a track."""
_REACH = 9.21
"""Squared Mahalanobis distance in two dimensions that 99 % of true matches stay under."""


class BoxMotion:
    """State (cx, cy, w, h, vx, vy, vw, vh) in px and px/s of one track."""

    def __init__(self, box_xyxy_px: Box) -> None:
        self._filter = cv2.KalmanFilter(8, 4, 0, cv2.CV_64F)
        self._filter.measurementMatrix = np.eye(4, 8)
        measured = _centre_and_size(box_xyxy_px)
        self._filter.statePost = np.concatenate([measured, np.zeros(4)]).reshape(8, 1)
        size = self._size_px(measured)
        place, speed = _PLACE_NOISE * size, _FIRST_SPEED * size
        still = _RESIZING * size
        self._filter.errorCovPost = np.diag(np.square([place] * 4 + [speed, speed, still, still]))
        self._filter.measurementNoiseCov = np.diag(np.square([place] * 4))
        self.predict(0.0)

    @property
    def box_px(self) -> Box:
        """Where the box is believed to be."""
        cx, cy, width, height = (float(value) for value in self._state[:4])
        width, height = max(width, 1.0), max(height, 1.0)
        return (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)

    @property
    def velocity_px_s(self) -> tuple[float, float]:
        """Speed of the centre."""
        return float(self._state[4]), float(self._state[5])

    def predict(self, dt_s: float) -> None:
        """Move on by this time."""
        transition = np.eye(8)
        transition[range(4), range(4, 8)] = dt_s
        size = self._size_px(np.asarray(self._filter.statePost, np.float64).ravel())
        agility = np.square([_ACCELERATION * size] * 2 + [_RESIZING * size] * 2)
        noise = np.zeros((8, 8))
        noise[range(4), range(4)] = agility * dt_s**3 / 3
        noise[range(4), range(4, 8)] = noise[range(4, 8), range(4)] = agility * dt_s**2 / 2
        noise[range(4, 8), range(4, 8)] = agility * dt_s
        self._filter.transitionMatrix = transition
        self._filter.processNoiseCov = noise
        self._state = self._filter.predict().ravel()
        self._centre = float(self._state[0]), float(self._state[1])
        spread = self._filter.errorCovPre.diagonal() + np.pad(self._filter.measurementNoiseCov.diagonal(), (0, 4))
        self._spread = float(spread[0]), float(spread[1])
        self._farthest_px = _FARTHEST * size

    def correct(self, box_xyxy_px: Box) -> None:
        """Take a measured box into account."""
        self._state = self._filter.correct(_centre_and_size(box_xyxy_px).reshape(4, 1)).ravel()

    def distance(self, box_xyxy_px: Box) -> float:
        """Distance of a box's centre from the predicted one, in reaches: above 1 it is hardly the same thing."""
        x, y = centre(box_xyxy_px)
        dx, dy = x - self._centre[0], y - self._centre[1]
        # Nothing couples x and y in this model, so their spreads are two numbers and not a matrix.
        inside = math.sqrt((dx * dx / self._spread[0] + dy * dy / self._spread[1]) / _REACH)
        return max(inside, math.hypot(dx, dy) / self._farthest_px)

    @staticmethod
    def _size_px(state: Vector) -> float:
        return float(max(np.sqrt(max(state[2], 1.0) * max(state[3], 1.0)), 4.0))


def _centre_and_size(box: Box) -> Vector:
    left, top, right, bottom = box
    return np.array([*centre(box), right - left, bottom - top], dtype=np.float64)
