"""Letters in a picture: one font, sized by the height of its capitals."""

from __future__ import annotations

import cv2

from stream_inspect.picture import UInt8Array

_FONT = cv2.FONT_HERSHEY_DUPLEX
_FONT_PX = 22.0
"""Height of the font's capitals at scale 1."""


def text_size(text: str, letter_px: float) -> tuple[int, int, int]:
    """(width, height above the baseline, depth below it) of a text, in pixels."""
    (width, height), depth = cv2.getTextSize(text, _FONT, *_scale_and_weight(letter_px))
    return width, height, depth


def draw_text(
    picture_bgr: UInt8Array, text: str, origin_px: tuple[int, int], letter_px: float, colour_bgr: tuple[int, int, int]
) -> None:
    """Draw a text, in place; `origin_px` is (x, y) of the left end of its baseline."""
    scale, weight = _scale_and_weight(letter_px)
    cv2.putText(picture_bgr, text, origin_px, _FONT, scale, colour_bgr, weight, cv2.LINE_AA)


def _scale_and_weight(letter_px: float) -> tuple[float, int]:
    return letter_px / _FONT_PX, max(1, round(letter_px / 14))
