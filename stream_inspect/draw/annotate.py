"""Draws tracks on pictures: box, outline, name and score, in the colour of the severity.

Shared by the live picture, by clips and pictures of events, and by replay, so that they look alike. Boxes are known in
judged frames only; `marks_at` gives their place in the frames between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream_inspect.config.models import DefectConfig
from stream_inspect.draw.labels import Label, Plate, draw_labels
from stream_inspect.draw.strokes import Colour, rectangle, ring
from stream_inspect.messages import Box, Outline, Tracked, TrackUpdate
from stream_inspect.picture import UInt8Array

COLOURS_BGR: dict[str, Colour] = {"minor": (60, 220, 250), "major": (0, 145, 255), "critical": (60, 60, 240)}
"""Yellow, orange, red: they differ in brightness as well as in hue."""
_OWN_BGR: Colour = (255, 255, 255)
"""Around the box of the event's own defect, where a picture shows others too."""
HIDE_UNSEEN_AFTER_S = 0.4
"""A track unseen for longer than this is not drawn: it may no longer be there."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One defect to draw, in pixels of the judged picture. `score` is that of the judged frame `judged_seq`."""

    name: str
    score: float
    severity: str
    box_xyxy_px: Box
    outline_px: Outline
    seen: bool
    """In that judged frame; if not, the score is of an earlier one, and no label shows it."""
    track: int | None = None
    judged_seq: int | None = None


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
        marks.append(_mark(update, box, severity, before.frame.id.seq))
    return marks


def draw(
    picture_bgr: UInt8Array,
    marks: Sequence[Mark],
    scale: float = 1.0,
    *,
    own_track: int | None = None,
    name_frames: bool = False,
    taken: Sequence[Plate] = (),
) -> None:
    """Draw on an (H, W, 3) uint8 BGR picture, in place. `scale`: its size over that of the judged picture.

    The mark of `own_track` has a white frame around it. With `name_frames` each label says of which judged frame its
    score is: "scratch 0.71 @1234" is that of the frame with seq 1234. No label hides what is `taken`.
    """
    height, width = picture_bgr.shape[:2]
    line_px = max(1, round(height / 360))
    labels: list[Label] = []
    for mark in sorted(marks, key=lambda one: one.track is not None and one.track == own_track):  # its own one on top
        left, top, right, bottom = (value * scale for value in mark.box_xyxy_px)
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            continue
        colour = COLOURS_BGR.get(mark.severity, COLOURS_BGR["major"])
        thickness = line_px if mark.seen else max(1, line_px // 2)
        if mark.track is not None and mark.track == own_track:
            around = (left - 3 * line_px, top - 3 * line_px, right + 3 * line_px, bottom + 3 * line_px)
            rectangle(picture_bgr, around, _OWN_BGR, 2 * line_px)
        rectangle(picture_bgr, (left, top, right, bottom), colour, thickness)
        for outline in mark.outline_px:
            ring(picture_bgr, [(x * scale, y * scale) for x, y in outline], colour, max(1, line_px // 2))
        labels.append(Label(_text(mark, name_frames), (left, top, right, bottom), colour))
    draw_labels(picture_bgr, labels[::-1], taken)  # after all boxes, so that no box crosses the letters


def _text(mark: Mark, name_frame: bool) -> str:
    if not mark.seen:
        return mark.name
    of_frame = f" @{mark.judged_seq}" if name_frame and mark.judged_seq is not None else ""
    return f"{mark.name} {mark.score:.2f}{of_frame}"


def _mark(update: TrackUpdate, box: Box, severity: Mapping[str, str], judged_seq: int) -> Mark:
    found = update.detection
    shift_x, shift_y = box[0] - update.box_xyxy_px[0], box[1] - update.box_xyxy_px[1]
    outline = [[(x + shift_x, y + shift_y) for x, y in ring] for ring in found.outline_px] if found else []
    grade = found.severity if found else severity.get(update.defect, "major")
    return Mark(update.defect, update.score, grade, box, outline, update.seen, update.track, judged_seq)


def _moved(update: TrackUpdate, elapsed_s: float) -> Box:
    left, top, right, bottom = update.box_xyxy_px
    dx, dy = (speed * elapsed_s for speed in update.velocity_px_s)
    return (left + dx, top + dy, right + dx, bottom + dy)


def _between(first: Box, second: Box, share: float) -> Box:
    left, top, right, bottom = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return (left, top, right, bottom)
