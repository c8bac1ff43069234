"""Plain memory as the place where cameras lay their pictures down, for who needs no ring."""

from __future__ import annotations

import numpy as np

from stream_inspect.picture import UInt8Array, i420_shape


class FreshArrays:
    """Each picture into an array of its own: nothing is overwritten."""

    def slot(self, width_px: int, height_px: int) -> UInt8Array:
        return np.empty(i420_shape(width_px, height_px), np.uint8)


class ScratchArray:
    """Every picture into the same array, until one has another size: a picture lasts until the next."""

    def __init__(self) -> None:
        self._array: UInt8Array = np.empty((0, 0), np.uint8)

    def slot(self, width_px: int, height_px: int) -> UInt8Array:
        shape = i420_shape(width_px, height_px)
        if self._array.shape != shape:
            self._array = np.empty(shape, np.uint8)
        return self._array
