"""Row -> stage object. Each function imports only what its process needs: the recorder never loads torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stream_inspect.config.models import Config
from stream_inspect.service.plan import Row
from stream_inspect.service.run_dir import adopted_path, ledger_path, records_path
from stream_inspect.service.stage import Stage
from stream_inspect.store.files import events_database, part_counts
from stream_inspect.transport.ledger import Ledger


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """What the stages of a process are made from."""

    config: Config
    config_path: Path | None
    overrides: tuple[str, ...]
    run_dir: Path
    """The folder of the run, with its rings and its ledger. What lives with the line has the folder of its sockets."""
    owner: int
    """The number of this process in the ledger; 0 for one that lives with the line."""

    @property
    def state_dir(self) -> Path:
        return self.config.state_dir

    @property
    def store(self) -> Path:
        return events_database(self.state_dir)


def capture(context: ProcessContext, row: Row) -> Stage:
    from stream_inspect.capture.stage import CaptureStage

    camera = next(camera for camera in context.config.cameras if camera.name == row.unit)
    return CaptureStage(
        camera,
        transport=context.config.transport,
        decide=context.config.decide,
        line=context.config.parts_of(context.config.line_of(camera.name)),
        ring_dir=context.run_dir,
        ring_prefix=camera.name,
        ledger=Ledger.attach(ledger_path(context.run_dir)).camera(camera.name),
        owner=context.owner,
        state_dir=context.state_dir,
        records=records_path(context.run_dir),
    )


def inspect(context: ProcessContext, row: Row) -> Stage:
    from stream_inspect.config.adopted import Adopted
    from stream_inspect.config.watch import ConfigWatcher
    from stream_inspect.inspect.stage import InspectStage

    adopted = Adopted(adopted_path(context.run_dir))
    config = adopted.into(context.config)
    watcher = ConfigWatcher(context.config_path, context.overrides, current=config) if context.config_path else None
    return InspectStage(
        config,
        worker=row.unit,
        worker_index=row.index,
        owner=context.owner,
        ledger=Ledger.attach(ledger_path(context.run_dir)),
        ring_dir=context.run_dir,
        watcher=watcher,
        adopted=adopted,
    )


def track(context: ProcessContext, row: Row) -> Stage:
    from stream_inspect.capture.session import SessionCounter
    from stream_inspect.service.chain import judging_chain
    from stream_inspect.store.event_writer import open_writer
    from stream_inspect.store.part_counts import PartCountWriter

    config = context.config
    writer = open_writer(
        context.state_dir,
        memory_dir=config.transport.ring_dir,
        max_age_ns=round(config.recorder.max_age_days * 86_400 * 10**9),
    )
    ledger = Ledger.attach(ledger_path(context.run_dir))
    return judging_chain(
        config,
        writer,
        process_run=context.owner,
        ledger=ledger,
        records=records_path(context.run_dir),
        next_run=lambda line: SessionCounter.of_parts(context.state_dir, line).next(),
        counts=PartCountWriter(part_counts(context.state_dir)) if config.lines else None,
        kept=("parts", "verdicts"),
    )


def plant(context: ProcessContext, row: Row) -> Stage:
    from stream_inspect.plant.stage import PlantStage

    return PlantStage(context.config)


def alerts(context: ProcessContext, row: Row) -> Stage:
    from stream_inspect.alerts.stage import AlertsStage

    return AlertsStage(context.config, context.store)


def recorder(context: ProcessContext, row: Row) -> Stage:
    from stream_inspect.record.stage import RecorderStage

    return RecorderStage(context.config, ring_dir=context.run_dir, state_dir=context.state_dir)


def live(context: ProcessContext, row: Row) -> Stage:
    from stream_inspect.live.stage import LiveStage

    return LiveStage(context.config, ring_dir=context.run_dir)


def web(context: ProcessContext, row: Row) -> Stage:
    from stream_inspect.web.stage import WebStage

    return WebStage(context.config, store_path=context.store, state_dir=context.state_dir)


BUILDERS: dict[str, Callable[[ProcessContext, Row], Stage]] = {
    "capture": capture,
    "inspect": inspect,
    "track": track,
    "plant": plant,
    "alerts": alerts,
    "recorder": recorder,
    "live": live,
    "web": web,
}
