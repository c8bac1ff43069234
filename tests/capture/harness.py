"""What surrounds a capture stage: a ledger, a ring reader, and the loop that a process would run."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stream_inspect.capture.stage import CaptureStage
from stream_inspect.config.models import CameraConfig, DecideConfig, TransportConfig
from stream_inspect.messages import Condition, Credit, DueFrame, FrameHeader, Missed, Output
from stream_inspect.picture import UInt8Array, i420_shape
from stream_inspect.transport.ledger import Ledger, LedgerKeeper, Totals
from stream_inspect.transport.ring import RingReader

CAPTURE_OWNER, WORKER_OWNER = 1, 2


class ArraySink:
    """A sink of plain memory."""

    def slot(self, width_px: int, height_px: int) -> UInt8Array:
        return np.zeros(i420_shape(width_px, height_px), np.uint8)


class StageHarness:
    """Runs one capture stage in this thread and keeps what it sends."""

    def __init__(self, camera: CameraConfig, folder: Path, transport: TransportConfig | None = None) -> None:
        self.ledger = Ledger.create(folder / "ledger", [camera.name])
        self.keeper = LedgerKeeper(self.ledger)
        self.camera = camera.name
        self.account = self.ledger.camera(camera.name)
        self.stage = CaptureStage(
            camera,
            ring_dir=folder,
            ring_prefix=camera.name,
            ledger=self.account,
            owner=CAPTURE_OWNER,
            state_dir=folder / "state",
            transport=transport or TransportConfig(),
            decide=DecideConfig(),
        )
        self.ring = RingReader(folder)
        self.frames: list[FrameHeader] = []
        self.due: list[DueFrame] = []
        self.missed: list[Missed] = []
        self.conditions: list[Condition] = []
        self.on_frame: Callable[[FrameHeader], None] = lambda header: None
        self.judging = False
        """Answer every due frame with a judgement and new credit, as an idle inspect worker does."""
        self.full_mailboxes: set[str] = set()
        self._ticket = 0

    def __enter__(self) -> StageHarness:
        self.stage.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.stage.close()
        self.ring.close()

    def credit(self, worker: str = "inspect.0") -> Credit:
        """Send a credit now."""
        self._ticket += 1
        credit = Credit(worker=worker, owner=WORKER_OWNER, ticket=self._ticket)
        self._take(self.stage.process([credit]))
        return credit

    def turn(self, wait_s: float = 0.05) -> None:
        """One turn of a process's loop."""
        assert self.stage.wake_fd is not None
        select.select([self.stage.wake_fd], [], [], wait_s)
        self._take(self.stage.tick(time.monotonic_ns()))

    def run(self, until: Callable[[], bool], limit_s: float = 10.0) -> None:
        """Turn until something is so; fails after `limit_s`."""
        if self.judging and not self._ticket:
            self.credit()
        end_s = time.monotonic() + limit_s
        while not until():
            assert time.monotonic() < end_s, "did not happen in time"
            self.turn()

    @property
    def waiting(self) -> bool:
        """Whether a due frame waits for credit."""
        last = self.frames[-1] if self.frames else None
        return last is not None and last.due is not None and self.account.in_flight(last.ledger_index)

    def totals(self) -> Totals:
        return self.keeper.collect()[self.camera]

    def _take(self, outputs: object) -> None:
        for output in list(outputs):  # type: ignore[call-overload]
            self._take_one(output)

    def _take_one(self, output: Output) -> None:
        if output.topic in self.full_mailboxes:
            self.stage.undelivered(output)
            return
        message = output.message
        if isinstance(message, FrameHeader):
            self.frames.append(message)
            self.on_frame(message)
            if len(self.frames) % 100 == 0:
                self.keeper.collect()
        elif isinstance(message, DueFrame):
            self.due.append(message)
            if self.judging:
                assert self.account.judged(message.header.ledger_index)
                self.credit(output.key)
        elif isinstance(message, Missed):
            self.missed.append(message)
        elif isinstance(message, Condition):
            self.conditions.append(message)


def descriptors() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))
