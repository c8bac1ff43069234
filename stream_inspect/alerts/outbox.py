"""The way of events from the log to one output: retrying until each is delivered, rejected or too old.

Three kinds of refusal. An event that the receiver rejects is kept as a dead letter. A receiver that rejects us
(`OutputRefusedError`) or does not answer gets nothing more until it does: everything waits, in order. An event that
the receiver fails on, or rejects us on, while it accepts others holds up its own camera alone (`lanes.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from stream_inspect import metrics
from stream_inspect.alerts.alert import Alert, AlertError, AlertRejectedError, OutputRefusedError, ShowsRecovery
from stream_inspect.alerts.lanes import Fault, Lanes, Turn
from stream_inspect.backoff import Backoff, doubling_s
from stream_inspect.log import get_logger
from stream_inspect.messages import Event, EventState, Verdict, as_sent
from stream_inspect.store.database import StoreError
from stream_inspect.store.deliveries import Outcome
from stream_inspect.store.deliveries_schema import Settled
from stream_inspect.store.events import EventStore, Stored, UnreadableEventError

POLL_S = 1.0
"""How often the log is read when nothing announces a new event, and the dead letters that are to be sent again."""

RETRY_FIRST_S = 0.1
RETRY_LONGEST_S = 0.8
"""A receiver has the first event within a second of its return. One try costs it a connection: about 190,000 a day
(with jitter a pause is 0.45 s on average), and a receiver that minds says so by `Retry-After`."""
RETRY_AFTER_LONGEST_S = 3600.0
"""A receiver that asks for a longer pause than this is tried again nevertheless."""

BATCH_EVENTS = 100
QUEUE_EVENTS = 100_000
"""Known of the queue at most, as positions in the log (10 MB): only where so many of one camera wait for an event that
fails, the events of other cameras behind them wait as well."""
REASONS_LOGGED = 5
"""Of one outage; a receiver that fails in turns, or with a number in each answer, would fill the log."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Why an output delivers nothing now, or nothing of one camera, and since when.

    `refused`: it waits for a person, not for the receiver.
    """

    reason: str
    since_utc_ns: int
    refused: bool


class Outbox:
    """Takes the events that the log owes this output and sends them one by one, each camera's in order.

    Does not start threads or sleep; `OutboxThread` does. A crash between `Alert.send` and its record sends the same
    event, with the same key, again: the only kind of duplicate.
    """

    def __init__(
        self,
        output: str,
        alert: Alert,
        store: EventStore,
        clock_s: Callable[[], float] = time.monotonic,
        *,
        max_age_s: float | None = None,
        unwanted: Collection[Verdict] = (),
    ) -> None:
        """`max_age_s`: events that are older are not sent. `unwanted`: nor are parts with one of these verdicts."""
        self.output = output
        self._alert = alert
        self._store = store
        self._clock_s = clock_s
        self._max_age_s = max_age_s
        self._unwanted = frozenset(unwanted)
        self._log = get_logger(__name__, output=output)
        self._is_open = False
        self._lanes = Lanes()
        self._read: int | None = None  # the last position read from the log; None: not even the cursor
        self._recorded = 0  # the cursor, as the store holds it
        self._settled_before: set[int] = set()  # behind the cursor, by an earlier run
        self._page: dict[int, Stored] = {}  # the events that were read last
        self._unrecorded: list[Outcome] = []  # settled, and not in the store yet
        self._poll_at_s = self._record_at_s = 0.0
        self._backoff = Backoff(doubling_s(RETRY_FIRST_S, RETRY_LONGEST_S), jitter=1.0)
        self._not_before_s = 0.0
        self._down_since_s = 0.0
        self._reasons: set[str] = set()  # of this outage, as far as they were logged
        self._expired = 0  # not logged yet
        self._failed_sending = False  # then that it can be opened does not show that it works again
        self._down: Outage | None = None  # nothing was delivered since
        self._held: dict[int, Outage] = {}  # events on which the receiver rejects us, or asks for pauses, alone
        self.outage: Outage | None = None
        """None while deliveries of all cameras succeed. May be read from another thread."""
        self.queued = 0
        """How many events of the queue were known here at the last step. May be read from another thread."""

    def step(self) -> float:
        """Send the next event, if one is due; returns how long the next step can wait, in seconds."""
        try:
            return self._step()
        finally:
            self.outage = self._down or next(iter(self._held.values()), None)

    def _step(self) -> float:
        pause_s = self._not_before_s - self._clock_s()
        if pause_s > 0:
            return pause_s
        try:
            self._record()
            is_more = self._fill()
            self.queued = len(self._lanes)
            if self._max_age_s is not None and self._expire():
                return 0.0
            turn = self._lanes.next(self._clock_s(), is_down=self._down is not None)
            if not self._is_open:
                self._alert.open()
                self._is_open = True
            if turn is not None:
                return self._send(turn)
            if is_more:
                return 0.0
            if len(self._lanes):
                return min(POLL_S, self._lanes.due_in_s(self._clock_s()))
            self._record_cursor()
            if self._works_again():
                self._recovered()
            self._log_expired()
        except Exception as error:  # also a fault in a plug-in: it must not end its output for good
            self._failed_sending = self._failed_sending and isinstance(self._alert, ShowsRecovery)
            self._lanes.receiver_failed()
            return self._failed(error, _retry_after_s(error))
        return POLL_S

    def _works_again(self) -> bool:
        """Whether the output works, as far as can be known while nothing waits. Raises as `Alert.check` does."""
        if self._failed_sending and isinstance(self._alert, ShowsRecovery):
            return self._alert.works_again()
        self._alert.check()
        return not self._failed_sending

    def close(self) -> None:
        """Close the output. Never raises."""
        self._is_open = False
        try:
            self._alert.close()
        except Exception:  # the contract forbids it, but a plug-in is foreign code
            self._log.exception("closing the output failed")

    # --- the queue ---------------------------------------------------------------------------------------------

    def _fill(self) -> bool:
        """Read on in the log, as long as there is nothing to send that may be delivered at once.

        True where there is more of it, and nothing of what was read is to be sent.
        """
        if self._read is None:
            cursor = self._recorded = self._store.outputs.cursor(self.output)
            self._settled_before = self._store.outputs.settled_above(self.output, cursor)
            self._read = cursor
        if self._clock_s() >= self._poll_at_s:
            self._poll_at_s = self._clock_s() + POLL_S
            self._lanes.add_again(self._store.outputs.queued_again(self.output))
        if self._lanes.has_untried or len(self._lanes) >= QUEUE_EVENTS:
            return False
        self._page.clear()
        found = self._store.stored_after(self._read, BATCH_EVENTS)
        for position, whose, stored in found:
            self._read = position
            if position in self._settled_before:
                self._settled_before.remove(position)
                continue
            if stored is not None and self._is_unwanted(stored.event):
                continue
            self._lanes.add(whose, position)
            if stored is not None:
                self._page[position] = stored
        return len(found) == BATCH_EVENTS and not self._lanes.has_untried

    def _is_unwanted(self, event: Event) -> bool:
        return event.part is not None and event.part.verdict in self._unwanted

    def _at(self, position: int) -> Stored | None:
        return self._page.get(position) or self._store.at(position)

    def _expire(self) -> bool:
        """Settle first events that are too old; whether there were any."""
        assert self._max_age_s is not None
        expired: set[int] = set()
        for turn in list(self._lanes.heads()):
            while turn.lane.waiting and len(expired) < BATCH_EVENTS:
                turn = Turn(turn.lane, turn.lane.waiting[0])
                try:
                    stored = self._at(turn.position)
                except UnreadableEventError:
                    break
                if stored is None or not self._is_expired(stored, expired):
                    break
                self._lanes.remove(turn)
                self._held.pop(turn.position, None)
                expired.add(turn.position)
        self._unrecorded += [Outcome(position, Settled.EXPIRED) for position in sorted(expired)]
        self._expired += len(expired)
        metrics.ALERTS_EXPIRED.labels(self.output).inc(len(expired))
        self._record()
        return bool(expired)

    def _is_expired(self, stored: Stored, just_expired: set[int]) -> bool:
        """The end of an event is sent however old it is, unless the receiver does not know of the event."""
        assert self._max_age_s is not None
        if stored.event.state is not EventState.CLEARED:
            return stored.age_s() > self._max_age_s
        begin = self._store.position_of(f"{stored.event.id}:{EventState.CONFIRMED}")
        return begin is not None and (
            begin in just_expired or self._store.outputs.settled(self.output, begin) is Settled.EXPIRED
        )

    # --- sending -----------------------------------------------------------------------------------------------

    def _send(self, turn: Turn) -> float:
        try:
            stored = self._at(turn.position)
        except UnreadableEventError as error:
            self._log.error("event unreadable; kept as a dead letter", position=error.position, error=str(error))
            return self._make_dead_letter(turn, Settled.REJECTED, str(error))
        if stored is None:
            return self._make_dead_letter(turn, Settled.REJECTED, "it is no longer in the event log")
        started_s = self._clock_s()
        try:
            self._alert.send(as_sent(stored.event, self._store.identity, late_s=stored.age_s()))
        except AlertRejectedError as error:
            self._log.error(
                "event permanently rejected by output; see `stream-inspect refused`",
                position=turn.position,
                key=stored.event.key,
                error=str(error),
            )
            self._lanes.answered(turn)
            self._make_dead_letter(turn, Settled.REJECTED, str(error))
            self._recovered()
        except Exception as error:
            return self._failed_on(turn, stored, error, self._clock_s() - started_s)
        else:
            self._delivered(turn, stored, time.monotonic_ns())
        return 0.0

    def _delivered(self, turn: Turn, stored: Stored, sent_mono_ns: int) -> None:
        event, latency_s = stored.event, None
        # The latency of an alert is that of the frame which confirmed a defect; a cleared event has no such frame,
        # and monotonic times of another boot mean nothing.
        is_confirmed_defect = event.kind == "defect" and event.state is EventState.CONFIRMED
        if event.frame and is_confirmed_defect and stored.is_of_this_boot:
            latency_s = (sent_mono_ns - event.frame.capture_mono_ns) / 1e9
            metrics.CAPTURE_TO_ALERT.labels(self.output).observe(latency_s)
        metrics.ALERTS_SENT.labels(self.output).inc()
        self._lanes.passed(turn, self._clock_s())
        if self._held.pop(turn.position, None):
            self._log.info("events of this camera are delivered again", camera=event.camera)
        self._unrecorded.append(Outcome(turn.position, Settled.DELIVERED, latency_s))
        self._record()
        self._recovered(delivered=1)

    def _make_dead_letter(self, turn: Turn, settled: Settled, reason: str) -> float:
        metrics.ALERTS_REFUSED.labels(self.output).inc()
        self._lanes.remove(turn)
        self._held.pop(turn.position, None)
        self._unrecorded.append(Outcome(turn.position, settled, reason=reason))
        self._record()
        return 0.0

    def _record(self) -> None:
        """Write to the store what it does not hold yet. Retried, so that a full disk causes no flood of duplicates."""
        if self._read is None:
            return
        lowest = self._lanes.lowest
        cursor = self._read if lowest is None else lowest - 1
        if self._unrecorded or cursor - self._recorded >= BATCH_EVENTS:
            self._settle(cursor)

    def _record_cursor(self) -> None:
        """Write how far the log was read, where nothing of it is to be sent: once in a while, not for each part."""
        if self._read is not None and self._read != self._recorded and self._clock_s() >= self._record_at_s:
            self._record_at_s = self._clock_s() + POLL_S
            self._settle(self._read)

    def _settle(self, cursor: int) -> None:
        self._store.outputs.settle(self.output, self._unrecorded, cursor)
        self._unrecorded, self._recorded = [], cursor

    # --- failures ----------------------------------------------------------------------------------------------

    def _failed_on(self, turn: Turn, stored: Stored, error: Exception, took_s: float) -> float:
        """Sending this event has failed: find out whether it is the event's fault."""
        first, retry_after_s = turn.lane.first, _retry_after_s(error)
        was_accused, is_about_us = first.is_accused, isinstance(error, OutputRefusedError) or retry_after_s > 0
        if is_about_us:
            fault = self._lanes.refused(turn, self._clock_s(), took_s, retry_after_s)
        else:
            fault = self._lanes.failed(turn, self._clock_s(), took_s)
        facts = {"key": stored.event.key, "camera": stored.event.camera, "error": _text(error)}
        if is_about_us and first.is_accused and not turn.is_probe:
            self._hold(turn, stored, error)
            retry_after_s = 0.0  # its own, as other events are delivered meanwhile
        if fault is Fault.UNKNOWN and not self._lanes.has_probe:
            self._failed_sending = True
            return self._failed(error, retry_after_s)
        metrics.ALERT_FAILURES.labels(self.output).inc()
        self._close_after(error)
        if fault is Fault.FOR_GOOD:
            self._log.error("event fails while others are delivered; see `stream-inspect refused`", **facts)
            return self._make_dead_letter(turn, Settled.FAILED, f"failed while others were delivered: {_text(error)}")
        if fault is Fault.EVENT and not was_accused:
            self._log.warning("event fails while others are delivered; later events of its camera wait", **facts)
        return 0.0

    def _hold(self, turn: Turn, stored: Stored, error: Exception) -> None:
        """Report this outage of one camera, for as long as it lasts: no number of tries makes it a dead letter."""
        known = self._held.get(turn.position)
        self._held[turn.position] = Outage(
            f"{_text(error)}; {_whose(stored.event)} wait",
            known.since_utc_ns if known else time.time_ns(),
            isinstance(error, OutputRefusedError),
        )

    def _failed(self, error: Exception, retry_after_s: float) -> float:
        """The output delivers nothing for now."""
        metrics.ALERT_FAILURES.labels(self.output).inc()
        self._close_after(error)
        reason, refused = _text(error), isinstance(error, OutputRefusedError)
        pause_s = max(self._backoff.next_s(), retry_after_s)
        self._not_before_s = self._clock_s() + pause_s
        if self._down is None:
            self._down_since_s = self._clock_s()
        since_utc_ns = self._down.since_utc_ns if self._down else time.time_ns()
        self._down = Outage(reason, since_utc_ns, refused)
        if reason not in self._reasons and len(self._reasons) < REASONS_LOGGED:
            self._reasons.add(reason)
            if refused:
                self._log.error("output rejects all events until it is corrected; events are queued", error=reason)
            else:
                self._log.warning("output failing; events are queued", error=reason)
        return pause_s

    def _close_after(self, error: Exception) -> None:
        if not isinstance(error, AlertError) or error.reconnect:
            self.close()

    def _recovered(self, delivered: int = 0) -> None:
        self._backoff.reset()
        if self._down is None:
            return
        waiting = self._store.backlog(self.output, self._unwanted).depth + delivered
        self._down, self._failed_sending = None, False
        self._reasons.clear()
        after_s = round(self._clock_s() - self._down_since_s, 1)
        self._log.info("output recovered", after_s=after_s, events_waiting=waiting)
        self._log_expired()

    def _log_expired(self) -> None:
        """One line an outage, or each time the queue is empty."""
        if self._expired:
            self._log.warning("events expired; older than max_age_s, not sent", events=self._expired)
            self._expired = 0


def _whose(event: Event) -> str:
    """Which events keep their order with this one."""
    return f"parts of {event.line}" if event.kind == "part" else f"events of {event.camera or 'the line'}"


def _retry_after_s(error: Exception) -> float:
    return min(error.retry_after_s, RETRY_AFTER_LONGEST_S) if isinstance(error, AlertError) else 0.0


def _text(error: Exception) -> str:
    is_ours = isinstance(error, AlertError | StoreError)
    return str(error) if is_ours else f"{type(error).__name__}: {error}"


class OutboxThread:
    """Runs one outbox in a thread of its own, so that an output that hangs holds up nothing else."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self._log = get_logger(__name__, output=outbox.output)
        self._wake = threading.Event()
        self._stop_at_s: float | None = None
        self._step_began_s: float | None = None
        self._broke_utc_ns = 0
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

    def busy_s(self) -> float:
        """How long its present step has taken so far: an output that hangs has not failed yet."""
        began_s = self._step_began_s
        return 0.0 if began_s is None else time.monotonic() - began_s

    def _run(self) -> None:
        while True:
            self._wake.clear()
            stop_at_s = self._stop_at_s  # read before the step: one whole step sees what was there at the stop
            self._step_began_s = time.monotonic()
            pause_s = self._step()
            self._step_began_s = None
            if stop_at_s is not None and (pause_s > 0 or time.monotonic() >= stop_at_s):
                break
            if pause_s > 0:
                self._wake.wait(pause_s)
        self.outbox.close()

    def _step(self) -> float:
        try:
            pause_s = self.outbox.step()
        except Exception as error:  # a fault of ours: whatever it is, it must not end the output in silence
            if not self._broke_utc_ns:
                self._broke_utc_ns = time.time_ns()
                self._log.exception("sending failed unexpectedly; retrying")
            self.outbox.outage = Outage(_text(error), self._broke_utc_ns, refused=False)
            return RETRY_LONGEST_S
        self._broke_utc_ns = 0
        return pause_s
