"""annotated.mp4 of a replay: every frame of the recording with its marks, the same bytes at each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from stream_inspect.draw.annotate import Mark, draw
from stream_inspect.file_names import ffmpeg_url
from stream_inspect.picture import Picture, UInt8Array

_THREADS = 2
"""x264 gives the same bytes for the same number of threads, so the number is fixed and not the computer's."""
_OPTIONS = {
    "crf": "23",
    "preset": "veryfast",
    # x264's macroblock tree reads memory that it never wrote (its AVX-512 code; seen with MALLOC_PERTURB_): with it the
    # same frames give other bytes now and then.
    "x264-params": "mbtree=0:colormatrix=smpte170m:colorprim=smpte170m:transfer=smpte170m",
}


class AnnotatedVideo:
    """Writes H.264 in MP4, at the frames' own times, scaled down to `height_px` where they are higher."""

    def __init__(
        self,
        path: Path,
        first: Picture,
        time_base: Fraction,
        fps: float | None,
        height_px: int,
        metadata: Mapping[str, str],
    ) -> None:
        scale = min(1.0, height_px / first.height_px)
        self._width = max(2, round(first.width_px * scale / 2) * 2)
        self._height = max(2, round(first.height_px * scale / 2) * 2)
        options = {"movflags": "+faststart", "fflags": "+bitexact"}  # no version of the muxer in the file
        self._container = av.open(ffmpeg_url(path), "w", format="mp4", options=options)
        self._container.metadata.update(metadata)
        rate = Fraction(fps or 25.0).limit_denominator(1000)
        self._stream = self._container.add_stream("libx264", rate=rate, options=_OPTIONS)
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = self._width, self._height, "yuv420p"
        context.time_base = time_base
        context.thread_count = _THREADS
        context.gop_size = max(1, round(2 * rate))
        self._first_pts: int | None = None

    def add(self, picture: Picture, pts: int, marks: Sequence[Mark]) -> None:
        """The next frame, `pts` in the time base given."""
        if self._first_pts is None:
            self._first_pts = pts
        bgr, scale = self._fitted(picture.to_bgr())
        draw(bgr, marks, scale)
        frame = av.VideoFrame.from_ndarray(Picture.from_bgr(bgr).i420, format="yuv420p")
        frame.pts = pts - self._first_pts
        frame.time_base = self._stream.codec_context.time_base
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Work off the encoder and finish the file."""
        try:
            if self._first_pts is not None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def _fitted(self, bgr: UInt8Array) -> tuple[UInt8Array, float]:
        """The picture at the video's size, with black where its shape differs (a recording may change its size)."""
        height, width = bgr.shape[:2]
        if (width, height) == (self._width, self._height):
            return np.ascontiguousarray(bgr), 1.0
        scale = min(self._width / width, self._height / height)
        size = (min(self._width, max(1, round(width * scale))), min(self._height, max(1, round(height * scale))))
        scaled = np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        if scaled.shape[:2] == (self._height, self._width):
            return scaled, scale
        canvas = np.zeros((self._height, self._width, 3), dtype=np.uint8)
        canvas[: size[1], : size[0]] = scaled
        return canvas, scale
