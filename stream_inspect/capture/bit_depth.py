"""How many bits of 16-bit pictures hold the picture: cameras of 10, 12 and 14 bits write them into the low bits.

So do thermal cameras in the video format Y16.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_inspect.log import get_logger
from stream_inspect.picture import UInt8Array

_DEPTHS = (10, 12, 14)
_DARK = 1 << 8
"""Pictures without a value of more than 8 bits are taken for dark pictures of 16: as 10 bits, a covered lens would
become gray."""
_SAMPLES = 25

_One = TypeVar("_One")


class BitDepth:
    """The depth of the 16-bit pictures of one folder or video, by their content: no file format states it.

    It is the smallest of 10, 12, 14 and 16 bits that holds the greatest value of all pictures that were learned from:
    one depth for all, so that a dark picture among bright ones stays dark. The same pictures in the same order give the
    same depth. A picture that has more bits than those before it raises the depth from there on, which is logged.
    """

    def __init__(self) -> None:
        self._greatest = 0
        self._log = get_logger(__name__)
        self._in_use: int | None = None

    @property
    def bits(self) -> int:
        """10, 12, 14 or 16."""
        if self._greatest < _DARK:
            return 16
        return next((bits for bits in _DEPTHS if self._greatest < 1 << bits), 16)

    def learn(self, picture: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        """Note the values of a picture; one of 8 bits says nothing."""
        if picture.dtype == np.uint16:
            self._greatest = max(self._greatest, int(picture.max()))

    def to_eight_bits(self, picture: NDArray[np.uint8] | NDArray[np.uint16]) -> UInt8Array:
        """The picture with its upper 8 bits of `bits`; the same array where it has 8 bits already."""
        if picture.dtype == np.uint8:
            return picture.astype(np.uint8, copy=False)
        self.learn(picture)
        before, self._in_use = self._in_use, self.bits
        if before is not None and before != self.bits:
            self._log.warning("pictures have another bit depth than those before", bits=self.bits, before=before)
        return (picture >> (self.bits - 8)).astype(np.uint8)

    def note(self) -> str | None:
        """What `check` and the log say of it; None where all pictures have 8 bits, or use all 16."""
        if not self._greatest or self.bits == 16:
            return None
        return (
            f"16-bit pictures with {self.bits} bits of content (greatest value {self._greatest}): taken as {self.bits}"
        )


def samples(pictures: Sequence[_One]) -> Iterable[_One]:
    """The pictures to learn from before the first is judged: at most 25, spread evenly, the first and the last too."""
    count, last = min(_SAMPLES, len(pictures)), len(pictures) - 1
    return [pictures[round(place * last / max(1, count - 1))] for place in range(count)]
