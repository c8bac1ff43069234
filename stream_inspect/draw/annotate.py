"""Draws tracks on pictures: box, outline, name and score, in the colour of the severity.

Shared by the live picture, by clips and pictures of events, and by replay, so that they look alike. Boxes are known in
judged frames only; `marks_at` gives their place in the frames between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_inspect.config.models import DefectConfig
from stream_inspect.messages import Box, Outline, Tracked, TrackUpdate
from stream_inspect.picture import UInt8Array

Colour = tuple[int, int, int]

COLOURS_BGR: dict[str, Colour] = {"minor": (60, 220, 250), "major": (0, 145, 255), "critical": (60, 60, 240)}
"""Yellow, orange, red: they differ in brightness as well as in hue."""
_INK_BGR: Colour = (16, 16, 16)
HIDE_UNSEEN_AFTER_S = 0.4
"""A track unseen for longer than this is not drawn: it may no longer be there."""
_FIXED_BITS = 3
"""OpenCV's fixed-point coordinates: marks glide instead of jumping from pixel to pixel."""
_FONT = cv2.FONT_HERSHEY_DUPLEX
_FONT_PX = 22.0
"""Height of the font's capitals at scale 1."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One defect to draw, in pixels of the judged picture."""

    name: str
    score: float
    severity: str
    box_xyxy_px: Box
    outline_px: Outline
    seen: bool


def severities(defects: Sequence[DefectConfig]) -> dict[str, str]:
    """Severity by defect name, from the configuration's `defects`."""
    return {defect.name: defect.severity for defect in defects}


def marks_at(
    pts_s: float,
    before: Tracked | None,
    after: Tracked | None = None,
    severity: Mapping[str, str] | None = None,
    hide_unseen_after_s: float = HIDE_UNSEEN_AFTER_S,
) -> list[Mark]:
    """What to draw on the frame at this time, of the same session as the judged frames before and after it.

    A track that was seen in both judged frames is interpolated; any other is moved by its velocity. `severity` (by
    name) is used for tracks without a detection. One unseen for longer than `hide_unseen_after_s` is not drawn.
    """
    severity = severity or {}
    later = {update.track: update for update in after.tracks} if after else {}
    marks: list[Mark] = []
    if before is None:
        return marks
    for update in before.tracks:
        following = later.get(update.track)
        elapsed_s = pts_s - before.frame.id.pts_s
        if after is not None and following is not None and following.seen and update.seen:
            span_s = after.frame.id.pts_s - before.frame.id.pts_s
            box = _between(update.box_xyxy_px, following.box_xyxy_px, elapsed_s / span_s if span_s > 0 else 0.0)
        elif pts_s - update.last_pts_s > hide_unseen_after_s:
            continue
        else:
            box = _moved(update, elapsed_s)
        marks.append(_mark(update, box, severity))
    return marks


def draw(picture_bgr: UInt8Array, marks: Sequence[Mark], scale: float = 1.0) -> None:
    """Draw on an (H, W, 3) uint8 BGR picture, in place. `scale`: its size over that of the judged picture."""
    height, width = picture_bgr.shape[:2]
    line_px = max(1, round(height / 360))
    labels: list[tuple[str, Box, Colour]] = []
    for mark in marks:
        left, top, right, bottom = (value * scale for value in mark.box_xyxy_px)
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            continue
        colour = COLOURS_BGR.get(mark.severity, COLOURS_BGR["major"])
        thickness = line_px if mark.seen else max(1, line_px // 2)
        corners = _fixed(((left, top), (right, bottom)))
        first, second = (int(corners[0, 0]), int(corners[0, 1])), (int(corners[1, 0]), int(corners[1, 1]))
        cv2.rectangle(picture_bgr, first, second, colour, thickness, cv2.LINE_8, _FIXED_BITS)
        for ring in mark.outline_px:
            points = _fixed([(x * scale, y * scale) for x, y in ring])
            cv2.polylines(picture_bgr, [points], True, colour, max(1, line_px // 2), cv2.LINE_AA, _FIXED_BITS)
        labels.append((f"{mark.name} {mark.score:.2f}", (left, top, right, bottom), colour))
    for text, box, colour in labels:  # after all boxes, so that no box crosses the letters
        _draw_label(picture_bgr, text, box, colour)


def _draw_label(picture_bgr: UInt8Array, text: str, box: Box, colour: Colour) -> None:
    """Dark letters on a plate of the box's colour, above the box or, at the picture's edge, inside it."""
    height, width = picture_bgr.shape[:2]
    letter_px = max(11.0, height / 54)
    size, thickness = letter_px / _FONT_PX, max(1, round(letter_px / 14))
    (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, size, thickness)
    pad = max(2, round(letter_px / 4))
    plate_width, plate_height = text_width + 2 * pad, text_height + baseline + pad
    left = round(min(max(box[0], 0.0), max(0, width - plate_width)))
    top = round(box[1]) - plate_height
    if top < 0:
        top = min(max(0, round(box[1])), max(0, height - plate_height))
    cv2.rectangle(picture_bgr, (left, top), (left + plate_width, top + plate_height), colour, cv2.FILLED)
    origin = (left + pad, top + plate_height - baseline - pad // 2)
    cv2.putText(picture_bgr, text, origin, _FONT, size, _INK_BGR, thickness, cv2.LINE_AA)


def _mark(update: TrackUpdate, box: Box, severity: Mapping[str, str]) -> Mark:
    found = update.detection
    shift_x, shift_y = box[0] - update.box_xyxy_px[0], box[1] - update.box_xyxy_px[1]
    outline = [[(x + shift_x, y + shift_y) for x, y in ring] for ring in found.outline_px] if found else []
    grade = found.severity if found else severity.get(update.defect, "major")
    return Mark(update.defect, update.score, grade, box, outline, update.seen)


def _moved(update: TrackUpdate, elapsed_s: float) -> Box:
    left, top, right, bottom = update.box_xyxy_px
    dx, dy = (speed * elapsed_s for speed in update.velocity_px_s)
    return (left + dx, top + dy, right + dx, bottom + dy)


def _between(first: Box, second: Box, share: float) -> Box:
    left, top, right, bottom = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return (left, top, right, bottom)


def _fixed(points: Sequence[tuple[float, float]]) -> NDArray[np.int32]:
    """Fixed-point coordinates. Ours start at the picture's corner, OpenCV's at the centre of the first pixel."""
    return np.round((np.asarray(points, dtype=np.float64) - 0.5) * (1 << _FIXED_BITS)).astype(np.int32)
