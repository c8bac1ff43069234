"""The line of text in a picture: which camera, and when by UTC, so that a saved or photographed picture says it too."""

from __future__ import annotations

from datetime import UTC, datetime

import cv2

from stream_inspect.picture import UInt8Array

_FONT = cv2.FONT_HERSHEY_DUPLEX
_FONT_PX = 22.0
_WHITE, _BLACK = (245, 245, 245), (0, 0, 0)


def utc_text(utc_ns: int) -> str:
    """2026-11-21 12:00:00.123 UTC"""
    moment = datetime.fromtimestamp(utc_ns / 1e9, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{utc_ns // 1_000_000 % 1000:03d} UTC"


def put_text(picture_bgr: UInt8Array, text: str, left_px: int, bottom_px: int, letter_px: float) -> int:
    """White letters with a dark rim, readable on anything; returns the width in px."""
    size, weight = letter_px / _FONT_PX, max(1, round(letter_px / 12))
    for colour, thickness in ((_BLACK, weight + 2), (_WHITE, weight)):
        cv2.putText(picture_bgr, text, (left_px, bottom_px), _FONT, size, colour, thickness, cv2.LINE_AA)
    return int(cv2.getTextSize(text, _FONT, size, weight)[0][0])


def caption(picture_bgr: UInt8Array, text: str) -> None:
    """One line at the lower left, in place."""
    height = picture_bgr.shape[0]
    put_text(picture_bgr, text, round(height / 60), round(height * (1 - 1 / 45)), max(9.0, height / 48))
