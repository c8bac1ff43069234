"""The way of events from the log to one output: in order, retrying until each is delivered or rejected."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from stream_inspect import metrics
from stream_inspect.alerts.alert import Alert, AlertError, AlertRejectedError, OutputRefusedError
from stream_inspect.backoff import Backoff, doubling_s
from stream_inspect.log import get_logger
from stream_inspect.messages import Event, EventState, as_sent
from stream_inspect.store.database import StoreError
from stream_inspect.store.deliveries import Outcome, Settled
from stream_inspect.store.events import EventStore, UnreadableEventError

POLL_S = 1.0
"""How often the log is read when nothing announces a new event."""

RETRY_FIRST_S = 0.1
RETRY_LONGEST_S = 30.0
RETRY_AFTER_LONGEST_S = 3600.0
"""A receiver that asks for a longer pause than this is tried again nevertheless."""

BATCH_EVENTS = 100


@dataclass(frozen=True, slots=True)
class Outage:
    """Why an output delivers nothing now, and since when; `refused`: it waits for a person, not for the receiver."""

    reason: str
    since_utc_ns: int
    refused: bool


class Outbox:
    """Takes the events behind this output's cursor and sends them one by one.

    Does not start threads or sleep; `OutboxThread` does. A crash between `Alert.send` and its record sends the same
    event, with the same key, again: the only kind of duplicate. Nothing overtakes an event that fails: order matters
    more than speed.
    """

    def __init__(
        self, output: str, alert: Alert, store: EventStore, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.output = output
        self._alert = alert
        self._store = store
        self._clock_s = clock_s
        self._log = get_logger(__name__, output=output)
        self._is_open = False
        self._position: int | None = None  # of the last event delivered or rejected; None: not read from the store yet
        self._waiting: deque[tuple[int, Event]] = deque()
        self._unrecorded: Callable[[], None] | None = None  # writes to the store what it does not hold yet
        self._backoff = Backoff(doubling_s(RETRY_FIRST_S, RETRY_LONGEST_S), jitter=1.0)
        self._not_before_s = 0.0
        self._failure = ""  # the last failure logged; "" while deliveries succeed
        self.outage: Outage | None = None
        """None while deliveries succeed. May be read from another thread."""

    def step(self) -> float:
        """Send the next event, if one is due; returns how long the next step can wait, in seconds."""
        pause_s = self._not_before_s - self._clock_s()
        if pause_s > 0:
            return pause_s
        try:
            self._record()
            if not self._is_open:
                self._alert.open()
                self._is_open = True
            if not self._fill():
                self._alert.check()
                self._recovered()
                return POLL_S
            self._send(*self._waiting[0])
        except UnreadableEventError as error:
            self._log.error("event unreadable; kept as a dead letter", position=error.position, error=str(error))
            self._make_dead_letter(error.position, str(error))
        except (AlertError, StoreError) as error:
            refused = isinstance(error, OutputRefusedError)
            return self._failed(str(error), getattr(error, "retry_after_s", 0.0), refused=refused)
        except Exception as error:  # a fault in a plug-in must not end its output for good
            return self._failed(f"{type(error).__name__}: {error}", 0.0)
        return 0.0

    def close(self) -> None:
        """Close the output. Never raises."""
        self._is_open = False
        try:
            self._alert.close()
        except Exception:  # the contract forbids it, but a plug-in is foreign code
            self._log.exception("closing the output failed")

    def _fill(self) -> bool:
        """Whether there is something to send."""
        if not self._waiting:
            if self._position is None:
                self._position = self._store.outputs.cursor(self.output)
            self._waiting.extend(self._store.after(self._position, BATCH_EVENTS))
        return bool(self._waiting)

    def _send(self, position: int, event: Event) -> None:
        try:
            self._alert.send(as_sent(event, self._store.identity))
        except AlertRejectedError as error:
            self._waiting.popleft()
            self._log.error(
                "event permanently rejected by output; see `stream-inspect refused`",
                position=position,
                key=event.key,
                error=str(error),
            )
            self._make_dead_letter(position, str(error))
            return
        sent_mono_ns = time.monotonic_ns()
        self._waiting.popleft()
        metrics.ALERTS_SENT.labels(self.output).inc()
        self._unrecorded = lambda: self._delivered(position, event, sent_mono_ns)
        self._record()
        self._recovered()

    def _delivered(self, position: int, event: Event, sent_mono_ns: int) -> None:
        latency_s = None
        # The latency of an alert is that of the frame which confirmed a defect; a cleared event has no such frame,
        # and monotonic times of another boot mean nothing.
        is_confirmed_defect = event.kind == "defect" and event.state is EventState.CONFIRMED
        if event.frame and is_confirmed_defect and self._store.is_of_this_boot(position):
            latency_s = (sent_mono_ns - event.frame.capture_mono_ns) / 1e9
        self._store.outputs.settle(self.output, [Outcome(position, Settled.DELIVERED, latency_s)], cursor=position)
        if latency_s is not None:
            metrics.CAPTURE_TO_ALERT.labels(self.output).observe(latency_s)
        self._position = position

    def _make_dead_letter(self, position: int, reason: str) -> None:
        metrics.ALERTS_REFUSED.labels(self.output).inc()

        def record() -> None:
            outcome = Outcome(position, Settled.REJECTED, reason=reason)
            self._store.outputs.settle(self.output, [outcome], cursor=position)
            self._position = position

        self._unrecorded = record  # by the next step

    def _record(self) -> None:
        """Write to the store what it does not hold yet. Retried, so that a full disk causes no flood of duplicates."""
        if self._unrecorded is not None:
            self._unrecorded()
            self._unrecorded = None

    def _failed(self, reason: str, retry_after_s: float, *, refused: bool = False) -> float:
        metrics.ALERT_FAILURES.labels(self.output).inc()
        self.close()
        pause_s = max(self._backoff.next_s(), min(retry_after_s, RETRY_AFTER_LONGEST_S))
        self._not_before_s = self._clock_s() + pause_s
        since_utc_ns = self.outage.since_utc_ns if self.outage else time.time_ns()
        self.outage = Outage(reason, since_utc_ns, refused)
        if reason != self._failure:
            self._log.warning("output failing; events are queued", error=reason)
            self._failure = reason
        return pause_s

    def _recovered(self) -> None:
        self._backoff.reset()
        self.outage = None
        if self._failure:
            self._log.info("output recovered")
            self._failure = ""


class OutboxThread:
    """Runs one outbox in a thread of its own, so that an output that hangs holds up nothing else."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self._wake = threading.Event()
        self._stop_at_s: float | None = None
        # A daemon: an output that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"outbox-{outbox.output}", daemon=True)

    def start(self) -> None:
        """Begin sending."""
        self._thread.start()

    def wake(self) -> None:
        """Look for new events in the log now."""
        self._wake.set()

    def stop(self, drain_s: float) -> None:
        """Ask it to end: at once if its output fails, otherwise when the queue is empty, `drain_s` later at most."""
        self._stop_at_s = time.monotonic() + drain_s
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False when its output has not returned within that time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._wake.clear()
            stop_at_s = self._stop_at_s  # read before the step: one whole step sees what was there at the stop
            pause_s = self.outbox.step()
            if stop_at_s is not None and (pause_s > 0 or time.monotonic() >= stop_at_s):
                break
            if pause_s > 0:
                self._wake.wait(pause_s)
        self.outbox.close()
