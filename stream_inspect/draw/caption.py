"""The caption burned into a picture: camera and UTC time, so that a saved or photographed picture shows them too."""

from __future__ import annotations

from datetime import UTC, datetime

from stream_inspect.draw.letters import draw_text, text_size
from stream_inspect.picture import UInt8Array

_MIN_LETTER_PX = 9.0
_WHITE = (245, 245, 245)


def utc_text(utc_ns: int) -> str:
    """2026-11-21 12:00:00.123 UTC"""
    moment = datetime.fromtimestamp(utc_ns // 1_000_000_000, UTC)  # as a float it could round up to the next second
    return f"{moment:%Y-%m-%d %H:%M:%S}.{utc_ns // 1_000_000 % 1000:03d} UTC"


def put_text(picture_bgr: UInt8Array, text: str, left_px: int, bottom_px: int, letter_px: float) -> None:
    """Draw white letters, in place, smaller where the picture is too narrow for them."""
    room, needed = picture_bgr.shape[1] - 2 * left_px, text_size(text, letter_px)[0]
    letter_px *= min(1.0, room / max(1, needed))
    draw_text(picture_bgr, text, (left_px, bottom_px), letter_px, _WHITE)


def caption(picture_bgr: UInt8Array, text: str) -> None:
    """Draw one line on a dark plate at the upper left, in place: players cover the lower edge with their controls."""
    letter_px = max(_MIN_LETTER_PX, picture_bgr.shape[0] / 42)
    width, height, pad = _measured(text, letter_px)
    if width + 2 * pad > picture_bgr.shape[1]:  # a picture that is higher than wide
        letter_px = max(_MIN_LETTER_PX, letter_px * picture_bgr.shape[1] / (width + 3 * pad))
        width, height, pad = _measured(text, letter_px)
    picture_bgr[: height + 2 * pad, : width + 2 * pad] //= 4
    put_text(picture_bgr, text, pad, pad + height, letter_px)


def _measured(text: str, letter_px: float) -> tuple[int, int, int]:
    """(width, height, margin) of a text in pixels."""
    width, height, _ = text_size(text, letter_px)
    return width, height, round(letter_px / 2)
