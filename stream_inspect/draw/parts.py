"""Draws the parts of a line on a picture, each with its number and its verdict.

A part without a verdict has corners only, one with a verdict a whole frame: so they differ without colours, from each
other and from the boxes of defects, which have no corners.
"""

from __future__ import annotations

from stream_inspect.draw.labels import Label, Plate, draw_labels
from stream_inspect.draw.strokes import Colour, corners, rectangle
from stream_inspect.messages import FrameId, PartsShown, ShownPart, Verdict
from stream_inspect.picture import UInt8Array

VERDICTS_BGR: dict[Verdict | None, Colour] = {
    Verdict.PASS: (122, 210, 47),
    Verdict.FAIL: (60, 60, 240),
    Verdict.UNDECIDED: (0, 191, 255),
    None: (225, 225, 225),
}
"""Green, red, amber, and a light grey for none yet."""
_ARM_OF_HEIGHT = 0.035


def draw_parts(
    picture_bgr: UInt8Array, shown: PartsShown, frame: FrameId, scale: float, *, hide_after_s: float
) -> list[Plate]:
    """Draw the parts on a frame near that in which they were seen, in place; returns where their labels are.

    `scale` is the picture's size over that of the judged picture. Nothing is drawn on a frame of another session, or
    where the parts were seen more than `hide_after_s` from it.
    """
    since_s = frame.pts_s - shown.frame.id.pts_s
    if shown.frame.id.session != frame.session or abs(since_s) > hide_after_s:
        return []
    height, width = picture_bgr.shape[:2]
    line_px = max(1, round(height / 360))
    labels: list[Label] = []
    for part in shown.parts:
        moved = zip(part.box_xyxy_px, shown.velocity_px_s * 2, strict=True)
        left, top, right, bottom = ((place + speed * since_s) * scale for place, speed in moved)
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            continue
        box, colour = (left, top, right, bottom), VERDICTS_BGR[part.verdict]
        corners(picture_bgr, box, colour, 2 * line_px, _ARM_OF_HEIGHT * height)
        if part.verdict is not None:
            rectangle(picture_bgr, box, colour, line_px)
        labels.append(Label(_text(part), box, colour))
    return draw_labels(picture_bgr, labels)


def _text(part: ShownPart) -> str:
    if part.verdict is None:
        return f"#{part.part} {part.views} {'view' if part.views == 1 else 'views'}"
    return f"#{part.part} {part.verdict} {part.defect}".rstrip()
