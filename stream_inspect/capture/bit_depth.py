"""How many bits of 16-bit pictures hold the picture: cameras of 10, 12 and 14 bits write them into the low bits.

So do thermal cameras in the video format Y16. The configuration may state it; no file format does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_inspect.capture.camera import PictureNotes
from stream_inspect.file_names import listed
from stream_inspect.log import get_logger
from stream_inspect.picture import UInt8Array

_DEPTHS = (10, 12, 14)
_DARK = 1 << 8
"""Pictures without a value of more than 8 bits are taken for dark pictures of 16: as 10 bits, a covered lens would
become gray."""
_ADVICE = "set the camera's bit_depth"


class BitDepth:
    """The depth of the 16-bit pictures of one camera: `stated`, or else by their content.

    That is the smallest of 10, 12, 14 and 16 bits that holds the greatest value of all pictures that were learned from:
    one depth for all, so that a dark picture among bright ones stays dark. It is a guess, and `notes` say so. The same
    pictures give the same depth. A picture that has more bits than those before it raises the depth from there on,
    which is logged.
    """

    def __init__(self, stated: int | None = None) -> None:
        self._stated = stated
        self._greatest = 0
        self._by_name: dict[str, int] = {}
        """The greatest value of each picture that has a name."""
        self._log = get_logger(__name__)
        self._in_use: int | None = None

    @property
    def bits(self) -> int:
        """What is stated, or 10, 12, 14 or 16."""
        return self._stated or _bits_of(self._greatest)

    @property
    def is_known(self) -> bool:
        """Whether it is stated, or some values have been seen."""
        return bool(self._stated or self._greatest)

    def learn(self, picture: NDArray[np.uint8] | NDArray[np.uint16], name: str = "") -> None:
        """Note the values of a picture, and of which one; one of 8 bits says nothing."""
        if picture.dtype != np.uint16:
            return
        greatest = int(picture.max())
        self._greatest = max(self._greatest, greatest)
        if name:
            self._by_name[name] = greatest

    def to_eight_bits(self, picture: NDArray[np.uint8] | NDArray[np.uint16]) -> UInt8Array:
        """The picture with its upper 8 bits of `bits`, white beyond; the same array where it has 8 bits already."""
        if picture.dtype == np.uint8:
            return picture.astype(np.uint8, copy=False)
        self.learn(picture)
        before, self._in_use = self._in_use, self.bits
        if before is not None and before != self.bits:
            self._log.warning("pictures have another bit depth than those before", bits=self.bits, before=before)
        return np.asarray(np.minimum(picture >> (self.bits - 8), 255), dtype=np.uint8)

    def taken_as(self, picture: NDArray[np.uint8] | NDArray[np.uint16]) -> str:
        """How the values of this picture are understood; empty for one of 8 bits."""
        if picture.dtype == np.uint8:
            return ""
        why = "as configured" if self._stated else f"by the content: {_ADVICE} if that is wrong"
        return f"16-bit values up to {int(picture.max())}, taken as {self.bits} bits {why}"

    def notes(self) -> PictureNotes:
        """What `check`, replay and the log say of it: a guess is a doubt."""
        if not self._by_name and not self._greatest:
            return PictureNotes()
        if self._stated:
            honoured = f"16-bit pictures are taken as {self._stated} bits, as bit_depth says"
            return PictureNotes((honoured,), tuple(self._too_bright(self._stated)))
        return PictureNotes(ignored=(*self._guess(), *self._mixed()))

    def _guess(self) -> list[str]:
        if self.bits < 16:
            content = f"{self.bits} bits of content (greatest value {self._greatest}): taken as {self.bits}"
            return [f"16-bit pictures with {content}, which brighter ones would change; {_ADVICE}"]
        if self._greatest < _DARK:
            dark = f"no value above 8 bits (greatest value {self._greatest}): taken as dark ones of 16"
            return [f"16-bit pictures with {dark}; {_ADVICE}"]
        return []

    def _mixed(self) -> list[str]:
        """Pictures that would be brighter by themselves: darker ones, or those of another camera."""
        own = {name: _bits_of(greatest) if greatest >= _DARK else 8 for name, greatest in self._by_name.items()}
        fewer = [f"{name} ({bits})" for name, bits in own.items() if bits < self.bits]
        if not fewer or len(fewer) == len(own):
            return []
        which = f"{len(fewer)} of {len(own)} 16-bit pictures have fewer bits of content than {self.bits}"
        return [f"{which}, and are darker than each would be alone: {listed(fewer)}; {_ADVICE}, cameras apart"]

    def _too_bright(self, stated: int) -> list[str]:
        if self._greatest < 1 << stated:
            return []
        names = [name for name, greatest in self._by_name.items() if greatest >= 1 << stated]
        return [f"values above {stated} bits (up to {self._greatest}) are white: is bit_depth right? {listed(names)}"]


def _bits_of(greatest: int) -> int:
    if greatest < _DARK:
        return 16
    return next((bits for bits in _DEPTHS if greatest < 1 << bits), 16)
