"""Why a file cannot be read as a video, where FFmpeg says "Invalid data" and nothing more."""

from __future__ import annotations

from pathlib import Path

from stream_inspect.capture.cut_files import cut_off, mp4_boxes

_LOOKED_AT_BYTES = 64 * 1024
_NEVER_WRITTEN = (
    "its index (moov) was never written: the recording was interrupted, or is still being copied. Set the recorder to "
    "fragmented MP4 or MKV; `untrunc` can rescue this file with a whole one of the same camera"
)
_COPY_AGAIN = "copy it again from where it was recorded"


def why_unreadable(path: Path) -> str | None:
    """The reason and what to do, as a clause for an error message; None where the file does not show one."""
    try:
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT_BYTES)
        if not start:
            return "it is empty"
        if not start.strip(b"\0"):
            return "it begins with zeros: its space was reserved and never written, as after a power cut"
        boxes, cut = [box.kind for box in mp4_boxes(path)], cut_off(path)
    except OSError:
        return None
    without_index = bool(boxes) and b"moov" not in boxes
    if cut:
        inside = bool(boxes) and boxes[-1] == b"moov"
        place = ", inside its index (moov)" if inside else ", before its index (moov)" if without_index else ""
        return f"{cut}{place}: {_COPY_AGAIN}"
    return _NEVER_WRITTEN if without_index else None
