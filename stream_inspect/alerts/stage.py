"""The alerts stage: one outbox thread for each configured output, and what is known of how each delivers."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from stream_inspect import metrics
from stream_inspect.alerts.alert import Alert, ShowsStatus
from stream_inspect.alerts.build import build_alert, secrets_of
from stream_inspect.alerts.outbox import QUEUE_EVENTS, Outage, Outbox, OutboxThread
from stream_inspect.alerts.status import StatusBoard, StatusReport
from stream_inspect.alerts.watch import REJECTED_FOR_S, OutputWatch
from stream_inspect.config.models import Config
from stream_inspect.log import get_logger
from stream_inspect.messages import AnyMessage, Event, LineStatus, Output
from stream_inspect.stopping import OUTPUT_CLOSE_S
from stream_inspect.store.database import StoreError
from stream_inspect.store.events import EventStore

DRAIN_S = 0.3
"""At a stop, a working output may continue to send queued events for this long."""

CLOSE_S = OUTPUT_CLOSE_S - 0.1
"""A thread whose output has not returned by then is abandoned."""

BACKLOG_S = 1.0
"""How often the event log is asked how many events wait for each output."""


class AlertsStage:
    """Sends what the event log holds. A message only announces that something new is in it.

    Reports each output that does not deliver as a condition, and shows the supervisor's status on the outputs that can
    (`ShowsStatus`): that needs no event log and no queue.
    """

    wake_fd: int | None = None

    def __init__(self, config: Config, store_path: Path) -> None:
        self._config = config
        self._store_path = store_path
        self._store: EventStore | None = None
        self._threads: list[OutboxThread] = []
        self._alerts: list[Alert] = []
        self._broken: dict[str, Outage] = {}
        """Outputs that could not be created."""
        self._watches = {alert.name: OutputWatch(alert.name, secrets_of(alert)) for alert in config.alerts}
        self._unwanted = {alert.name: alert.unwanted for alert in config.alerts}
        self._waiting = dict.fromkeys(self._watches, 0)
        self._backlog_at_ns = 0
        self._board = StatusBoard(config.line, socket.gethostname())
        self._shown: StatusReport | None = None
        self._log = get_logger(__name__)

    def open(self) -> None:
        """Open the event log and start one thread an output. Raises `StoreError`."""
        self._store = EventStore(self._store_path)
        self._store.register_outputs([alert.name for alert in self._config.alerts])
        for alert in self._config.alerts:
            try:
                made = build_alert(alert, self._config)
            except Exception as error:  # a plug-in that is missing or broken must not take the other outputs along
                self._log.error("cannot create output; its events are queued", output=alert.name, error=str(error))
                self._broken[alert.name] = Outage(f"cannot create output: {error}", time.time_ns(), refused=True)
            else:
                self._alerts.append(made)
                outbox = Outbox(alert.name, made, self._store, max_age_s=alert.max_age_s, unwanted=alert.unwanted)
                self._threads.append(OutboxThread(outbox))
        for thread in self._threads:
            thread.start()

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        """Wake the outboxes, which read the events from the log; show the newest status."""
        if any(isinstance(message, Event) for message in batch):
            for thread in self._threads:
                thread.wake()
        statuses = [message for message in batch if isinstance(message, LineStatus)]
        if statuses:
            self._board.heard(statuses[-1])
            self._show_status(time.monotonic_ns())  # a stage that is asked to stop is ticked no more
        return ()

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        """Report which outputs do not deliver, and how many events wait for each."""
        if now_mono_ns >= self._backlog_at_ns:
            self._backlog_at_ns = now_mono_ns + int(BACKLOG_S * 1e9)
            self._count_waiting()
        for thread in self._threads:
            outbox = thread.outbox
            self._update(outbox.output, outbox.outage, thread.busy_s(), now_mono_ns)
        for output, outage in self._broken.items():
            self._update(output, outage, 0.0, now_mono_ns)
        self._show_status(now_mono_ns)
        return [output for watch in self._watches.values() for output in watch.due(now_mono_ns)]

    def held(self) -> dict[str, tuple[int, int]]:
        """What is known of each output's queue; the queue itself is in the event log."""
        outboxes = [thread.outbox for thread in self._threads]
        return {f"queue of {outbox.output}": (outbox.queued, QUEUE_EVENTS) for outbox in outboxes}

    def undelivered(self, output: Output) -> None:
        """Nothing: a condition is repeated."""

    def close(self) -> None:
        """Stop every thread within `CLOSE_S`, also those whose output does not return, and log what still waits."""
        deadline_s = time.monotonic() + CLOSE_S
        for thread in self._threads:
            thread.stop(DRAIN_S)
        # All are joined before any is abandoned: one that hangs must not take the time of the others.
        hung = [thread for thread in self._threads if not thread.join(max(0.0, deadline_s - time.monotonic()))]
        for thread in hung:
            self._log.warning("output did not stop in time; abandoned", output=thread.outbox.output)
        self._threads, self._alerts = [], []
        # An abandoned thread may yet record its delivery: the database engine still serves it after `close`.
        if self._store is not None:
            self._count_waiting()
            for output, events in self._waiting.items():
                if events:
                    self._log.warning("events wait for output; sent at the next start", output=output, events=events)
            self._store.close()
            self._store = None

    def _update(self, output: str, outage: Outage | None, busy_s: float, now_mono_ns: int) -> None:
        self._watches[output].update(outage, busy_s, self._waiting[output], now_mono_ns)

    def _show_status(self, now_mono_ns: int) -> None:
        failing = [watch.condition for watch in self._watches.values() if watch.condition is not None]
        report = self._board.report(failing, now_mono_ns)
        if report == self._shown:
            return
        self._shown = report
        for alert in self._alerts:
            if isinstance(alert, ShowsStatus):
                try:
                    alert.show_status(report)
                except Exception:  # the contract forbids it, but a plug-in is foreign code
                    self._log.exception("showing the status failed")

    def _count_waiting(self) -> None:
        if self._store is None:
            return
        try:
            for output in self._waiting:
                backlog = self._store.backlog(output, self._unwanted[output])
                age_s = 0.0 if backlog.oldest_utc_ns is None else (time.time_ns() - backlog.oldest_utc_ns) / 1e9
                self._waiting[output] = backlog.depth
                since_utc_ns = time.time_ns() - round(REJECTED_FOR_S * 1e9)
                self._watches[output].update_rejected(*self._store.outputs.dead_letters_since(output, since_utc_ns))
                metrics.OUTBOX_DEPTH.labels(output).set(backlog.depth)
                metrics.OUTBOX_OLDEST.labels(output).set(max(0.0, age_s))
        except StoreError as error:
            self._log.warning("cannot read the event log", error=str(error))
