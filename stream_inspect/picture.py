"""A picture in memory: I420 planes in one contiguous array, as the decoder delivers and the ring keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

ColorMatrix = Literal["bt601", "bt709", "bt2020"]
UInt8Array = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Picture:
    """An I420 picture.

    `i420` is (padded_height * 3 // 2, padded_width) uint8, C-contiguous: the Y plane, then U, then V. Width and height
    are padded to even numbers by repeating the last column or row; `width_px` and `height_px` are the visible size, and
    all coordinates refer to it.
    """

    i420: UInt8Array
    width_px: int
    height_px: int
    matrix: ColorMatrix = "bt601"
    full_range: bool = False

    def __post_init__(self) -> None:
        expected = i420_shape(self.width_px, self.height_px)
        if self.i420.shape != expected or self.i420.dtype != np.uint8:
            raise ValueError(
                f"an I420 picture of {self.width_px}x{self.height_px} px needs a {expected} uint8 array, "
                f"got {self.i420.shape} {self.i420.dtype}"
            )

    @property
    def luma(self) -> UInt8Array:
        """The Y plane, (height_px, width_px) uint8, a view."""
        return self.i420[: self.height_px, : self.width_px]

    def to_rgb(self) -> UInt8Array:
        """(height_px, width_px, 3) uint8 RGB."""
        return self._convert(cv2.COLOR_YUV2RGB_I420, "rgb24")

    def to_bgr(self) -> UInt8Array:
        """(height_px, width_px, 3) uint8 BGR, OpenCV's order."""
        return self._convert(cv2.COLOR_YUV2BGR_I420, "bgr24")

    def _convert(self, cv2_code: int, av_format: str) -> UInt8Array:
        if self.matrix == "bt601" and not self.full_range:
            full: UInt8Array = np.asarray(cv2.cvtColor(self.i420, cv2_code), dtype=np.uint8)  # 3x swscale's speed
        else:
            frame = av.VideoFrame.from_ndarray(self.i420, format="yuv420p")
            converted = frame.reformat(
                format=av_format,
                src_colorspace=_SWSCALE_MATRIX[self.matrix],
                dst_colorspace=_SWSCALE_MATRIX[self.matrix],
                src_color_range=2 if self.full_range else 1,
                dst_color_range=2,
            )
            full = converted.to_ndarray().astype(np.uint8, copy=False)
        return full[: self.height_px, : self.width_px]

    @classmethod
    def from_bgr(cls, bgr: UInt8Array) -> Picture:
        """A picture from (H, W, 3) uint8 BGR, limited-range BT.601 (what cv2 writes)."""
        height, width = bgr.shape[:2]
        if height % 2 or width % 2:
            bgr = np.asarray(cv2.copyMakeBorder(bgr, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), dtype=np.uint8)
        i420 = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), dtype=np.uint8)
        return cls(i420, width, height)


_SWSCALE_MATRIX: dict[ColorMatrix, int] = {"bt709": 1, "bt601": 5, "bt2020": 9}


def i420_shape(width_px: int, height_px: int) -> tuple[int, int]:
    """The array shape that holds an I420 picture of this visible size."""
    padded_width, padded_height = width_px + width_px % 2, height_px + height_px % 2
    return padded_height * 3 // 2, padded_width
