"""Frames between two processes: the ring with a header on ZeroMQ, against raw pyzmq, imagezmq and vidgear's NetGear.

All lanes run as pairs of processes that stay alive, and take turns in each round, so that a busy computer slows them
all, and a ratio is of figures measured in the same second. Peers run with the interpreter of an environment of their
own (`make bench-env`, or the variable STREAM_INSPECT_BENCH_PYTHON); raw pyzmq runs with ours.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stream_inspect.errors import StreamInspectError

SIZES_PX = ((1280, 720), (1920, 1080))
WARM_UP_FRAMES = 20
LANE_SCRIPT = Path(__file__).with_name("transport_lane.py")
BASE = "ring"


@dataclass(frozen=True, slots=True)
class _Lane:
    name: str
    title: str
    is_peer: bool = False


LANES = (
    _Lane("ring", "ring + header, copied out"),
    _Lane("ring-view", "ring + header, read in place"),
    _Lane("pyzmq", "pyzmq multipart, copying"),
    _Lane("pyzmq-nocopy", "pyzmq multipart, copy=False"),
    _Lane("imagezmq", "imagezmq", is_peer=True),
    _Lane("netgear", "vidgear NetGear", is_peer=True),
)


class BenchError(StreamInspectError):
    """A lane failed; the text is what its process said."""


@dataclass(frozen=True, slots=True)
class BenchReport:
    """For each size and lane the milliseconds a frame, one median a round, in the order of the rounds."""

    frames: int
    median_ms: dict[tuple[int, int], dict[str, list[float]]]
    peers_missing: str

    def to_text(self) -> str:
        """A Markdown table for each size."""
        explanation = (
            "Milliseconds from an array in one process until another has looked at all its pages; of each round the "
            f"median of {self.frames} I420 frames, sent one at a time. The ratio is the lane's time over that of the "
            "first lane in the same round. min / median / max of the rounds."
        )
        lines = [explanation]
        titles = {lane.name: lane.title for lane in LANES}
        for (width_px, height_px), lanes in self.median_ms.items():
            frame_mb = width_px * height_px * 1.5 / 1e6
            heading = f"{width_px}x{height_px}, {frame_mb:.1f} MB, {len(lanes[BASE])} rounds"
            lines += ["", f"| {heading} | ms a frame | ratio |", "|---|---|---|"]
            for name, times_ms in lanes.items():
                ratios = [time_ms / base_ms for time_ms, base_ms in zip(times_ms, lanes[BASE], strict=True)]
                lines.append(f"| {titles[name]} | {_spread(times_ms)} | {_spread(ratios) if name != BASE else '1'} |")
        if self.peers_missing:
            lines += ["", self.peers_missing]
        return "\n".join(lines)


def run(frames: int = 300, rounds: int = 5, peer_python: Path | None = None) -> BenchReport:
    """Measure `rounds` rounds of `frames` frames of each size on each lane.

    Peers are left out, and the report says so, where their environment is absent. Raises `BenchError` where a lane
    fails.
    """
    python = peer_python or Path(os.environ.get("STREAM_INSPECT_BENCH_PYTHON", ".venv-bench/bin/python"))
    peers_missing = "" if python.exists() else f"imagezmq and NetGear: no environment at {python} (`make bench-env`)."
    lanes = [lane for lane in LANES if not (lane.is_peer and peers_missing)]
    median_ms: dict[tuple[int, int], dict[str, list[float]]] = {
        size: {lane.name: [] for lane in lanes} for size in SIZES_PX
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="si-bench-", dir="/dev/shm")))
        running = [
            (lane, stack.enter_context(_RunningLane(lane, str(python) if lane.is_peer else sys.executable, folder)))
            for lane in lanes
        ]
        for size in SIZES_PX:
            for _, process in running:
                process.measure(size, WARM_UP_FRAMES)
            for number in range(rounds):
                turn = number % len(running)  # nobody is always the one after the same neighbour
                for lane, process in running[turn:] + running[:turn]:
                    median_ms[size][lane.name].append(statistics.median(process.measure(size, frames)))
    return BenchReport(frames, median_ms, peers_missing)


class _RunningLane:
    """The sending process of a lane, which has started the receiving one."""

    def __init__(self, lane: _Lane, python: str, folder: Path) -> None:
        self._lane = lane
        own = folder / lane.name
        own.mkdir()
        self._log = own / "log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [python, "-I", str(LANE_SCRIPT), "send", lane.name, str(own)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def measure(self, size_px: tuple[int, int], frames: int) -> Sequence[float]:
        """The milliseconds of each frame."""
        requests, answers = _pipe(self._process.stdin), _pipe(self._process.stdout)
        try:
            requests.write(json.dumps({"width_px": size_px[0], "height_px": size_px[1], "frames": frames}) + "\n")
            requests.flush()
        except BrokenPipeError:
            answer = ""
        else:
            answer = answers.readline()
        if not answer:
            said = self._log.read_text(errors="replace").strip().splitlines()
            raise BenchError(f"bench lane {self._lane.name} failed: {said[-1] if said else 'no reason given'}")
        times_ms: list[float] = json.loads(answer)["ms"]
        return times_ms

    def __enter__(self) -> _RunningLane:
        return self

    def __exit__(self, *_: object) -> None:
        _pipe(self._process.stdin).close()  # the end of the requests is the end of the lane
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}"
