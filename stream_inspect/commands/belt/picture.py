"""The picture of what was found of a belt: arrows of motion, lanes, trigger and gate, and a scale bar."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from stream_inspect.belt.clip_motion import PlaceMotion
from stream_inspect.belt.geometry import BeltBox, BeltView
from stream_inspect.config.models import BeltConfig, LineConfig
from stream_inspect.draw.labels import Label, draw_labels
from stream_inspect.messages import Interval
from stream_inspect.picture import Picture, UInt8Array

Colour = tuple[int, int, int]
_MOTION_BGR: Colour = (80, 220, 80)
_LANE_BGR: Colour = (250, 200, 60)
_PLACE_BGR: Colour = (60, 60, 240)
_BAR_BGR: Colour = (255, 255, 255)
_LONGEST_ARROW = 0.12
"""Of the picture's width."""
_BAR_SHARE = 0.25
"""Of what the picture shows of the belt, at most."""


def draw_found(
    picture: Picture, belt: BeltConfig, places: Sequence[PlaceMotion], line: LineConfig | None, *, has_scale: bool
) -> UInt8Array:
    """(H, W, 3) uint8 BGR. Without a scale, only the motion."""
    bgr = np.ascontiguousarray(picture.to_bgr())
    view = BeltView(belt, picture.width_px, picture.height_px)
    labels: list[Label] = []
    for place in places:
        _arrow(bgr, place, max(one.motion.speed_px for one in places))
    if has_scale:
        for number, lane in enumerate(line.lanes if line else ()):
            for across_mm in (lane.from_mm, lane.to_mm):
                _stroke(bgr, view, (0, across_mm), (view.length_mm, across_mm), _LANE_BGR)
            labels.append(
                _label(f"lane {number}", view, (view.length_mm / 3, (lane.from_mm + lane.to_mm) / 2), _LANE_BGR)
            )
        for name in ("trigger", "gate"):
            at_mm: float | None = getattr(line, f"{name}_mm", None)
            along_mm = None if at_mm is None else at_mm - belt.offset_mm
            if along_mm is not None and 0 <= along_mm <= view.length_mm:
                _stroke(bgr, view, (along_mm, 0), (along_mm, view.width_mm), _PLACE_BGR)
                labels.append(_label(name, view, (along_mm, view.width_mm / 2), _PLACE_BGR))
        bar_mm = _round_length(_BAR_SHARE * view.length_mm)
        start, end = (view.length_mm - bar_mm) / 2, (view.length_mm + bar_mm) / 2
        _stroke(bgr, view, (start, 0.9 * view.width_mm), (end, 0.9 * view.width_mm), _BAR_BGR, 3)
        labels.append(_label(f"{bar_mm:g} mm", view, ((start + end) / 2, 0.9 * view.width_mm), _BAR_BGR))
    draw_labels(bgr, labels)
    return bgr


def _arrow(bgr: UInt8Array, place: PlaceMotion, fastest_px: float) -> None:
    length = _LONGEST_ARROW * bgr.shape[1] * place.motion.speed_px / fastest_px
    angle = math.radians(place.motion.direction_deg)
    (x, y), way = place.at_px, (length * math.cos(angle), length * math.sin(angle))
    start, end = (round(x - way[0] / 2), round(y - way[1] / 2)), (round(x + way[0] / 2), round(y + way[1] / 2))
    cv2.arrowedLine(bgr, start, end, _MOTION_BGR, _thickness(bgr), cv2.LINE_AA, tipLength=0.25)


def _stroke(
    bgr: UInt8Array, view: BeltView, start: tuple[float, float], end: tuple[float, float], colour: Colour, wide: int = 1
) -> None:
    """A line on the belt, from and to places in mm along and across it."""
    first, last = (tuple(round(value) for value in _px(view, place)) for place in (start, end))
    cv2.line(bgr, (first[0], first[1]), (last[0], last[1]), colour, wide * _thickness(bgr), cv2.LINE_AA)


def _label(text: str, view: BeltView, place: tuple[float, float], colour: Colour) -> Label:
    x, y = _px(view, place)
    return Label(text, (x, y, x, y), colour)


def _px(view: BeltView, place: tuple[float, float]) -> tuple[float, float]:
    """A place in mm along and across the belt, in pixels."""
    along, across = place
    left, top, _, _ = view.px_from_belt(BeltBox(Interval(-along, -along), Interval(across, across)), 0.0)
    return left, top


def _thickness(bgr: UInt8Array) -> int:
    return max(1, round(int(bgr.shape[0]) / 360))


def _round_length(most_mm: float) -> float:
    """The largest of 1, 2, 5, 10, ... mm that is not longer."""
    power = 10 ** math.floor(math.log10(most_mm))
    return float(max(step * power for step in (1, 2, 5) if step * power <= most_mm))
