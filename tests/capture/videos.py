"""Video files made by the tests."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from stream_inspect.picture import UInt8Array


def picture(index: int, width: int, height: int) -> UInt8Array:
    """(H, W, 3) BGR: a gradient with a bright square that tells the frame's number by its place."""
    y, x = np.mgrid[0:height, 0:width]
    bgr = np.stack([40 + x % 80, 60 + y % 80, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    left = 8 * index % max(1, width - 16)
    bgr[height // 4 : height // 4 + 16, left : left + 16] = 250
    return bgr


def write_video(
    path: Path,
    *,
    count: int = 25,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    fps: int = 25,
    pts_s: Sequence[float] | None = None,
    gop: int = 10,
    options: dict[str, str] | None = None,
) -> Path:
    """A video of `count` numbered pictures, at `fps` or at the given times."""
    time_base = Fraction(1, 1000)
    times_s = pts_s if pts_s is not None else [index / fps for index in range(count)]
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.gop_size = gop
        stream.codec_context.time_base = time_base
        for index, time_s in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(picture(index, *size), format="bgr24").reformat(format=pixel_format)
            frame.pts = round(time_s / time_base)
            frame.time_base = time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


_ONE, _DEPTH_ONE = 1 << 16, 1 << 30
DISPLAY_MATRICES = {
    "90": (0, _ONE, -_ONE, 0),
    "180": (-_ONE, 0, 0, -_ONE),
    "270": (0, -_ONE, _ONE, 0),
    "mirrored": (-_ONE, 0, 0, _ONE),
    "upside down": (_ONE, 0, 0, -_ONE),
    "transposed": (0, _ONE, _ONE, 0),
    "transposed the other way": (0, -_ONE, -_ONE, 0),
    "slanted": (56756, 32768, -32768, 56756),
    "empty": (0, 0, 0, 0),
}
"""a, b, c, d: the pixel (x, y) is shown at (a x + c y, b x + d y), moved to where it is seen."""


def set_display_matrix(mp4: Path, name: str) -> None:
    """Make an MP4 say that its picture is to be shown so (ISO 14496-12, 8.3.2: the matrix in the track's header)."""
    data = bytearray(mp4.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = DISPLAY_MATRICES[name]
    assert struct.unpack_from(">9i", data, at) == (_ONE, 0, 0, 0, _ONE, 0, 0, 0, _DEPTH_ONE)
    struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, _DEPTH_ONE)
    mp4.write_bytes(data)
