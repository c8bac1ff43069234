"""THE table of the system, computed from the configuration: which processes there are, what flows between them, and
how they start, stop and live.

Rows are listed in the order of starting: what reads frames and results comes before what writes them, so that nothing
is sent before its reader is there. Stopping walks the same list backwards, group by group: the sources stop first, then
what they fed, and the outputs once the last event has been made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from stream_inspect.config.models import Config
from stream_inspect.stopping import (
    CAPTURE_CLOSE_S,
    DRAIN_S,
    INSPECT_CLOSE_S,
    OUTPUT_CLOSE_S,
    PLANT_CLOSE_S,
    RECORDER_CLOSE_S,
    TRACK_CLOSE_S,
)
from stream_inspect.topics import TOPICS, Delivery

SUPERVISOR = "main"
SUPERVISOR_READS = ("conditions",)
SUPERVISOR_WRITES = ("status", "conditions")
"""Not a row: the supervisor starts the rows. Its name is short because paths of sockets are."""


@dataclass(frozen=True, slots=True)
class Row:
    """One process."""

    name: str
    stage: str
    """The function in `service/build.py` that makes the stage object."""
    reads: tuple[tuple[str, str], ...]
    """(topic, key) it subscribes to."""
    writes: tuple[str, ...]
    """Topics it sends to."""
    stop_group: str
    """Adjacent rows with the same group are asked to stop together."""
    stop_share_s: float
    """The group may take this long to stop in good order (the longest share of its rows counts); then it is killed."""
    lives: Literal["run", "line"] = "run"
    """`run`: the supervisor starts, restarts and stops it, and it dies with the supervisor. `line`: it has a systemd
    unit of its own and outlives every run, see `service/line_process.py`; its stop group and share have no effect."""
    source: bool = False
    """Frames enter the line here. It starts once what its mailboxes lead to runs; when every source has ended, so has
    the run."""
    unit: str = ""
    """The camera or the worker that this row is for."""
    index: int = 0
    nice: int = 0
    silent_limit_s: float = 10.0
    """Without a heartbeat for this long, the process hangs. Of an inspect worker: until its first batch is measured."""
    start_limit_s: float = 20.0
    """Opening may take this long."""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """All the rows of a line on one host."""

    rows: tuple[Row, ...]

    def row(self, name: str) -> Row:
        """The row of this name. Raises KeyError."""
        return {row.name: row for row in self.rows}[name]

    def writers(self) -> dict[str, list[str]]:
        """For each broadcast topic the names of those that write it: a reader connects to them all."""
        writes = [*((row.name, row.writes) for row in self.rows), (SUPERVISOR, SUPERVISOR_WRITES)]
        return {
            topic.name: [name for name, topics in writes if topic.name in topics]
            for topic in TOPICS.values()
            if topic.delivery is Delivery.BROADCAST
        }

    def downstream(self, row: Row) -> set[str]:
        """The names of the rows that the mailboxes of this row lead to, directly or through others, sources aside."""
        found: set[str] = set()
        rows = [row]
        while rows:
            mailboxes = [topic for topic in rows.pop().writes if TOPICS[topic].delivery is Delivery.MAILBOX]
            reached = {name for topic in mailboxes for name in self.readers(topic)} - found
            new = [other for other in self.rows if other.name in reached and not other.source]
            found |= {other.name for other in new}
            rows += new
        return found

    def readers(self, topic: str) -> set[str]:
        """The names of the rows that read this topic."""
        return {row.name for row in self.rows if any(topic == read for read, _ in row.reads)}

    def stop_groups(self) -> list[tuple[Row, ...]]:
        """The rows that live with the run in the order of stopping: those of one tuple are asked together."""
        backwards = (row for row in reversed(self.rows) if row.lives == "run")
        return [tuple(rows) for _, rows in groupby(backwards, key=lambda row: row.stop_group)]

    def line_topics(self) -> set[str]:
        """The topics that a row which lives with the line reads or writes: their sockets must outlive the run."""
        line_rows = [row for row in self.rows if row.lives == "line"]
        return {topic for row in line_rows for topic in (*row.writes, *(topic for topic, _ in row.reads))}

    def __str__(self) -> str:
        lines = [f"{'process':<20} {'lives':<6} {'stops with':<15} {'reads':<44} writes"]
        for row in self.rows:
            stops = f"{row.stop_group} {row.stop_share_s} s"
            reads = ", ".join(f"{topic}[{key}]" if key else topic for topic, key in row.reads)
            lines.append(f"{row.name:<20} {row.lives:<6} {stops:<15} {reads:<44} {', '.join(row.writes)}")
        return "\n".join(lines)


def plan(config: Config) -> Plan:
    """The plan of this configuration on one host."""
    rows: list[Row] = []
    if config.web.enabled:
        rows.append(_output("web", reads=("live", "events", "parts_status", "status"), nice=5))
        rows.append(_output("live", reads=("frames", "tracked", "parts_shown", "status"), writes=("live",), nice=10))
    if config.recorder.enabled:
        reads, share_s = ("frames", "tracked", "confirmed"), DRAIN_S + RECORDER_CLOSE_S
        rows.append(_output("recorder", reads=reads, writes=("conditions",), nice=10, share_s=share_s))
    if config.alerts:
        rows.append(_output("alerts", reads=("events", "status"), writes=("conditions",)))
    rows.append(
        Row(
            "track",
            "track",
            reads=(
                *((topic, "") for topic in ("inspections", "missed", "belt", "conditions")),
                *([("plant", "")] if config.inputs else []),
            ),
            writes=("tracked", "parts_shown", "parts_status", "confirmed", "events", "conditions"),
            stop_group="track",
            stop_share_s=DRAIN_S + TRACK_CLOSE_S,
        )
    )
    for index, worker in enumerate(config.inspect.workers):
        name = f"inspect.{index}"
        rows.append(
            Row(
                name,
                "inspect",
                reads=(("due", name),),
                writes=("credit", "inspections", "conditions"),
                stop_group="inspect",
                stop_share_s=DRAIN_S + INSPECT_CLOSE_S,
                unit=name,
                index=index,
                silent_limit_s=120.0,  # the first batch of a full-size model on a CPU takes this long
                start_limit_s=600.0,  # so may the loading of its weights from a slow disk
                environment={"OMP_NUM_THREADS": str(worker.threads)},
            )
        )
    if config.inputs:
        rows.append(
            Row(
                "plant",
                "plant",
                reads=(),
                writes=("plant", "conditions"),
                stop_group="capture",
                stop_share_s=DRAIN_S + PLANT_CLOSE_S,
            )
        )
    rows += [
        Row(
            f"capture.{camera.name}",
            "capture",
            reads=(("credit", camera.name),),
            writes=("frames", "due", "missed", "belt", "conditions"),
            stop_group="capture",
            stop_share_s=DRAIN_S + CAPTURE_CLOSE_S,
            source=True,
            unit=camera.name,
        )
        for camera in config.cameras
    ]
    return Plan(tuple(rows))


def _output(
    name: str,
    *,
    reads: tuple[str, ...],
    writes: tuple[str, ...] = (),
    nice: int = 0,
    share_s: float = DRAIN_S + OUTPUT_CLOSE_S,
) -> Row:
    """A row that judging does not depend on. Outputs stop together, after the last event has been made."""
    subscriptions = tuple((topic, "") for topic in reads)
    return Row(name, name, subscriptions, writes, stop_group="outputs", stop_share_s=share_s, nice=nice)
