"""Frame sinks in plain memory, for what reads a camera without a ring: a replay, a check."""

from __future__ import annotations

import numpy as np

from stream_inspect.picture import UInt8Array, i420_shape


class FreshArrays:
    """Gives each picture an array of its own: none is overwritten."""

    def slot(self, width_px: int, height_px: int) -> UInt8Array:
        return np.empty(i420_shape(width_px, height_px), np.uint8)


class ScratchArray:
    """Gives every picture of one size the same array: a picture lasts until the next is read."""

    def __init__(self) -> None:
        self._array: UInt8Array = np.empty((0, 0), np.uint8)

    def slot(self, width_px: int, height_px: int) -> UInt8Array:
        shape = i420_shape(width_px, height_px)
        if self._array.shape != shape:
            self._array = np.empty(shape, np.uint8)
        return self._array
