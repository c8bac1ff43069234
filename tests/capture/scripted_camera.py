"""A camera that does what a test tells it to: a small real class on the other side of the contract."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fractions import Fraction

from stream_inspect.capture.camera import CameraInfo, CapturedFrame, FrameSink
from stream_inspect.config.models import CameraConfig
from stream_inspect.messages import Clock
from stream_inspect.picture import Picture

FPS = 25
TIME_BASE = Fraction(1, 1000)

Step = int | None | Exception | Callable[[], None]
"""What a `read` does: give a frame of this pts in ms, give a damaged one, raise this, or call this and go on."""


class ScriptedCamera:
    """Each `open` takes the next script; `read` walks through it. An exception as a script fails the opening."""

    scripts: Iterator[list[Step] | Exception] = iter(())
    size = (64, 48)
    clock = Clock.ARRIVAL
    opened = closed = 0

    def __init__(self, config: CameraConfig) -> None:
        self._steps: Iterator[Step] = iter(())

    def open(self) -> CameraInfo:
        script = next(type(self).scripts)
        if isinstance(script, Exception):
            raise script
        type(self).opened += 1
        self._steps = iter(script)
        width_px, height_px = type(self).size
        return CameraInfo(width_px, height_px, FPS, "scripted", TIME_BASE, type(self).clock)

    def read(self, sink: FrameSink) -> CapturedFrame | None:
        for step in self._steps:
            if callable(step):
                step()
                continue
            if isinstance(step, Exception):
                raise step
            return None if step is None else self._frame(step, sink)
        time.sleep(0.02)
        return self._frame(-1, sink)  # a script that has run out goes on with frames that no test counts

    def close(self) -> None:
        type(self).closed += 1

    def _frame(self, pts: int, sink: FrameSink) -> CapturedFrame:
        width_px, height_px = type(self).size
        slot = sink.slot(width_px, height_px)
        slot[:] = 128
        slot[: height_px // 2, ::2] = pts % 200
        return CapturedFrame(
            Picture(slot, width_px, height_px), pts, TIME_BASE, time.monotonic_ns(), time.time_ns(), type(self).clock
        )
