"""Made-up rows with stages of their own, for tests with real processes and real signals.

python -m tests.service.made_up run FOLDER                 the service, of a feeder and a gate that lives with the line
python -m tests.service.made_up gate FOLDER                that gate
python -m tests.service.made_up child PLAN PID row=NAME    what a supervisor starts that runs `python_of(PLAN)`
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from stream_inspect import log
from stream_inspect.config.models import Config
from stream_inspect.messages import AnyMessage, Credit, FrameHeader, Inspection, LivePicture, Output
from stream_inspect.service import line_process, process, supervisor
from stream_inspect.service.build import BUILDERS, ProcessContext
from stream_inspect.service.plan import Plan, Row, plan
from stream_inspect.service.serve import serve
from tests.commands.replays import config
from tests.transport.frames import credit, header, inspection

GATE = Row("gate", "gate", reads=(), writes=(), stop_group="gate", stop_share_s=10.0)


def gate_beside_the_others(config: Config) -> Plan:
    """The real plan, and a gate that lives with the run."""
    return Plan((GATE, *plan(config).rows))


def gate_of_the_line(_: Config) -> Plan:
    """A gate that lives with the line and a feeder that lives with the run: all four ways in which a topic can lie.

    The gate binds the mailbox `inspections` and the broadcast `live`, the feeder the mailbox `credit` and `frames`.
    """
    gate = replace(GATE, reads=(("inspections", ""), ("frames", "")), writes=("live", "credit"), lives="line")
    feeder = Row(
        "feeder",
        "feeder",
        reads=(("credit", "feeder"), ("live", "")),
        writes=("inspections", "frames"),
        stop_group="feeder",
        stop_share_s=2.0,
        source=True,
    )
    return Plan((gate, feeder))


def ailing_gate(_: Config) -> Plan:
    """Nothing but a gate that does as its `AILMENT` says."""
    return Plan((replace(GATE, stage="ailing"),))


def ailing_capture(_: Config) -> Plan:
    """The same, of a camera."""
    return Plan((replace(GATE, name="capture.top", stage="ailing", source=True, unit="top"),))


_PLANS = (gate_beside_the_others, gate_of_the_line, ailing_gate, ailing_capture)
PLANS = {made_up.__name__: made_up for made_up in _PLANS}
AILMENT = "ailment"
"""A file in the state folder with a line of Python that a process of `Ailing` runs in each turn."""


class Peer:
    """Sends its pid on every topic that its row writes, and notes in `<row>.received` whose it has received.

    Notes in `<row>.closed` that it was closed.
    """

    wake_fd: int | None = None

    def __init__(self, context: ProcessContext, row: Row) -> None:
        self._row, self._folder = row, context.state_dir
        self._received: set[str] = set()

    def open(self) -> None:
        log.get_logger("peer").info("opened")

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        for note in {f"{type(message).__name__} {sender(message)}" for message in batch} - self._received:
            self._received.add(note)
            with (self._folder / f"{self._row.name}.received").open("a") as file:
                file.write(note + "\n")
        return ()

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        return [Output(topic, signed(topic), "feeder" if topic == "credit" else "") for topic in self._row.writes]

    def undelivered(self, output: Output) -> None:
        pass

    def close(self) -> None:
        (self._folder / f"{self._row.name}.closed").touch()


class Ailing(Peer):
    """Runs its `AILMENT`, a line of Python that sees `stage`, in each turn."""

    waiting = waiting_since_mono_ns = 0

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        exec((self._folder / AILMENT).read_text(), {"stage": self})
        return []


def signed(topic: str) -> AnyMessage:
    """A message of this topic that carries our pid."""
    pid = os.getpid()
    picture = LivePicture(camera="cam", frame_seq=pid, capture_mono_ns=0, capture_utc_ns=0, fresh_for_s=1.5, jpeg=b"")
    return {"inspections": inspection(pid), "credit": credit(pid), "frames": header(pid), "live": picture}[topic]


def sender(message: AnyMessage) -> int:
    """The pid in a message of `signed`."""
    match message:
        case Inspection():
            return message.frame.id.seq
        case Credit():
            return message.ticket
        case FrameHeader():
            return message.id.seq
        case LivePicture():
            return message.frame_seq
    raise AssertionError(message)


def use(name: str) -> None:
    """From here on this process computes the made-up plan, and its stages are `Peer`s."""
    for module in (process, line_process, supervisor):
        module.plan = PLANS[name]  # type: ignore[attr-defined]
    BUILDERS.update(gate=Peer, feeder=Peer, ailing=Ailing)


def python_of(name: str, folder: Path) -> str:
    """A program to start children with instead of Python: it runs them with the made-up plan."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nshift 2\nexec "{sys.executable}" -m tests.service.made_up child {name} "$@"\n')
    program.chmod(0o700)
    return str(program)


def config_of(folder: Path) -> Config:
    """A configuration whose state and whose runs lie in this folder."""
    return config(
        state_dir=str(folder / "state"),
        transport={"ring_dir": str(folder)},
        metrics={"enabled": False},
        log={"format": "json"},
        web={"enabled": False},
        recorder={"enabled": False},
    )


def main() -> None:
    match sys.argv[1:]:
        case ["run", folder]:
            use(gate_of_the_line.__name__)
            sys.executable = python_of(gate_of_the_line.__name__, Path(folder))
            log.configure("info", "json")
            serve(config_of(Path(folder)))
        case ["gate", folder]:
            use(gate_of_the_line.__name__)
            log.configure("info", "json", process="gate")
            line_process.run_line_process(config_of(Path(folder)), "gate")
        case ["child", name, *arguments]:
            use(name)
            sys.argv[1:] = arguments
            sys.exit(process.main())


if __name__ == "__main__":
    main()
