"""Files that end before the byte at which they should, by their container's word: cut while they were copied."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

_HEADER = struct.Struct(">I4s")
_LONG = struct.Struct(">Q")
_MP4_BOXES = frozenset(b"ftyp mdat moov free skip wide moof styp sidx uuid mfra emsg prft pdin".split())
_RIFF = struct.Struct("<4sI")
_RIFF_UNKNOWN = frozenset({0, 0xFFFFFFFF})
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_SLACK_BYTES = 64
"""Recorders miscount a header."""


class Box(NamedTuple):
    """A box at the top level of an MP4 or MOV file, and the byte after its last one."""

    kind: bytes
    end: int


def cut_off(path: Path) -> str:
    """As in "the file was cut: 27,320 of its 54,640 bytes are missing"; empty where nothing says so.

    MP4 and MOV, AVI, Matroska and WebM say how long they are; a live recording, whose length was never written, does
    not.
    """
    try:
        size, stated = path.stat().st_size, _stated_end(path)
    except OSError:
        return ""
    if stated <= size + _SLACK_BYTES:
        return ""
    return f"the file was cut: {stated - size:,} of its {stated:,} bytes are missing"


def _stated_end(path: Path) -> int:
    """The byte after the last one; 0 where nothing is known."""
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
        file.seek(0)
        if start.startswith(b"RIFF"):
            return _riff_end(file)
        if start.startswith(_EBML):
            return _segment_end(file)
    return max((box.end for box in mp4_boxes(path)), default=0)


def mp4_boxes(path: Path) -> list[Box]:
    """The boxes at the top level of an MP4 or MOV file; none where it is not one. The last may end after the file."""
    boxes: list[Box] = []
    total = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() + _HEADER.size <= total:
            begin = file.tell()
            size, kind = _HEADER.unpack(file.read(_HEADER.size))
            if kind not in _MP4_BOXES:
                break
            if size == 1:  # a 64-bit size follows
                raw = file.read(_LONG.size)
                size = _LONG.unpack(raw)[0] if len(raw) == _LONG.size else 0
            boxes.append(Box(kind, begin + size if size else total))
            if size < _HEADER.size:  # 0: to the end of the file
                break
            file.seek(begin + size)
    return boxes


def _riff_end(file: BinaryIO) -> int:
    """The byte after the last of the RIFF chunks, of which an AVI of more than a gigabyte has several."""
    end = 0
    while True:
        file.seek(end)
        header = file.read(_RIFF.size)
        if len(header) < _RIFF.size or not header.startswith(b"RIFF"):
            return end
        _, size = _RIFF.unpack(header)
        if size in _RIFF_UNKNOWN:
            return end
        end += _RIFF.size + size + size % 2


def _segment_end(file: BinaryIO) -> int:
    """The byte after the one Segment of a Matroska file; 0 where its length was never written."""
    file.seek(len(_EBML))
    header_bytes = _ebml_size(file)
    if header_bytes is None:
        return 0
    file.seek(header_bytes, 1)
    if file.read(len(_SEGMENT)) != _SEGMENT:
        return 0
    segment_bytes = _ebml_size(file)
    return 0 if segment_bytes is None else file.tell() + segment_bytes


def _ebml_size(file: BinaryIO) -> int | None:
    """A size of variable length (RFC 8794, 6): as many bytes more as its first one has leading zeros."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    value_bits = 7 * (more + 1)
    value = int.from_bytes(first + file.read(more), "big") & ((1 << value_bits) - 1)
    return None if value == (1 << value_bits) - 1 else value
