"""The units of an H.264 or H.265 packet: the slices of pictures, and what carries no picture.

A packet holds its units either after start codes (network streams, MPEG-TS, raw files) or after their lengths (MP4,
Matroska); which of both, the stream's extradata says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_START_CODE = b"\0\0\1"
_BEFORE_SLICES = (32, 33, 34, 35, 39)
"""H.265's units that precede the slices of a picture: parameter sets, access unit delimiter, prefix SEI."""


@dataclass(frozen=True, slots=True)
class NalUnit:
    """One unit of a packet: `data[begin:end]` with its start code or length, `data[header:end]` without."""

    begin: int
    header: int
    end: int


@dataclass(frozen=True, slots=True)
class NalFormat:
    """How a stream's packets hold their units: `length_bytes` before each, or 0 for start codes."""

    h265: bool
    length_bytes: int = 0

    @classmethod
    def of(cls, codec: str, extradata: bytes | None) -> NalFormat | None:
        """The format of a stream by FFmpeg's name of its codec; None for a codec without such units."""
        if codec not in ("h264", "hevc"):
            return None
        h265 = codec == "hevc"
        at = 21 if h265 else 4
        if extradata and len(extradata) > at and not extradata.startswith((b"\0\0\1", b"\0\0\0\1")):
            return cls(h265, (extradata[at] & 3) + 1)
        return cls(h265)

    def units(self, data: bytes) -> Iterator[NalUnit]:
        """The units of a packet or of extradata in start-code form, in order."""
        return self._after_lengths(data) if self.length_bytes else _after_start_codes(data)

    def _after_lengths(self, data: bytes) -> Iterator[NalUnit]:
        begin = 0
        while begin + self.length_bytes <= len(data):
            header = begin + self.length_bytes
            end = min(len(data), header + int.from_bytes(data[begin:header], "big"))
            yield NalUnit(begin, header, end)
            begin = end

    def is_picture(self, data: bytes, unit: NalUnit) -> bool:
        """Whether it is a slice of a picture."""
        if unit.header >= unit.end:
            return False
        first = data[unit.header]
        return (first >> 1) & 0x3F < 32 if self.h265 else first & 0x1F in (1, 2, 5)

    def begins_picture(self, data: bytes) -> bool | None:
        """Whether the first slice in a packet is the first of its picture; None where there is no slice."""
        for unit in self.units(data):
            if self.is_picture(data, unit):
                return self._is_first_slice(data, unit)
        return None

    def pictures(self, data: bytes) -> list[bytes]:
        """An H.265 packet, cut where another picture begins; one of H.264 may hold both fields of one picture."""
        cuts: list[int] = [0]
        seen, head = False, None  # whether the picture has a slice yet, and where units of the next one begin
        for unit in self.units(data) if self.h265 else ():
            if self.is_picture(data, unit):
                if seen and self._is_first_slice(data, unit):
                    cuts.append(unit.begin if head is None else head)
                seen, head = True, None
            elif head is None and unit.header < unit.end and (data[unit.header] >> 1) & 0x3F in _BEFORE_SLICES:
                head = unit.begin
        return [data[begin:end] for begin, end in zip(cuts, [*cuts[1:], len(data)], strict=True)]

    def _is_first_slice(self, data: bytes, unit: NalUnit) -> bool:
        """Both codecs say so in the first bit after the unit's header: first_slice_segment_in_pic_flag, and
        first_mb_in_slice, whose code for zero is a single one.
        """
        at = unit.header + (2 if self.h265 else 1)
        return at < unit.end and data[at] >= 0x80


def _after_start_codes(data: bytes) -> Iterator[NalUnit]:
    begin = data.find(_START_CODE)
    while begin >= 0:
        header = begin + len(_START_CODE)
        following = data.find(_START_CODE, header)
        yield NalUnit(begin, header, following if following >= 0 else len(data))
        begin = following
