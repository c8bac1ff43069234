"""Cameras, a worker and the messages between them, in simulated time: nobody starves, nothing grows old.

The worker is the real `InspectStage`; the cameras answer a credit as `CaptureStage` does, with the freshest due frame.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from stream_inspect.config.load import load
from stream_inspect.inspect import model_slot
from stream_inspect.inspect import stage as stage_module
from stream_inspect.inspect.inspector import CameraSettings, Found
from stream_inspect.inspect.stage import InspectStage
from stream_inspect.messages import Credit, DueFrame, FrameHeader, Inspection
from stream_inspect.picture import UInt8Array
from stream_inspect.service.stage import TICK_S
from stream_inspect.transport.ledger import Ledger
from tests.inspect.frames import header

RING_S = 4.0
DURATION_S = 60.0
ONE_WAY_S = 0.0015
"""A credit or a due frame on its way."""
OWNER = 7


class Clock:
    """`time`, for the stage."""

    def __init__(self) -> None:
        self.now_s = 1.0

    def monotonic_ns(self) -> int:
        return round(self.now_s * 1e9)

    def monotonic(self) -> float:
        return self.now_s

    def time_ns(self) -> int:
        return round(self.now_s * 1e9)


class SlowInspector:
    """Finds nothing, and takes its time."""

    model_hash = prompts_hash = ""

    def __init__(self, clock: Clock, batch: int, batch_s: float, frame_s: float) -> None:
        self.useful_batch = batch
        self._clock, self._batch_s, self._frame_s = clock, batch_s, frame_s

    def open(self) -> None:
        """Nothing to load."""

    def set_defects(self, defects: object, parts: object) -> None:
        """Nothing to encode."""

    def find(self, pictures: Sequence[UInt8Array], cameras: Sequence[CameraSettings]) -> list[Found]:
        self._clock.now_s += self._batch_s + self._frame_s * len(pictures)
        return [Found([], None) for _ in pictures]

    def close(self) -> None:
        """Nothing to release."""


class Sim:
    """What happened: frames judged of each camera, those that were overwritten, and ages at the start of judging."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, cameras: int, batch: int) -> None:
        self.names = [f"c{number:02}" for number in range(cameras)]
        self.judged: Counter[str] = Counter()
        self.overwritten = 0
        self.ages_s: list[float] = []
        self._folder, self._monkeypatch, self._batch = folder, monkeypatch, batch

    def run(
        self, frame_s: float, *, batch_s: float = 0.0, rate_hz: float = 8.0, dead: int = 0, together: bool = False
    ) -> Sim:
        """`dead` cameras deliver nothing; the others `rate_hz` due frames a second each, all `together` or not."""
        clock = Clock()
        self._monkeypatch.setattr(stage_module, "time", clock)
        inspector = SlowInspector(clock, self._batch, batch_s, frame_s)
        self._monkeypatch.setattr(model_slot, "build_inspector", lambda inspect, worker: inspector)
        worker = self._worker(rate_hz)
        self._monkeypatch.setattr(worker, "_read", lambda batch: self._read(clock, batch))
        phases = random.Random(1)
        order = itertools.count()
        events: list[tuple[float, int, str, object]] = []

        def at(time_s: float, camera: str, what: object) -> None:
            heapq.heappush(events, (time_s, next(order), camera, what))

        for name in self.names[dead:]:
            at(1.0 if together else 1.0 + phases.random() / rate_hz, name, "due")
        due_s: dict[str, float] = {}
        tickets: dict[str, int] = {}
        inbox: list[DueFrame] = []

        def happen(until_s: float) -> None:
            while events and events[0][0] <= until_s:
                now_s, _, camera, what = heapq.heappop(events)
                if isinstance(what, DueFrame):
                    inbox.append(what)
                elif isinstance(what, Credit):
                    tickets[camera] = what.ticket
                else:
                    due_s[camera] = now_s
                    at(now_s + 1 / rate_hz, camera, "due")
                if camera in due_s and camera in tickets:
                    head = header(camera, capture_mono_ns=round(due_s.pop(camera) * 1e9))
                    at(now_s + ONE_WAY_S, "", DueFrame(header=head, owner=OWNER, ticket=tickets.pop(camera)))

        worker.open()
        woken = False
        while clock.now_s < DURATION_S:
            happen(clock.now_s)
            sleep_until_s = clock.now_s + (0.001 if woken else TICK_S)
            while not inbox and events and events[0][0] <= sleep_until_s:
                clock.now_s = max(clock.now_s, events[0][0])
                happen(clock.now_s)
            if not inbox:
                clock.now_s = max(clock.now_s, sleep_until_s)
            worker.process(inbox)
            inbox.clear()
            for output in worker.tick(clock.monotonic_ns()):
                if isinstance(output.message, Credit):
                    at(clock.now_s + ONE_WAY_S, output.key, output.message)
                elif isinstance(output.message, Inspection):
                    self.judged[output.message.frame.id.camera] += 1
            woken = self._woken
            self._woken = False
        worker.close()
        return self

    @property
    def a_second(self) -> float:
        """Frames judged."""
        return self.judged.total() / DURATION_S

    def _worker(self, rate_hz: float) -> InspectStage:
        path = self._folder / "line.yaml"
        cameras = [
            {"name": name, "source": {"kind": "synthetic"}, "sampling": {"rate_hz": rate_hz}} for name in self.names
        ]
        defects = [{"name": "dent", "prompts": ["dent"], "threshold": 0.5}]
        inspect = {"batch_max_frames": self._batch}
        path.write_text(json.dumps({"version": 1, "cameras": cameras, "defects": defects, "inspect": inspect}))
        worker = InspectStage(
            load(path),
            worker="inspect.0",
            worker_index=0,
            owner=OWNER,
            ledger=Ledger.create(self._folder / "ledger", self.names),
            ring_dir=self._folder,
        )
        self._woken = False
        for camera in self.names:
            account = worker._ledger.camera(camera)
            self._monkeypatch.setattr(account, "taken", lambda index, owner: True)
        self._monkeypatch.setattr(worker._wake, "set", self._wake)
        return worker

    def _wake(self) -> None:
        self._woken = True

    def _read(self, clock: Clock, batch: Sequence[DueFrame]) -> list[tuple[FrameHeader, UInt8Array]]:
        read = []
        for due in batch:
            age_s = clock.now_s - due.header.capture_mono_ns / 1e9
            if age_s > RING_S:
                self.overwritten += 1
            else:
                self.ages_s.append(age_s)
                read.append((due.header, np.zeros((2, 2, 3), dtype=np.uint8)))
        return read


@pytest.mark.parametrize(
    ("cameras", "batch", "frame_s", "more"),
    [
        (1, 1, 2.0, {}),
        (1, 1, 6.0, {}),
        (4, 1, 2.0, {}),
        (4, 1, 0.3, {}),
        (4, 1, 6.0, {}),
        (16, 4, 0.5, {}),
        (16, 1, 0.3, {}),
        (16, 1, 0.04, {}),
        (16, 1, 0.04, {"together": True}),
        (16, 8, 0.01, {"batch_s": 0.02}),
        (16, 8, 0.04, {"batch_s": 0.05}),
        (4, 1, 2.0, {"dead": 2}),
        (8, 1, 0.05, {"dead": 4}),
        (16, 4, 0.05, {"dead": 3}),
    ],
)
def test_with_too_many_frames_each_camera_has_its_share_of_fresh_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cameras: int, batch: int, frame_s: float, more: dict[str, float]
) -> None:
    sim = Sim(tmp_path, monkeypatch, cameras, batch).run(frame_s, **more)
    live = sim.names[int(more.get("dead", 0)) :]
    shares = [sim.judged[name] for name in live]
    together = min(batch, len(live))
    batch_s = more.get("batch_s", 0.0) + frame_s * together
    assert min(shares) >= 1
    assert max(shares) - min(shares) <= 2 + 0.02 * max(shares)
    assert sim.overwritten == 0
    assert max(sim.ages_s) < 1 / 8 + min(batch_s, 1 / 8) + 0.05  # the camera's newest, and a batch before it
    assert sim.a_second * batch_s / together > 0.95 - batch_s / DURATION_S


@pytest.mark.parametrize(
    ("cameras", "batch", "frame_s", "more", "median_age_s"),
    [
        (1, 1, 0.03, {}, 0.005),  # the demonstration
        (4, 1, 0.01, {}, 0.005),
        (4, 1, 0.03, {}, 0.03),
        (16, 1, 0.005, {}, 0.01),
        (16, 8, 0.002, {"batch_s": 0.005, "rate_hz": 2.0}, 0.005),
        (16, 8, 0.01, {"batch_s": 0.1, "rate_hz": 2.0}, 0.1),
        (16, 8, 0.002, {"batch_s": 0.005, "rate_hz": 2.0, "together": True}, 0.05),
    ],
)
def test_a_worker_that_keeps_up_judges_every_frame_and_soon(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cameras: int,
    batch: int,
    frame_s: float,
    more: dict[str, float],
    median_age_s: float,
) -> None:
    sim = Sim(tmp_path, monkeypatch, cameras, batch).run(frame_s, **more)
    due = (DURATION_S - 1) * more.get("rate_hz", 8.0)
    assert all(sim.judged[name] > 0.98 * due for name in sim.names)
    assert sorted(sim.ages_s)[len(sim.ages_s) // 2] < median_age_s
