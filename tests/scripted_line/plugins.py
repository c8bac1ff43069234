"""The scripted line for a real service: a camera and a detector as plug-ins, and the file that both read the time from.

cameras[].source: {kind: plugin, plugin: scripted_line, options: {folder: FOLDER}}
inspect.detector: {kind: scripted_line, model: FOLDER/model}
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np

from stream_inspect.capture.camera import CameraError, CameraInfo, CapturedFrame, FrameSink
from stream_inspect.config.models import CameraConfig
from stream_inspect.inspect.detect.detector import PromptSet, RawDetections
from stream_inspect.messages import Clock
from stream_inspect.picture import Picture, UInt8Array
from tests.scripted_line.picture import BELT_MM, Drawing, marks, read
from tests.scripted_line.script import FPS, HEIGHT_PX, SPEED_MM_S, WIDTH_PX, Script

NAME = "scripted_line"
TIME_BASE = Fraction(1, 1000)
ROUND_S = BELT_MM / SPEED_MM_S
"""The empty belt looks the same again after so long: the script can begin then, and the belt does not jump."""


class Schedule(msgspec.Struct, kw_only=True):
    """What happens when, in seconds of the script, whose zero is `began_s` of CLOCK_MONOTONIC; no part comes before."""

    seed: int
    parts: int
    began_s: float
    stretch: float = 1.0
    """Seconds of the clock that a second of the script takes: more than 1 where the machine has other things to do."""
    bad_frames: float = 0.0
    outages: list[tuple[float, float]] = []
    overloads: list[tuple[float, float]] = []

    @classmethod
    def of(cls, folder: Path) -> Schedule:
        """Read what `write` wrote."""
        return msgspec.json.decode((folder / "schedule.json").read_bytes(), type=cls)

    def write(self, folder: Path) -> None:
        """Replace the file in one piece: both plug-ins look at it again and again."""
        (folder / "schedule.new").write_bytes(msgspec.json.encode(self))
        (folder / "schedule.new").replace(folder / "schedule.json")

    def now_s(self) -> float:
        """Seconds of the script."""
        return (time.monotonic() - self.began_s) / self.stretch

    def mono_s(self, at_s: float) -> float:
        """CLOCK_MONOTONIC at a second of the script."""
        return self.began_s + at_s * self.stretch


def within(at_s: float, stretches: Sequence[tuple[float, float]]) -> bool:
    """Whether this is in one of them."""
    return any(began_s <= at_s < ended_s for began_s, ended_s in stretches)


def install(folder: Path) -> None:
    """Register both plug-ins as a package's entry points do; `folder` must be on the service's PYTHONPATH."""
    info = folder / f"{NAME}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[stream_inspect.camera]\n{NAME} = {__name__}:LineCamera\n"
        f"[stream_inspect.detector]\n{NAME} = {__name__}:LineDetector\n"
    )


class LineCamera:
    """Shows the line as it is by the clock: what it does not deliver in time, or while it is away, has passed."""

    def __init__(self, config: CameraConfig) -> None:
        options = getattr(config.source, "options", {})
        self._folder = Path(str(options["folder"]))
        self._schedule = Schedule.of(self._folder)
        self._drawing: Drawing | None = None
        self._script: Script | None = None

    def open(self) -> CameraInfo:
        self._schedule = Schedule.of(self._folder)
        if within(self._schedule.now_s(), self._schedule.outages):
            raise CameraError("the scripted line's camera is away")
        if self._drawing is None:
            self._script = Script(self._schedule.seed, self._schedule.parts)
            self._drawing = Drawing(self._script)
        return CameraInfo(WIDTH_PX, HEIGHT_PX, FPS / self._schedule.stretch, "scripted", TIME_BASE, Clock.ARRIVAL)

    def read(self, sink: FrameSink) -> CapturedFrame | None:
        assert self._drawing is not None
        assert self._script is not None
        if self._schedule.now_s() < 0:  # it may have been put off: see `Schedule.began_s`
            self._schedule = Schedule.of(self._folder)
        number = self._next()
        at_s = number / FPS
        if within(at_s, self._schedule.outages):
            raise CameraError("the scripted line's camera is away")
        if np.random.default_rng(abs(number)).random() < self._schedule.bad_frames:
            return None
        planes = sink.slot(WIDTH_PX, HEIGHT_PX)
        self._drawing.draw(self._script.mm(at_s), planes, number)
        mono_ns = round(self._schedule.mono_s(at_s) * 1e9)
        utc_ns = time.time_ns() - time.monotonic_ns() + mono_ns
        picture = Picture(planes, WIDTH_PX, HEIGHT_PX)
        return CapturedFrame(picture, mono_ns // 1_000_000, TIME_BASE, mono_ns, utc_ns, Clock.ARRIVAL)

    def _next(self) -> int:
        """Wait for the next frame's time, and return its number; those that are past already are left out."""
        now_s = self._schedule.now_s()
        number = int(np.ceil(now_s * FPS))
        time.sleep(max(0.0, (number / FPS - now_s) * self._schedule.stretch))
        return number

    def close(self) -> None:
        """Nothing to release."""


@dataclass
class LineDetector:
    """Finds the marks, and notes the number of each part that it is shown whole: what was judged is known exactly."""

    folder: Path
    """The model's: `schedule.json` and the notes are next to it."""
    device: str
    precision: str
    uses_torch: ClassVar[bool] = False
    useful_batch: ClassVar[int] = 1

    def open(self) -> None:
        self._views = (self.folder.parent / f"views.{os.getpid()}").open("a")

    def encode_prompts(self, queries: Sequence[str]) -> PromptSet:
        return PromptSet(tuple(queries), None)

    def detect(self, pictures: Sequence[UInt8Array], prompts: PromptSet) -> list[RawDetections]:
        schedule = Schedule.of(self.folder.parent)
        if within(schedule.now_s(), schedule.overloads):
            time.sleep(0.5 * schedule.stretch)
        return [self._look(picture, len(prompts.queries)) for picture in pictures]

    def _look(self, picture: UInt8Array, queries: int) -> RawDetections:
        found = marks(picture)
        self._views.write(json.dumps([plate.number for plate in read(picture)]) + "\n")
        self._views.flush()
        boxes = np.asarray(found, np.float32).reshape(-1, 4)
        return RawDetections(boxes, np.full((len(found), queries), 0.9, np.float32))

    def patch_px(self, width_px: int, height_px: int) -> float:
        return 4.0

    def close(self) -> None:
        self._views.close()


def views(folder: Path) -> dict[int, int]:
    """How many judged pictures have shown each part whole."""
    counts: dict[int, int] = {}
    for path in folder.glob("views.*"):
        for line in path.read_text().splitlines():
            for number in json.loads(line):
                counts[number] = counts.get(number, 0) + 1
    return counts
