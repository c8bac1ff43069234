"""THE table of the system, computed from the configuration: which processes there are and what flows between them.

Rows stand in the order of starting: readers before writers, so that nothing is sent to an empty room. Stopping goes the
other way: cameras first, then what they fed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stream_inspect.config.models import Config
from stream_inspect.messages import TOPICS, Delivery


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
    unit: str = ""
    """The camera or the worker that this row is for."""
    index: int = 0
    nice: int = 0
    sink: bool = False
    """Nothing that matters to judging depends on it: all sinks stop together, after the last event has been made."""
    silent_limit_s: float = 10.0
    """A heartbeat older than this means that the process hangs."""
    start_limit_s: float = 20.0
    """Opening may take this long."""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """All the rows of a run."""

    rows: tuple[Row, ...]

    def row(self, name: str) -> Row:
        """The row of this name. Raises KeyError."""
        return next(row for row in self.rows if row.name == name)

    def writers(self) -> dict[str, list[str]]:
        """For each broadcast topic the names of the rows that write it: a reader connects to them all."""
        return {
            topic.name: [row.name for row in self.rows if topic.name in row.writes]
            for topic in TOPICS.values()
            if topic.delivery is Delivery.BROADCAST
        }

    def __str__(self) -> str:
        lines = [f"{'process':<20} {'reads':<44} writes"]
        for row in self.rows:
            reads = ", ".join(f"{topic}[{key}]" if key else topic for topic, key in row.reads)
            lines.append(f"{row.name:<20} {reads:<44} {', '.join(row.writes)}")
        return "\n".join(lines)


def plan(config: Config) -> Plan:
    """The plan of this configuration on one host."""
    rows: list[Row] = []
    if config.web.enabled:
        rows.append(Row("web", "web", reads=(("live", ""), ("events", "")), writes=(), nice=5, sink=True))
        rows.append(
            Row(
                "live",
                "live",
                reads=(("frames", ""), ("tracked", ""), ("events", "")),
                writes=("live",),
                nice=10,
                sink=True,
            )
        )
    if config.recorder.enabled:
        rows.append(
            Row(
                "recorder",
                "recorder",
                reads=(("frames", ""), ("tracked", ""), ("events", "")),
                writes=("conditions",),
                nice=10,
                sink=True,
            )
        )
    if config.alerts:
        rows.append(Row("alerts", "alerts", reads=(("events", ""),), writes=(), sink=True))
    rows.append(Row("track", "track", reads=(("inspections", ""), ("conditions", "")), writes=("tracked", "events")))
    for index, worker in enumerate(config.inspect.workers):
        name = f"inspect.{index}"
        rows.append(
            Row(
                name,
                "inspect",
                reads=(("due", name),),
                writes=("credit", "inspections", "conditions"),
                unit=name,
                index=index,
                silent_limit_s=120.0,  # one batch of a full-size model on a CPU takes this long
                start_limit_s=600.0,  # so may the loading of its weights from a slow disk
                environment={"OMP_NUM_THREADS": str(worker.threads)},
            )
        )
    rows += [
        Row(
            f"capture.{camera.name}",
            "capture",
            reads=(("credit", camera.name),),
            writes=("frames", "due", "conditions"),
            unit=camera.name,
        )
        for camera in config.cameras
    ]
    return Plan(tuple(rows))
