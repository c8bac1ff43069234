"""Why a file cannot be read as a video, where FFmpeg says "Invalid data" and nothing more."""

from __future__ import annotations

import struct
from pathlib import Path

_BOX = struct.Struct(">I4s")
_LONG = struct.Struct(">Q")
_MP4_BOXES = frozenset({b"ftyp", b"mdat", b"moov", b"free", b"skip", b"wide", b"moof", b"styp", b"sidx", b"uuid"})
_LOOKED_AT_BYTES = 64 * 1024


def why_unreadable(path: Path) -> str | None:
    """The reason and what to do, as a clause for an error message; None where the file does not show one."""
    try:
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT_BYTES)
        if not start:
            return "it is empty"
        if not start.strip(b"\0"):
            return "it begins with zeros: its space was reserved and never written, as after a power cut"
        boxes = _mp4_boxes(path)
    except OSError:
        return None
    if boxes and b"moov" not in boxes:
        return (
            "its index (moov) was never written: the recording was interrupted, or is still being copied. Set the "
            "recorder to fragmented MP4 or MKV; `untrunc` can rescue this file with a whole one of the same camera"
        )
    return None


def _mp4_boxes(path: Path) -> list[bytes]:
    """The kinds of the boxes at the top level of an MP4 or MOV file; none where it is not one."""
    kinds: list[bytes] = []
    total = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() + _BOX.size <= total:
            begin = file.tell()
            size, kind = _BOX.unpack(file.read(_BOX.size))
            if kind not in _MP4_BOXES:
                break
            kinds.append(kind)
            if size == 1:  # a 64-bit size follows
                raw = file.read(_LONG.size)
                size = _LONG.unpack(raw)[0] if len(raw) == _LONG.size else 0
            if size < _BOX.size:  # 0: to the end of the file
                break
            file.seek(begin + size)
    return kinds
