"""Real processes, really killed: one that captures and two that inspect, on real channels; and the ledger closes."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest

from stream_inspect.transport.ledger import DropCause, Ledger, LedgerKeeper, Totals
from stream_inspect.transport.zmq import ZmqChannels
from tests.transport.frames import due

pytestmark = pytest.mark.slow

SPAWN = multiprocessing.get_context("spawn")
OWNERS_BYTES = 8


def capture(run_dir: str, owner: int, seed: int) -> None:
    """Captures as fast as it can; sends to whatever life of each worker the file `owner.<worker>` names."""
    camera = Ledger.attach(Path(run_dir) / "ledger").camera("cam")
    channels = ZmqChannels(Path(run_dir), "capture.cam", {})
    chooser = random.Random(seed)
    while True:
        index = camera.captured(owner)
        what = chooser.random()
        if what < 0.3:
            camera.not_due(index)
        elif what < 0.4:
            camera.drop(index, DropCause.CAPTURE_SUPERSEDED)
        else:
            worker = chooser.randrange(2)
            its_owner = int.from_bytes((Path(run_dir) / f"owner.{worker}").read_bytes())
            if its_owner and camera.sent(index, its_owner):
                message = due(index, its_owner, index)
                if not channels.send("due", message, key=str(worker)):
                    camera.drop(index, DropCause.TRANSPORT_MAILBOX_FULL)
            else:
                camera.drop(index, DropCause.CAPTURE_SUPERSEDED)
        time.sleep(0.0005)


def inspect(run_dir: str, worker: int, owner: int) -> None:
    """Judges what it takes; says so in `judged`, which is an account of its own, before the ledger hears of it."""
    camera = Ledger.attach(Path(run_dir) / "ledger").camera("cam")
    channels = ZmqChannels(Path(run_dir), f"inspect.{worker}", {})
    channels.subscribe("due", str(worker))
    judged = os.open(Path(run_dir) / "judged", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        for message in channels.receive(0.1):
            if message.owner == owner and camera.taken(message.header.ledger_index, owner):
                time.sleep(0.0005)
                os.write(judged, message.header.ledger_index.to_bytes(8))
                camera.judged(message.header.ledger_index)


class Line:
    """A supervisor in small."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.keeper = LedgerKeeper(Ledger.create(run_dir / "ledger", ["cam"], cells=1024))
        self.owners = 0
        self.running: dict[str, tuple[multiprocessing.process.BaseProcess, int]] = {}
        for worker in range(2):
            (run_dir / f"owner.{worker}").write_bytes(bytes(OWNERS_BYTES))

    def start(self, name: str) -> None:
        self.owners += 1
        if name == "capture":
            process = SPAWN.Process(target=capture, args=(str(self.run_dir), self.owners, self.owners))
        else:
            worker = int(name)
            process = SPAWN.Process(target=inspect, args=(str(self.run_dir), worker, self.owners))
            (self.run_dir / f"owner.{worker}").write_bytes(self.owners.to_bytes(OWNERS_BYTES))
        process.start()
        self.running[name] = process, self.owners

    def kill(self, name: str) -> None:
        process, owner = self.running.pop(name)
        process.kill()
        process.join()
        self.keeper.sweep_owner(owner)

    def collect(self) -> Totals:
        return self.keeper.collect()["cam"]


def test_the_ledger_closes_while_processes_are_killed(tmp_path: Path) -> None:
    line, chooser = Line(tmp_path), random.Random(3)
    kills = {"capture": 0, "0": 0, "1": 0}
    try:
        for name in kills:
            line.start(name)
        last = Totals()
        until = time.monotonic() + 25
        while time.monotonic() < until:
            time.sleep(chooser.uniform(0.0, 0.15))
            totals = line.collect()
            assert totals.residual == 0
            assert (totals.captured, totals.judged) >= (last.captured, last.judged)
            last = totals
            if chooser.random() < 0.2 and totals.judged > 50:
                name = chooser.choice(list(kills))
                line.kill(name)
                kills[name] += 1
                assert line.collect().residual == 0
                line.start(name)
        assert min(kills.values()) >= 3
    finally:
        for name in list(line.running):
            line.kill(name)
    totals = line.collect()
    assert totals.residual == 0
    assert totals.in_flight == 0
    assert totals.captured == totals.judged + totals.not_due + sum(totals.dropped.values())
    assert totals.dropped["inspect", "died"] > 0
    # The workers' own account: each frame was judged once at most, and the ledger lacks at most the one that each
    # worker was about to report when it was killed.
    raw = (tmp_path / "judged").read_bytes()
    indices = [int.from_bytes(raw[start : start + 8]) for start in range(0, len(raw), 8)]
    assert len(set(indices)) == len(indices)
    assert totals.judged <= len(indices) <= totals.judged + kills["0"] + kills["1"] + 2
    assert totals.judged > 500
