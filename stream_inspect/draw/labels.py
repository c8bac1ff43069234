"""Where the labels of marks go: none hides another one, or a defect, as long as the picture has room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2

from stream_inspect.draw.letters import draw_text, text_size
from stream_inspect.messages import Box
from stream_inspect.picture import UInt8Array

_LETTER_MIN_PX, _LETTERS_IN_HEIGHT = 11.0, 54
_SMALLEST_PX = 7.0
"""A label that is wider than the picture is made smaller, down to this."""
_INK_BGR = (16, 16, 16)
_STEPS_NEAR, _STEPS_FAR = 8, 40
"""How many heights of a label it may be away from its box: to hide nothing, and to hide no other label."""

Plate = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels."""


@dataclass(frozen=True, slots=True)
class Label:
    """The text of a mark, the box it belongs to in pixels of the picture, and the colour of its plate."""

    text: str
    box_xyxy_px: Box
    colour_bgr: tuple[int, int, int]


def draw_labels(picture_bgr: UInt8Array, labels: Sequence[Label], taken: Sequence[Plate] = ()) -> list[Plate]:
    """Draw dark letters on plates, in place: each above its box or near it, the first ones nearest.

    None hides what is `taken` already. Returns where the plates are.
    """
    letter_px = max(_LETTER_MIN_PX, picture_bgr.shape[0] / _LETTERS_IN_HEIGHT)
    plates: list[Plate] = []
    boxes = [label.box_xyxy_px for label in labels]
    for label in labels:
        plates.append(_draw(picture_bgr, label, letter_px, [*taken, *plates], boxes))
    return plates


def _draw(picture_bgr: UInt8Array, label: Label, letter_px: float, taken: Sequence[Box], boxes: Sequence[Box]) -> Plate:
    """Draw it where it hides nothing; returns where that is."""
    size_px = picture_bgr.shape[1], picture_bgr.shape[0]
    width, height, baseline, pad = _measured(label.text, letter_px)
    if width > size_px[0]:
        letter_px = max(_SMALLEST_PX, letter_px * size_px[0] / (width + pad))
        width, height, baseline, pad = _measured(label.text, letter_px)
    left, top, right, bottom = plate = _free_place(label.box_xyxy_px, (width, height), size_px, taken, boxes)
    cv2.rectangle(picture_bgr, (left, top), (right, bottom), label.colour_bgr, cv2.FILLED)
    origin = (left + pad, bottom - baseline - pad // 2)
    draw_text(picture_bgr, label.text, origin, letter_px, _INK_BGR)
    return plate


def _measured(text: str, letter_px: float) -> tuple[int, int, int, int]:
    """(width, height) of the plate of a text, its baseline and its margin, in pixels."""
    width, height, baseline = text_size(text, letter_px)
    pad = max(2, round(letter_px / 4))
    return width + 2 * pad, height + baseline + pad, baseline, pad


def _free_place(
    box: Box, plate_px: tuple[int, int], size_px: tuple[int, int], taken: Sequence[Box], boxes: Sequence[Box]
) -> Plate:
    """The nearest place of a plate that covers no other plate and no box; else no other plate; else the nearest."""
    for steps, avoided in ((_STEPS_NEAR, [*taken, *boxes]), (_STEPS_FAR, taken)):
        for place in _places(box, plate_px, size_px, steps):
            if not any(_overlap(place, other) for other in avoided):
                return place
    return next(_places(box, plate_px, size_px, 1))


def _places(box: Box, plate_px: tuple[int, int], size_px: tuple[int, int], steps: int) -> Iterator[Plate]:
    """Places within the picture, the best first: above the box, below it, then farther and farther away."""
    width, height = plate_px
    lowest = max(0, size_px[1] - height)
    lefts = [round(min(max(edge, 0.0), max(0, size_px[0] - width))) for edge in (box[0], box[2] - width)]
    above, below = round(box[1]) - height, round(box[3]) + 1
    if above < 0:  # at the upper edge: inside the box
        above = min(max(0, round(box[1])), lowest)
    tops = [top for step in range(steps) for top in (above - step * (height + 1), below + step * (height + 1))]
    for top in [*(top for top in tops if 0 <= top <= lowest), min(max(above, 0), lowest)]:
        yield from ((left, top, left + width, top + height) for left in lefts)


def _overlap(one: Plate, other: Box) -> bool:
    """Whether they share more than an edge."""
    return one[0] + 1 < other[2] and other[0] < one[2] - 1 and one[1] + 1 < other[3] and other[1] < one[3] - 1
