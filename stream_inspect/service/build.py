"""Row -> stage object. Each function imports only what its process needs: a recorder never loads torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stream_inspect.config.models import Config
from stream_inspect.service.chain import Chain
from stream_inspect.service.plan import Row
from stream_inspect.service.stage import Stage
from stream_inspect.transport.ledger import Ledger


def events_database(config: Config) -> Path:
    """The file of the event log."""
    return config.state_dir / "events.sqlite"


@dataclass(frozen=True, slots=True)
class Site:
    """What a process is told of its surroundings."""

    config: Config
    config_path: Path | None
    overrides: tuple[str, ...]
    run_dir: Path
    owner: int

    @property
    def state_dir(self) -> Path:
        return self.config.state_dir

    @property
    def store(self) -> Path:
        return events_database(self.config)


def capture(site: Site, row: Row) -> Stage:
    from stream_inspect.capture.stage import CaptureStage

    camera = next(camera for camera in site.config.cameras if camera.name == row.unit)
    return CaptureStage(
        camera,
        transport=site.config.transport,
        ring_dir=site.run_dir,
        ring_prefix=camera.name,
        ledger=Ledger.attach(site.run_dir / "ledger").camera(camera.name),
        owner=site.owner,
        state_dir=site.state_dir,
    )


def inspect(site: Site, row: Row) -> Stage:
    from stream_inspect.config.watch import ConfigWatcher
    from stream_inspect.inspect.stage import InspectStage

    watcher = ConfigWatcher(site.config_path, site.overrides, current=site.config) if site.config_path else None
    return InspectStage(
        site.config,
        worker=row.unit,
        worker_index=row.index,
        owner=site.owner,
        ledger=Ledger.attach(site.run_dir / "ledger"),
        ring_dir=site.run_dir,
        watcher=watcher,
    )


def track(site: Site, row: Row) -> Stage:
    from stream_inspect.decide.stage import DecideStage
    from stream_inspect.store.events import EventStore
    from stream_inspect.track.stage import TrackStage

    return Chain(
        TrackStage(site.config.cameras, site.config.track, workers=len(site.config.inspect.workers)),
        DecideStage(site.config, EventStore(site.store)),
        hand_over="tracked",
    )


def alerts(site: Site, row: Row) -> Stage:
    from stream_inspect.alerts.stage import AlertsStage

    return AlertsStage(site.config, site.store)


def recorder(site: Site, row: Row) -> Stage:
    from stream_inspect.record.stage import RecorderStage

    return RecorderStage(site.config, ring_dir=site.run_dir, state_dir=site.state_dir)


def live(site: Site, row: Row) -> Stage:
    from stream_inspect.live.stage import LiveStage

    return LiveStage(site.config, ring_dir=site.run_dir)


def web(site: Site, row: Row) -> Stage:
    from stream_inspect.web.stage import WebStage

    return WebStage(site.config, store_path=site.store, state_dir=site.state_dir)


BUILDERS: dict[str, Callable[[Site, Row], Stage]] = {
    "capture": capture,
    "inspect": inspect,
    "track": track,
    "alerts": alerts,
    "recorder": recorder,
    "live": live,
    "web": web,
}
