"""Measures what each captured frame of a line with parts costs: the belt's way and the parts by its picture.

Next to it, on the same frames and one thread, what others use for the same: OpenCV's phase correlation and optical flow
for the way, and its background subtraction for the parts. CPU time is measured and the lanes take turns, so that other
load on the computer changes little. A way that is measured wrong would make its cost meaningless: its error is given.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress

from stream_inspect.belt.background import BackgroundParts
from stream_inspect.belt.look import BeltLook
from stream_inspect.belt.rectified import Rectifier
from stream_inspect.belt.visual_odometer import VisualOdometer
from stream_inspect.config.models import BeltConfig
from stream_inspect.picture import Picture, UInt8Array
from stream_inspect.sim import SyntheticLine

LINE_SEED = 3
FRAMES, LEARNED = 60, 30
"""Frames that are measured, after those by which the empty belt is learned."""
ANGLE_DEG = 30
"""Of a belt that has to be warped; this one runs straight, so that its way at that angle means nothing."""
_CORNERS = 200

See = Callable[[Picture, float], float | None]
"""One frame and its time; how far the belt moved in it, in px to the left, None where that is not looked for."""


@dataclass(slots=True)
class Lane:
    """One thing done with the frames, with its CPU time for a frame in each round, in milliseconds."""

    name: str
    make: Callable[[], See]
    times_ms: list[float] = field(default_factory=list)
    way: str = "-"
    """By how much the way over all frames was off."""


@dataclass(frozen=True, slots=True)
class LookReport:
    """The measurements, and what was measured."""

    lanes: Sequence[Lane]
    about: str

    def to_text(self) -> str:
        """A Markdown table. Ratios are to the first lane in the same round."""
        lines = [
            self.about,
            "",
            "| on each frame | CPU ms: min / median / max | times the first | way is off by |",
            "|---|---|---|---|",
        ]
        first = self.lanes[0].times_ms
        for lane in self.lanes:
            low, middle, high = min(lane.times_ms), statistics.median(lane.times_ms), max(lane.times_ms)
            ratio = statistics.median(own / other for own, other in zip(lane.times_ms, first, strict=True))
            lines.append(f"| {lane.name} | {low:.2f} / {middle:.2f} / {high:.2f} | {ratio:.2f} | {lane.way} |")
        return "\n".join(lines)


def run(rounds: int = 5) -> LookReport:
    """Measure all lanes in turn, on one thread."""
    line = SyntheticLine(LINE_SEED)
    pictures = [Picture(line.i420(number), line.width_px, line.height_px) for number in range(LEARNED + FRAMES)]
    lanes = _lanes(line)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("measuring", total=rounds * len(lanes))
            for _ in range(rounds):
                for lane in lanes:
                    _measure(lane, pictures, line)
                    progress.advance(task)
    finally:
        cv2.setNumThreads(threads)
    about = (
        f"{FRAMES} frames of {line.width_px}x{line.height_px} px of the synthetic line with parts, {rounds} rounds, "
        "CPU time of one thread."
    )
    return LookReport(lanes, about)


def _measure(lane: Lane, pictures: Sequence[Picture], line: SyntheticLine) -> None:
    see, moved_px, spent_s = lane.make(), list[float | None](), 0.0
    for number, picture in enumerate(pictures):
        start_s = time.thread_time()
        moved = see(picture, number / line.fps)
        if number >= LEARNED:
            spent_s += time.thread_time() - start_s
            moved_px.append(moved)
    lane.times_ms.append(1000 * spent_s / FRAMES)
    known = [px for px in moved_px if px is not None]
    if known:
        true_px = FRAMES * line.speed_px_s / line.fps
        lane.way = f"{100 * abs(sum(known) - true_px) / true_px:.2f} %"


def _lanes(line: SyntheticLine) -> list[Lane]:
    belt = BeltConfig(direction="right_to_left", speed_mm_s=line.speed_mm_s, mm_per_px=line.mm_per_px)
    tilted = BeltConfig(direction_deg=180 + ANGLE_DEG, speed_mm_s=line.speed_mm_s, mm_per_px=line.mm_per_px)

    def both() -> See:
        look = BeltLook(belt)
        return lambda picture, pts_s: (look.see(picture, pts_s).moved_mm or 0.0) / line.mm_per_px

    def way() -> See:
        rectifier, odometer = Rectifier(belt), VisualOdometer(belt)
        return lambda picture, pts_s: (odometer.see(rectifier.see(picture), pts_s).mm or 0.0) / line.mm_per_px

    return [
        Lane("way and parts", both),
        Lane("the way (visual odometer)", way),
        Lane("the parts (background)", lambda: _parts(belt, line)),
        Lane(f"the parts, belt at {ANGLE_DEG} degrees (warped)", lambda: _parts(tilted, line)),
        Lane("OpenCV phaseCorrelate, halved picture", _phase_correlation),
        Lane(f"OpenCV calcOpticalFlowPyrLK, {_CORNERS} corners", _optical_flow),
        Lane("OpenCV BackgroundSubtractorMOG2, halved picture", _mixture),
    ]


def _parts(belt: BeltConfig, line: SyntheticLine) -> See:
    rectifier, background = Rectifier(belt), BackgroundParts()
    step_mm = line.speed_mm_s / line.fps

    def see(picture: Picture, _: float) -> None:
        background.see(rectifier.see(picture), step_mm)

    return see


def _halved(picture: Picture) -> UInt8Array:
    size = picture.width_px // 2, picture.height_px // 2
    return np.asarray(cv2.resize(picture.luma, size, interpolation=cv2.INTER_AREA), np.uint8)


def _phase_correlation() -> See:
    window: list[npt.NDArray[np.float32]] = []
    last: list[npt.NDArray[np.float32]] = []

    def see(picture: Picture, _: float) -> float:
        luma = _halved(picture).astype(np.float32)
        if not last:
            window.append(np.asarray(cv2.createHanningWindow(luma.shape[::-1], cv2.CV_32F), np.float32))
            last.append(luma)
        (x, _down), _response = cv2.phaseCorrelate(last[0], luma, window[0])
        last[0] = luma
        return -2 * float(x)

    return see


def _optical_flow() -> See:
    last: list[UInt8Array] = []

    def see(picture: Picture, _: float) -> float:
        luma = np.ascontiguousarray(picture.luma)
        before = last[0] if last else luma
        last[:] = [luma]
        corners = cv2.goodFeaturesToTrack(before, _CORNERS, 0.01, 10)
        moved, found, _errors = cv2.calcOpticalFlowPyrLK(before, luma, corners, np.empty_like(corners))
        steps = (moved - corners)[found.ravel() == 1, 0, 0]
        return -float(np.median(steps)) if steps.size else 0.0

    return see


def _mixture() -> See:
    subtractor = cv2.createBackgroundSubtractorMOG2()

    def see(picture: Picture, _: float) -> None:
        subtractor.apply(_halved(picture))

    return see
