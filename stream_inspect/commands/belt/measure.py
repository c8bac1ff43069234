"""Direction and speed of a belt by its pictures, and what makes them doubtful."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from stream_inspect.belt.clip_motion import Clip, ClipMotion, PlaceMotion
from stream_inspect.belt.geometry import BeltView
from stream_inspect.belt.rectified import Rectifier
from stream_inspect.belt.visual_odometer import VisualOdometer
from stream_inspect.commands.belt.frames import BeltError, Frames
from stream_inspect.config.models import BeltConfig
from stream_inspect.rotation import direction_at

_FLAT_LEVELS = 1.5
"""Contrast below which a picture shows noise alone."""
_PARTS, _FEWEST = 3, 8
"""The clip is also measured in so many parts of at least so many frames: the belt runs evenly if they agree."""
_TURNS_DEG, _CHANGES = 8.0, 0.12
"""They disagree from these on, in direction and speed."""
_LIKE_WHOLE = (0.5, 2.0)
"""What moves at a share of the speed between these is the belt."""
_SLANT = 0.06
"""So much of the speed it may differ over the picture."""
_ALONG_SIDE_DEG = 1.0
"""A direction so near to a side of the picture is taken for it."""
_SURE_DEG = 0.2
"""No direction is measured better: 0.15 degrees off at most on the sample clips."""
_SURE_PX = 0.02
"""Nothing is measured better than to so many reduced pixels a frame, or the way over the whole clip to one."""


@dataclass(frozen=True, slots=True)
class Value:
    """A measured value and one standard deviation of it."""

    value: float
    sigma: float

    def scaled(self, by: float, sigma_share: float = 0.0) -> Value:
        """In another unit, whose factor is known so well."""
        share = math.hypot(self.sigma / max(abs(self.value), 1e-9), sigma_share)
        return Value(self.value * by, abs(self.value * by) * share)

    def text(self, unit: str) -> str:
        """Both, as far as they are known."""
        if self.sigma == 0:
            return f"{self.value:.5g} {unit}"
        digits = max(0, -math.floor(math.log10(max(self.sigma, 1e-4))))
        return f"{self.value:.{digits}f} ± {self.sigma:.{digits}f} {unit}"


@dataclass(frozen=True, slots=True)
class Motion:
    """How the belt moves, by the plane in which it was measured."""

    belt: BeltConfig
    """With its measured direction and speed; at 1 mm a pixel where the scale is not known."""
    direction_deg: Value
    """In the picture, clockwise from the right; seen at a slant, in the middle of the rectangle."""
    speed_mm_s: Value
    places: list[PlaceMotion]
    """The motion at places of the picture, in its pixels a frame."""
    fps: float


def measure(frames: Frames, plane: BeltConfig, show: Callable[[str], None]) -> Motion:
    """The motion of what lies in a plane: that of the picture, `left_to_right`, or one seen at a slant.

    The plane's speed, and how its rectangle lies in it, do not matter. Raises `BeltError`.
    """
    fps = (len(frames.pts_s) - 1) / frames.seconds
    rectifier = Rectifier(plane)
    show("measuring the direction …")
    clip = Clip(rectifier.see(picture).luma for picture in frames.pictures)
    whole = clip.motion()
    if whole is None or whole.confidence == 0:
        raise _nothing_moves(clip, frames)
    places = [place for place in clip.places(whole) if _is_like(place.motion, whole)]
    rectified = rectifier.see(frames.pictures[0]).plane
    view = rectified.view
    px = rectified.mm_per_px / view.mm_per_px
    _refuse_slant(places, view, px)
    sigma_deg = _disagreement(clip, whole, fps, px)
    belt = _turned(plane, view, whole, speed_mm_s=max(1e-3, whole.speed_px * rectified.mm_per_px * fps))
    show("measuring the speed …")
    speed = _speed(frames, belt)
    if abs(speed.value - belt.speed_mm_s) > _CHANGES * belt.speed_mm_s:
        raise BeltError(
            f"the belt's way says {speed.value:.4g} and its motion from frame to frame {belt.speed_mm_s:.4g} "
            f"{'px' if plane.mm_per_px == 1 else 'mm'}/s: film it while it runs evenly"
        )
    measured = belt.model_copy(update={"speed_mm_s": speed.value})
    in_picture = [_in_picture(place, rectified.mm_per_px, belt, view) for place in places]
    return Motion(measured, Value(measured.angle_deg, sigma_deg), speed, in_picture, fps)


def _nothing_moves(clip: Clip, frames: Frames) -> BeltError:
    if clip.contrast < _FLAT_LEVELS:
        return BeltError(
            "the picture shows no texture that could move: check light, focus and exposure, or film the belt with "
            "parts on it"
        )
    return BeltError(
        f"nothing moves evenly through the picture in {frames.seconds:.1f} s: film the belt while it runs, at least a "
        "tenth of the picture each second"
    )


def _disagreement(clip: Clip, whole: ClipMotion, fps: float, px: float) -> float:
    """One standard deviation of the direction, by the parts of the clip. Raises `BeltError` where they disagree.

    `px` is the size of a rectified pixel in those of the camera.
    """
    length = len(clip) // _PARTS
    if length < _FEWEST:
        return 2 * _SURE_DEG
    found = [clip.motion(slice(length * part, length * (part + 1))) for part in range(_PARTS)]
    turns = [_turn_deg(part.direction_deg, whole.direction_deg) for part in found if part is not None]
    agree = len(turns) == _PARTS and max(map(abs, turns)) < _TURNS_DEG
    if not agree or any(part and abs(part.speed_px / whole.speed_px - 1) > _CHANGES for part in found):
        seconds = length / fps
        said = [
            f"{seconds * part:.1f} to {seconds * (part + 1):.1f} s: "
            + (
                f"{round(motion.direction_deg) % 360} degrees, {motion.speed_px * px:.1f} px a frame"
                if motion
                else "no even motion"
            )
            for part, motion in enumerate(found)
        ]
        raise BeltError(f"the motion contradicts itself ({'; '.join(said)}): film the belt while it runs evenly")
    return max(_SURE_DEG, float(np.std(turns)))


def _is_like(motion: ClipMotion, whole: ClipMotion) -> bool:
    low, high = _LIKE_WHOLE
    return low < motion.speed_px / whole.speed_px < high and motion.confidence > 0


def _refuse_slant(places: Sequence[PlaceMotion], view: BeltView, px: float) -> None:
    """Raises `BeltError` where near things move faster than far ones, and the plane does not say by how much."""
    speeds = sorted(place.motion.speed_px * px for place in places)
    if len(speeds) < 4 or speeds[-2] - speeds[1] < _SLANT * speeds[len(speeds) // 2]:
        return
    raise BeltError(
        f"things move by {speeds[1]:.1f} px a frame at one place and {speeds[-2]:.1f} at another: the camera sees the "
        "belt at a slant. "
        + (
            "Lay a checkerboard on it and give --target-mm, or write `belt.corners_px`"
            if view.is_straight
            else "The rectangle does not fit: check its corners and its size"
        )
    )


def _turn_deg(one_deg: float, other_deg: float) -> float:
    return (one_deg - other_deg + 180) % 360 - 180


def _turned(plane: BeltConfig, view: BeltView, motion: ClipMotion, speed_mm_s: float) -> BeltConfig:
    """The belt in this plane, in the direction of the motion that was measured there."""
    if plane.corners_px is None or plane.corners_mm is None:
        side = min((0.0, 90.0, 180.0, 270.0, 360.0), key=lambda angle: abs(angle - motion.direction_deg))
        direction = direction_at(side) if abs(side - motion.direction_deg) <= _ALONG_SIDE_DEG else None
        angle_deg = None if direction else round(motion.direction_deg, 1)
        return BeltConfig(
            direction=direction, direction_deg=angle_deg, speed_mm_s=speed_mm_s, mm_per_px=plane.mm_per_px
        )
    corners = cv2.perspectiveTransform(np.array([plane.corners_px], np.float64), view.to_mm)[0]
    middle, (along_mm, across_mm) = corners.mean(axis=0), plane.corners_mm
    angle = math.radians(motion.direction_deg)
    along = np.array([math.cos(angle), math.sin(angle)]) * along_mm / 2
    across = np.array([-math.sin(angle), math.cos(angle)]) * across_mm / 2
    turned = np.array(
        [[middle - along - across, middle + along - across, middle + along + across, middle - along + across]]
    )
    placed = cv2.perspectiveTransform(turned, view.to_px)[0]
    return BeltConfig(
        corners_px=[(round(float(x), 1), round(float(y), 1)) for x, y in placed],
        corners_mm=(along_mm, across_mm),
        speed_mm_s=speed_mm_s,
    )


def _speed(frames: Frames, belt: BeltConfig) -> Value:
    """By the way over all frames."""
    rectifier, odometer = Rectifier(belt), VisualOdometer(belt)
    moved = [
        odometer.see(rectifier.see(*each[:1]), each[1]).mm for each in zip(frames.pictures, frames.pts_s, strict=True)
    ]
    known = [number for number, mm in enumerate(moved) if mm is not None]
    if len(known) < len(moved) / 2:
        raise BeltError("the belt's way is not seen in most frames: check light, focus and exposure")
    way_mm, seconds = sum(moved[number] or 0.0 for number in known), frames.pts_s[known[-1]] - frames.pts_s[0]
    steps = np.diff([frames.pts_s[0], *(frames.pts_s[number] for number in known)])
    speeds = np.array([moved[number] for number in known]) / steps
    sure_mm = _SURE_PX * 4 * belt.scale_mm_per_px * math.sqrt(len(known))
    return Value(way_mm / seconds, max(float(speeds.std()) / len(known), sure_mm / seconds))


def _in_picture(place: PlaceMotion, mm_per_px: float, belt: BeltConfig, view: BeltView) -> PlaceMotion:
    """A place of the rectified picture, in pixels of the camera's."""
    angle = math.radians(place.motion.direction_deg)
    start = np.array(place.at_px)
    end = start + place.motion.speed_px * np.array([math.cos(angle), math.sin(angle)])
    (x, y), (end_x, end_y) = cv2.perspectiveTransform(np.array([[start, end]]) * mm_per_px, view.to_px)[0]
    motion = ClipMotion(
        math.degrees(math.atan2(end_y - y, end_x - x)) % 360, math.hypot(end_x - x, end_y - y), place.motion.confidence
    )
    return PlaceMotion((float(x), float(y)), motion)
