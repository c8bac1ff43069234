"""Scales pictures down for display, plane by plane, before any colour conversion: that order is the cheap one."""

from __future__ import annotations

import cv2
import numpy as np

from stream_inspect.picture import Picture, UInt8Array


def size_at_height(width_px: int, height_px: int, max_height_px: int) -> tuple[int, int]:
    """(width_px, height_px) of at most `max_height_px`, aspect ratio kept; both even, as H.264 requires."""
    if height_px <= max_height_px:
        return width_px + width_px % 2, height_px + height_px % 2
    factor = max_height_px / height_px
    return max(2, 2 * round(width_px * factor / 2)), max(2, 2 * (max_height_px // 2))


def scaled(picture: Picture, width_px: int, height_px: int) -> Picture:
    """The picture at this (even) size. Its planes are averaged, not sampled, so that fine texture does not alias."""
    if (picture.width_px, picture.height_px) == (width_px, height_px):
        return picture
    padded_height, padded_width = picture.i420.shape[0] * 2 // 3, picture.i420.shape[1]
    luma = picture.i420[:padded_height]
    chroma = picture.i420[padded_height:].reshape(2, padded_height // 2, padded_width // 2)
    out = np.empty((height_px * 3 // 2, width_px), np.uint8)
    _shrink(luma[: picture.height_px, : picture.width_px], out[:height_px])
    out_chroma = out[height_px:].reshape(2, height_px // 2, width_px // 2)
    _shrink(chroma[0], out_chroma[0])
    _shrink(chroma[1], out_chroma[1])
    return Picture(out, width_px, height_px, picture.matrix, picture.full_range)


def _shrink(plane: UInt8Array, into: UInt8Array) -> None:
    height, width = into.shape
    into[:] = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
