"""Measures frames between two processes: the ring with a header on ZeroMQ, against pyzmq, imagezmq and NetGear.

All lanes run as pairs of processes throughout the benchmark and take turns in each round, so that a busy computer slows
them all, and each ratio is of figures measured within the same second. Peers run with the interpreter of an environment
of their own (`make bench-env`, or the variable STREAM_INSPECT_BENCH_PYTHON); pyzmq runs with ours.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stream_inspect.errors import StreamInspectError

SIZES_PX = ((1280, 720), (1920, 1080))
WARM_UP_FRAMES = 20
LANE_SCRIPT = Path(__file__).with_name("transport_lane.py")
BASE = "ring-view"


@dataclass(frozen=True, slots=True)
class _Lane:
    name: str
    title: str
    is_peer: bool = False


LANES = (
    _Lane("ring-view", "ring + header, read in place"),  # as the inspect stage and the live picture do
    _Lane("ring", "ring + header, copied out"),  # as the recorder does
    _Lane("pyzmq", "pyzmq multipart, copying"),
    _Lane("pyzmq-nocopy", "pyzmq multipart, copy=False"),
    _Lane("imagezmq", "imagezmq", is_peer=True),
    _Lane("netgear", "vidgear NetGear", is_peer=True),
)


class BenchError(StreamInspectError):
    """A lane failed; the text is the last line of its process's log."""


@dataclass(frozen=True, slots=True)
class Round:
    """One lane's turn: median delay and processor time (of both processes) per frame, in milliseconds."""

    delay_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class TransportReport:
    """The rounds of each size and lane, in order."""

    frames: int
    rounds: dict[tuple[int, int], dict[str, list[Round]]]
    peers_missing: str

    def to_text(self) -> str:
        """One Markdown table for each size."""
        explanation = (
            "Delay: milliseconds from an array in one process until another has read all its pages, the median of "
            f"{self.frames} I420 frames sent one at a time. CPU: milliseconds of processor time per frame, of both "
            "processes. Ratios are relative to the first lane in the same round. min / median / max of the rounds."
        )
        lines = [explanation]
        titles = {lane.name: lane.title for lane in LANES}
        for (width_px, height_px), lanes in self.rounds.items():
            frame_mb = width_px * height_px * 1.5 / 1e6
            heading = f"{width_px}x{height_px}, {frame_mb:.1f} MB, {len(lanes[BASE])} rounds"
            lines += ["", f"| {heading} | delay ms | ratio | CPU ms | ratio |", "|---|---|---|---|---|"]
            for name, rounds in lanes.items():
                delays, base_delays = ([r.delay_ms for r in lane] for lane in (rounds, lanes[BASE]))
                cpus, base_cpus = ([r.cpu_ms for r in lane] for lane in (rounds, lanes[BASE]))
                lines.append(
                    f"| {titles[name]} | {_spread(delays)} | {_ratios(delays, base_delays)} "
                    f"| {_spread(cpus)} | {_ratios(cpus, base_cpus)} |"
                )
        if self.peers_missing:
            lines += ["", self.peers_missing]
        return "\n".join(lines)


def run(frames: int = 300, rounds: int = 5, peer_python: Path | None = None) -> TransportReport:
    """Measure `rounds` rounds of `frames` frames of each size on each lane.

    Peers without their environment are skipped, and the report says so. Raises `BenchError` where a lane fails.
    """
    python = peer_python or Path(os.environ.get("STREAM_INSPECT_BENCH_PYTHON", ".venv-bench/bin/python"))
    peers_missing = "" if python.exists() else f"imagezmq and NetGear: no environment at {python} (`make bench-env`)."
    lanes = [lane for lane in LANES if not (lane.is_peer and peers_missing)]
    figures: dict[tuple[int, int], dict[str, list[Round]]] = {
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
                turn = number % len(running)  # no lane always follows the same neighbour
                for lane, process in running[turn:] + running[:turn]:
                    figures[size][lane.name].append(process.measure(size, frames))
    return TransportReport(frames, figures, peers_missing)


class _RunningLane:
    """The sending process of a lane, which has started the receiving one."""

    def __init__(self, lane: _Lane, python: str, folder: Path) -> None:
        self._lane = lane
        own = folder / lane.name
        own.mkdir()
        self._log_path = own / "log"
        with open(self._log_path, "wb") as log:
            self._process = subprocess.Popen(
                [python, "-I", str(LANE_SCRIPT), "send", lane.name, str(own)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,  # so that the receiver can be ended with it
            )

    def measure(self, size_px: tuple[int, int], frames: int) -> Round:
        """One turn of this lane."""
        requests, answers = _pipe(self._process.stdin), _pipe(self._process.stdout)
        try:
            requests.write(json.dumps({"width_px": size_px[0], "height_px": size_px[1], "frames": frames}) + "\n")
            requests.flush()
        except BrokenPipeError:
            answer = ""
        else:
            answer = answers.readline()
        if not answer:
            logged = self._log_path.read_text(errors="replace").strip().splitlines()
            raise BenchError(f"bench lane {self._lane.name} failed: {logged[-1] if logged else 'no reason given'}")
        figures = json.loads(answer)
        return Round(statistics.median(figures["ms"]), figures["cpu_ms"])

    def __enter__(self) -> _RunningLane:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        with suppress(BrokenPipeError):
            _pipe(self._process.stdin).close()  # the end of the requests is the end of the lane
        try:
            self._process.wait(timeout=0 if error else 5)  # after an error or Ctrl-C its figures are not needed
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        _pipe(self._process.stdout).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _ratios(values: Sequence[float], base: Sequence[float]) -> str:
    return _spread([value / of_base for value, of_base in zip(values, base, strict=True)])


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}"
