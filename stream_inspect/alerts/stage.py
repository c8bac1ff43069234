"""The alerts stage: one outbox thread for each configured output."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from stream_inspect import metrics
from stream_inspect.alerts.build import build_alert
from stream_inspect.alerts.outbox import Outbox, OutboxThread
from stream_inspect.config.models import Config
from stream_inspect.log import get_logger
from stream_inspect.messages import AnyMessage, Event, Output
from stream_inspect.stopping import OUTPUT_CLOSE_S
from stream_inspect.store.database import StoreError
from stream_inspect.store.events import EventStore

DRAIN_S = 0.3
"""At a stop, a working output may continue to send queued events for this long."""

CLOSE_S = OUTPUT_CLOSE_S - 0.1
"""A thread whose output has not returned by then is abandoned."""

GAUGES_S = 1.0


class AlertsStage:
    """Sends what the event log holds. A message only announces that something new is in it."""

    wake_fd: int | None = None

    def __init__(self, config: Config, store_path: Path) -> None:
        self._config = config
        self._store_path = store_path
        self._store: EventStore | None = None
        self._threads: list[OutboxThread] = []
        self._gauges_at_ns = 0
        self._log = get_logger(__name__)

    def open(self) -> None:
        """Open the event log and start one thread an output. Raises `StoreError`."""
        self._store = EventStore(self._store_path)
        self._store.register_outputs([alert.name for alert in self._config.alerts])
        for alert in self._config.alerts:
            try:
                output = build_alert(alert, self._config)
                outbox = Outbox(alert.name, output, self._store, max_age_s=alert.max_age_s)
            except Exception as error:  # a plug-in that is missing or broken must not take the other outputs along
                self._log.error("cannot create output; its events are queued", output=alert.name, error=str(error))
            else:
                self._threads.append(OutboxThread(outbox))
        for thread in self._threads:
            thread.start()

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        """Wake the outboxes, which read the events from the log."""
        if any(isinstance(message, Event) for message in batch):
            for thread in self._threads:
                thread.wake()
        return ()

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        """Report how many events are queued for each output, once a second."""
        if now_mono_ns >= self._gauges_at_ns:
            self._gauges_at_ns = now_mono_ns + int(GAUGES_S * 1e9)
            self._set_gauges()
        return ()

    def undelivered(self, output: Output) -> None:
        """Nothing: this stage emits nothing."""

    def close(self) -> None:
        """Stop every thread within `CLOSE_S`, also those whose output does not return."""
        deadline_s = time.monotonic() + CLOSE_S
        for thread in self._threads:
            thread.stop(DRAIN_S)
        # All are joined before any is abandoned: one that hangs must not take the time of the others.
        hung = [thread for thread in self._threads if not thread.join(max(0.0, deadline_s - time.monotonic()))]
        for thread in hung:
            self._log.warning("output did not stop in time; abandoned", output=thread.outbox.output)
        self._threads = []
        # An abandoned thread may yet record its delivery: the database engine still serves it after `close`.
        if self._store is not None:
            self._store.close()
            self._store = None

    def _set_gauges(self) -> None:
        if self._store is None:
            return
        try:
            for alert in self._config.alerts:
                backlog = self._store.backlog(alert.name)
                age_s = 0.0 if backlog.oldest_utc_ns is None else (time.time_ns() - backlog.oldest_utc_ns) / 1e9
                metrics.OUTBOX_DEPTH.labels(alert.name).set(backlog.depth)
                metrics.OUTBOX_OLDEST.labels(alert.name).set(max(0.0, age_s))
        except StoreError as error:
            self._log.warning("cannot read the event log", error=str(error))
