"""A real RTSP server killed, frozen and restarted, again and again: frames within two seconds, and nothing grows."""

from __future__ import annotations

import gc
import itertools
import random
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from stream_inspect.config.models import CameraConfig
from tests.capture.harness import StageHarness
from tests.capture.processes import RtspServer, need_rtsp_server

LIMIT_S = 2.0
KINDS = ("killed", "frozen", "restarted")


@dataclass(frozen=True)
class Cycle:
    """One outage: from the moment the port accepts again to the first frame, and what the process then holds."""

    kind: str
    back_s: float
    threads: int
    sockets: int
    descriptors: int
    memory_mb: float


@pytest.fixture
def server() -> Iterator[RtspServer]:
    need_rtsp_server()
    server = RtspServer("--gop", "25", "--pattern", "smpte")
    yield server
    server.stop()


@pytest.mark.slow
def test_frames_are_back_within_two_seconds_after_each_kind_of_outage(server: RtspServer, tmp_path: Path) -> None:
    cycles = run_cycles(server, tmp_path, count=len(KINDS))
    assert [cycle.kind for cycle in cycles] == list(KINDS)
    assert max(cycle.back_s for cycle in cycles) < LIMIT_S


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_fifty_outages_and_nothing_grows(
    server: RtspServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cycles = run_cycles(server, tmp_path, count=50)
    with capsys.disabled():
        print("\n" + table(cycles))
    assert sum(cycle.back_s < LIMIT_S for cycle in cycles) == 50
    settled, last = cycles[4], cycles[-1]
    assert last.threads <= settled.threads
    assert last.sockets <= settled.sockets
    assert last.descriptors <= settled.descriptors
    assert last.memory_mb - settled.memory_mb < 10


def run_cycles(server: RtspServer, folder: Path, count: int) -> list[Cycle]:
    rng = random.Random(1)
    camera = CameraConfig.model_validate({"name": "c1", "source": {"kind": "rtsp", "url": server.url()}})
    cycles = []
    with StageHarness(camera, folder) as harness:
        harness.judging = True
        harness.run(lambda: len(harness.frames) >= 25)
        for kind in itertools.islice(itertools.cycle(KINDS), count):
            session = harness.frames[-1].id.session
            accepts_s = outage(server, kind, rng, harness)
            harness.run(lambda session=session: harness.frames[-1].id.session > session)  # type: ignore[misc]
            first = next(frame for frame in harness.frames if frame.id.session > session)
            back_s = first.capture_mono_ns * 1e-9 - accepts_s
            steady_s = time.monotonic() + 1.2
            harness.run(lambda steady_s=steady_s: time.monotonic() > steady_s)  # type: ignore[misc]
            del harness.frames[:-1], harness.due[:]
            gc.collect()
            cycles.append(measure(kind, back_s))
    totals = harness.totals()
    assert totals.residual == 0
    assert totals.in_flight == 0
    return cycles


def outage(server: RtspServer, kind: str, rng: random.Random, harness: StageHarness) -> float:
    """Make one, and return the monotonic time at which the port accepts again. The stage runs on meanwhile."""
    off_s = time.monotonic() + rng.uniform(0.5, 3.0)
    if kind == "frozen":
        off_s += 3.0  # beyond the read time-out, so that the connection is given up
        server.send_signal(signal.SIGSTOP)
        harness.run(lambda: time.monotonic() > off_s)
        server.send_signal(signal.SIGCONT)
        return time.monotonic()
    server.stop(signal.SIGKILL if kind == "killed" else signal.SIGTERM)
    if kind == "killed":
        harness.run(lambda: time.monotonic() > off_s)
    accepts: list[float] = []
    server.start_without_waiting()
    waiter = threading.Thread(target=lambda: accepts.append(server.wait_until_it_accepts()))
    waiter.start()
    harness.run(lambda: bool(accepts))
    waiter.join()
    return accepts[0]


def measure(kind: str, back_s: float) -> Cycle:
    process = psutil.Process()
    return Cycle(
        kind=kind,
        back_s=back_s,
        threads=process.num_threads(),
        sockets=len(process.net_connections()),
        descriptors=process.num_fds(),
        memory_mb=process.memory_info().rss / 1e6,
    )


def table(cycles: list[Cycle]) -> str:
    """The result as Markdown."""
    lines = [
        "| outage | cycles | back within 2 s | min s | median s | max s |",
        "|---|---|---|---|---|---|",
    ]
    for kind in (*KINDS, "all"):
        times = [cycle.back_s for cycle in cycles if kind in ("all", cycle.kind)]
        lines.append(
            f"| {kind} | {len(times)} | {sum(t < LIMIT_S for t in times)} | {min(times):.2f} | "
            f"{statistics.median(times):.2f} | {max(times):.2f} |"
        )
    lines += ["", "| | threads | sockets | descriptors | memory MB |", "|---|---|---|---|---|"]
    for name, cycle in (("after 5 outages", cycles[4]), (f"after {len(cycles)}", cycles[-1])):
        lines.append(f"| {name} | {cycle.threads} | {cycle.sockets} | {cycle.descriptors} | {cycle.memory_mb:.1f} |")
    return "\n".join(lines)
