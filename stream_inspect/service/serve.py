"""One run of the service on this host: folder, supervisor, metrics, signals. Readable on one screen."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from stream_inspect import log
from stream_inspect.capture.session import SessionCounter
from stream_inspect.config.models import Config
from stream_inspect.inspect.detect.detector import ModelError
from stream_inspect.inspect.prompt_length import refuse_long_prompts
from stream_inspect.service.health import HealthServer, totals_as_dict
from stream_inspect.service.run_dir import RunDir, RunDirError, metrics_path
from stream_inspect.service.supervisor import WATCH_EVERY_S, Supervisor
from stream_inspect.store.database import StoreError
from stream_inspect.store.events import EventStore
from stream_inspect.store.files import events_database
from stream_inspect.store.room import make_room
from stream_inspect.tiny import scope


class Interrupts:
    """Ctrl-C, SIGTERM and a closed terminal (SIGHUP): the first one asks to stop, a second one means now.

    A second SIGHUP is ignored: when a terminal closes, the shell and the kernel each send one.
    """

    def __init__(self) -> None:
        self.stopping = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        # No threading.Event: the signal may find the main thread inside its lock, and would wait there forever.
        if self.stopping and number != signal.SIGHUP:
            raise KeyboardInterrupt
        self.stopping = True

    @contextmanager
    def installed(self) -> Iterator[Interrupts]:
        """Handle the signals while inside, and put the old handlers back."""
        before = {number: signal.signal(number, self) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _prepare_state(config: Config) -> None:
    """Create, check and repair what is kept in the state folder, before anything depends on it. Raises `StoreError`."""
    make_room(config.state_dir)
    store = EventStore(events_database(config.state_dir))
    try:
        store.register_outputs([alert.name for alert in config.alerts])  # from now on they are owed every event
        last_sessions = store.last_sessions()
        for camera in config.cameras:
            SessionCounter(config.state_dir, camera.name).begin_after(last_sessions.get(camera.name, 0))
        last_runs = store.last_runs()
        for line in config.lines:
            SessionCounter.of_parts(config.state_dir, line.name).begin_after(last_runs.get(line.name, 0))
    except OSError as error:
        raise StoreError(f"cannot write the session counters in {config.state_dir}: {error.strerror}") from error
    finally:
        store.close()


def _warn_of_demonstration_models(config: Config) -> None:
    if demonstrated := scope.cameras_out_of_scope(config):
        log.get_logger("service").warning(
            "demonstration models judge a real camera",
            cameras=list(demonstrated),
            worth=next(iter(demonstrated.values())),
            advice=scope.ADVICE,
            known_words=scope.known_words(),
        )


def serve(
    config: Config,
    *,
    config_path: Path | None = None,
    overrides: tuple[str, ...] = (),
    until: Callable[[Supervisor], bool] = lambda _: False,
    stopping: Callable[[], None] = lambda: None,
) -> Supervisor:
    """Run until interrupted, until all sources have ended, or until `until(supervisor)`, which is called every 0.1 s.

    `stopping` is called when a stop begins, which takes a while: clips are still written.
    Returns the stopped supervisor with its last totals. Raises `PromptsError`, `RunDirError`, `HealthError`,
    `StoreError` or `LineProcessError` when it cannot start, and KeyboardInterrupt after a second Ctrl-C, when
    everything has been killed.
    """
    _log = log.get_logger("service")
    with suppress(ModelError):  # the worker reports a missing model, and retries
        refuse_long_prompts(config.inspect.detector, config.defects, config.part_prompts)
    with RunDir(config.transport.ring_dir, config.state_dir) as run_dir, Interrupts().installed() as interrupts:
        _prepare_state(config)
        try:
            supervisor = Supervisor(config, run_dir, config_path=config_path, overrides=overrides)
        except OSError as error:  # the ledger and the heartbeat table take their memory at once
            raise RunDirError(
                f"not enough space in transport.ring_dir {config.transport.ring_dir}: {error.strerror}"
            ) from error
        server = (
            HealthServer(supervisor, config.metrics, str(metrics_path(run_dir.path)))
            if config.metrics.enabled
            else None
        )
        _log.info(
            "starting",
            line=config.line,
            cameras=[camera.name for camera in config.cameras],
            pid=os.getpid(),
            metrics=f"http://{config.metrics.host}:{server.port}/metrics" if server else None,
        )
        if (last := supervisor.start_time.last) is not None:
            _log.info("judging begins as long after this as at the last start", in_s=last.judging_after_s)
        _warn_of_demonstration_models(config)
        try:
            supervisor.start()
            while not interrupts.stopping:
                supervisor.watch()
                if until(supervisor):
                    break
                if supervisor.all_ended:
                    _log.info("all sources finished")
                    break
                time.sleep(WATCH_EVERY_S)
            _log.info("stopping", within_s=supervisor.stop_within_s)
            stopping()
            started_s = time.monotonic()
            supervisor.stop()
            _log.info("stopped", after_s=round(time.monotonic() - started_s, 1))
            for camera, totals in supervisor.totals.items():
                _log.info("frames of this run", camera=camera, **totals_as_dict(totals))
        except KeyboardInterrupt:
            _log.warning("interrupted again; killing all processes")
            raise
        finally:
            supervisor.kill()
            if server:
                server.close()
    return supervisor
