"""A folder of pictures as a camera."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_inspect.capture.bit_depth import BitDepth, samples
from stream_inspect.capture.camera import (
    CameraError,
    CameraInfo,
    CapturedFrame,
    EndOfMediaError,
    FrameSink,
    PictureNotes,
)
from stream_inspect.capture.pace import Pacer
from stream_inspect.capture.planes import copy_bgr_to_slot, copy_gray_to_slot
from stream_inspect.capture.sender_clock import arrived_now
from stream_inspect.config.models import CameraConfig, ImagesSource
from stream_inspect.file_names import in_number_order, printable
from stream_inspect.messages import Clock

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, in the order of the numbers in their names."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    return sorted(found, key=in_number_order)


def load_picture(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
    """The picture as (H, W) or (H, W, 3) BGR, uint8 or uint16, or None where it cannot be read.

    It is upright as its Exif says.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError:
        return None
    if not data.size:
        return None
    picture = cv2.imdecode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    if picture is not None and picture.dtype == np.uint16:
        return picture.astype(np.uint16, copy=False)
    return picture.astype(np.uint8, copy=False) if picture is not None and picture.dtype == np.uint8 else None


class ImageFolderCamera:
    """The pictures of a folder, by name. One that cannot be read counts as a bad frame.

    Sizes may change from picture to picture: capture lays them down in a ring of their size, as it does when a camera
    changes its resolution.
    """

    def __init__(self, config: CameraConfig) -> None:
        assert isinstance(config.source, ImagesSource)
        self._source = config.source
        self._time_base = 1 / Fraction(self._source.fps).limit_denominator(1000)
        self._paths: list[Path] = []
        self._next = 0
        self._pacer: Pacer | None = None
        self._depth = BitDepth()

    def open(self) -> CameraInfo:
        folder = self._source.path
        if not folder.is_dir():
            raise CameraError(f"no such folder: {printable(folder)}")
        self._paths = pictures_in(folder)
        self._next = 0
        first = next((picture for path in self._paths if (picture := load_picture(path)) is not None), None)
        if first is None:
            kinds = ", ".join(sorted(PICTURE_SUFFIXES))
            raise CameraError(f"{printable(folder)} contains no picture that can be read ({kinds})")
        self._depth = BitDepth()
        for path in samples(self._paths):
            if (sample := load_picture(path)) is not None:
                self._depth.learn(sample)
        depth = self._depth.note()
        self._pacer = Pacer() if self._source.pace == "real_time" else None
        return CameraInfo(
            width_px=first.shape[1],
            height_px=first.shape[0],
            fps=self._source.fps,
            codec="pictures",
            time_base=self._time_base,
            clock=Clock.ARRIVAL,
            frame_count=len(self._paths),
            notes=PictureNotes(honoured=(depth,) if depth else ()),
        )

    def read(self, sink: FrameSink) -> CapturedFrame | None:
        if not self._paths:
            raise CameraError("the folder is not open")
        if self._next >= len(self._paths):
            raise EndOfMediaError("end of the folder")
        pts, self._next = self._next, self._next + 1
        loaded = load_picture(self._paths[pts])
        if self._pacer is not None:
            self._pacer.wait(float(pts * self._time_base))
        if loaded is None:
            return None
        arrival = arrived_now()
        picture = self._depth.to_eight_bits(loaded)
        lay = copy_gray_to_slot if picture.ndim == 2 else copy_bgr_to_slot
        return CapturedFrame(
            picture=lay(picture, sink),
            pts=pts,
            time_base=self._time_base,
            capture_mono_ns=arrival.mono_ns,
            capture_utc_ns=arrival.utc_ns,
            clock=arrival.clock,
        )

    def close(self) -> None:
        self._paths = []
