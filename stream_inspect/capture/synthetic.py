"""The synthetic line as a camera like any other."""

from __future__ import annotations

from fractions import Fraction

from stream_inspect.capture.camera import CameraError, CameraInfo, CapturedFrame, EndOfMediaError, FrameSink
from stream_inspect.capture.pace import Pacer
from stream_inspect.capture.sender_clock import arrived_now
from stream_inspect.config.models import BeltConfig, CameraConfig, SyntheticSource
from stream_inspect.messages import Clock
from stream_inspect.picture import Picture
from stream_inspect.rotation import Rotation, direction_at, rotated_horizontals
from stream_inspect.sim.line import SyntheticLine


def make_line(source: SyntheticSource, belt: BeltConfig | None, rotate_deg: Rotation = 0) -> SyntheticLine:
    """The line that gives this camera's sensor picture. Raises ValueError.

    Its belt runs as fast, in px, as `belt` says, and so that it runs that way once the picture is turned.
    """
    if belt is None:
        return SyntheticLine(source.seed, source.width_px, source.height_px, source.fps)
    to_the_right, to_the_left = rotated_horizontals(rotate_deg)
    direction = direction_at(belt.angle_deg)
    if direction not in (to_the_right, to_the_left):
        way = direction or f"at {belt.angle_deg:g} degrees"
        raise ValueError(f"its belt cannot run {way}, only {to_the_right} or {to_the_left}")
    return SyntheticLine(
        source.seed,
        source.width_px,
        source.height_px,
        source.fps,
        speed_px_s=belt.speed_mm_s / belt.scale_mm_per_px,
        moves_right=direction == to_the_right,
    )


class SyntheticCamera:
    """Draws frame after frame of a `SyntheticLine`: the same pictures for the same seed, whatever the pace.

    A frame's pts is its number on the line. Each session begins at frame 0 again.
    """

    def __init__(self, config: CameraConfig) -> None:
        assert isinstance(config.source, SyntheticSource)
        self._source = config.source
        self._belt = config.belt
        self._rotate_deg = config.rotate_deg
        self._time_base = 1 / Fraction(self._source.fps).limit_denominator(1000)
        duration_s = self._source.duration_s
        self._count = None if duration_s is None else round(duration_s * self._source.fps)
        self._line: SyntheticLine | None = None
        self._next = 0
        self._pacer: Pacer | None = None

    def open(self) -> CameraInfo:
        source = self._source
        try:
            self._line = make_line(source, self._belt, self._rotate_deg)
        except ValueError as error:
            raise CameraError(f"the synthetic line cannot be drawn: {error}") from None
        self._next = 0
        self._pacer = Pacer() if source.pace == "real_time" else None
        return CameraInfo(
            width_px=source.width_px,
            height_px=source.height_px,
            fps=source.fps,
            codec="synthetic",
            time_base=self._time_base,
            clock=Clock.ARRIVAL,
            frame_count=self._count,
        )

    def read(self, sink: FrameSink) -> CapturedFrame | None:
        if self._line is None:
            raise CameraError("the synthetic line is not open")
        if self._count is not None and self._next >= self._count:
            raise EndOfMediaError("end of the synthetic line's duration")
        pts, self._next = self._next, self._next + 1
        i420 = self._line.i420(pts)
        if self._pacer is not None:
            self._pacer.wait(float(pts * self._time_base))
        arrival = arrived_now()
        width_px, height_px = self._line.width_px, self._line.height_px
        slot = sink.slot(width_px, height_px)
        slot[:] = i420
        return CapturedFrame(
            picture=Picture(slot, width_px, height_px),
            pts=pts,
            time_base=self._time_base,
            capture_mono_ns=arrival.mono_ns,
            capture_utc_ns=arrival.utc_ns,
            clock=arrival.clock,
        )

    def close(self) -> None:
        self._line = None
