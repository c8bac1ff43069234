"""The way of events from the judging loop to the event log. The loop hands them over and never waits for a disk.

What is handed over lies in shared memory at once, where it survives a kill of the process. One thread puts it into the
journal in the state folder; another one moves it from there to the log, in batches, retrying while the log is locked or
its disk fails. Both may wait for as long as a disk hangs.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from stream_inspect import metrics
from stream_inspect.backoff import Backoff, doubling_s
from stream_inspect.errors import StreamInspectError
from stream_inspect.log import get_logger
from stream_inspect.messages import Event, EventState
from stream_inspect.store.events import PRUNE_ROWS, EventStore, counter_of
from stream_inspect.store.files import events_database, events_held, events_journal, retention_clock
from stream_inspect.store.journal import Journal
from stream_inspect.store.retention_clock import RetentionClock

MEMORY_EVENTS = 10_000
"""So many events wait in memory, about 30 MB, while not even the journal can be written. What comes after is lost."""
BATCH_EVENTS = 200
RESERVE_BYTES = 4 << 20
"""Of the journal in the state folder: for some two thousand events on a disk that is full."""
RETRY_FIRST_S = 0.05
RETRY_LONGEST_S = 1.0
PRUNE_EVERY_S = 60.0
PRUNE_NEXT_S = 1.0
"""While there is more to prune than is pruned at once."""


@dataclass(slots=True)
class _Outage:
    """From the first attempt that failed until nothing waits any more."""

    since_mono_ns: int
    in_memory: bool
    """The journal fails as well."""
    events: int = 0
    """Written since it began."""


def open_writer(state_dir: Path, *, memory_dir: Path, max_age_ns: int) -> EventWriter:
    """The writer of a state folder's log, with its two journals. Raises `StoreError`, or OSError for the first."""
    store = EventStore(events_database(state_dir))
    journal = Journal(events_journal(state_dir), reserve_bytes=RESERVE_BYTES)
    held: Journal | None = None
    try:
        held = Journal(events_held(memory_dir, state_dir), unreadable_path=journal.unreadable_path)
    except OSError as error:
        get_logger(__name__).warning("no shared memory for events; a kill may lose the latest", error=str(error))
    clock = RetentionClock(retention_clock(state_dir, "events"), lambda: _newest_s(store))
    return EventWriter(store, journal, held, clock, max_age_ns=max_age_ns)


def _newest_s(store: EventStore) -> float | None:
    newest = store.recent(1)
    return newest[0][1].last_seen_utc_ns / 1e9 if newest else None


class EventWriter:
    """Writes the event log of the judging process; the `EventLog` of the service.

    `held` is a journal in shared memory. Without it a kill loses what is not in `journal` yet.
    """

    def __init__(
        self,
        store: EventStore,
        journal: Journal,
        held: Journal | None,
        clock: RetentionClock,
        *,
        max_age_ns: int,
        prune_every_s: float = PRUNE_EVERY_S,
    ) -> None:
        self._store, self._journal, self._held = store, journal, held
        self._clock, self._max_age_ns, self._prune_every_s = clock, max_age_ns, prune_every_s
        self._prune_at_s = 0.0
        self._prune_fails = False
        self._incoming: deque[Event] = deque()  # not in the journal yet
        self._written: deque[Event] = deque()  # in the log, not announced yet
        self._inherited = journal.waiting()
        self._in_journal = len(self._inherited)
        in_journal = {event.key for event in self._inherited}
        if held:
            self._incoming.extend(event for event in held.waiting() if event.key not in in_journal)
        self._held_events = len(self._incoming)
        """So many of `_incoming`, from its front, are in shared memory."""
        self._inherited += self._incoming
        self._unannounced = len(self._inherited)  # of the previous run: outputs read them from the log
        self._lost = 0  # and not logged yet how many
        self._progress_mono_ns = time.monotonic_ns()
        """When the log last took something, or, where nothing waited, when the first of what waits now came."""
        self._changed = threading.Condition()  # guards all of the above; never held during a call to a disk
        self._on_written: Callable[[], None] = lambda: None
        self._stopping = False
        self._outage: _Outage | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(turn,), name=name, daemon=True)
            for name, turn in (("event-journal", self._fill_journal), ("event-log", self._move_to_log))
        ]
        """Daemons: a disk that hangs must not keep the process from ending."""
        self._log = get_logger(__name__)

    # --- the judging loop: nothing here but `open_events`, `last_numbers` and `close` waits -----------------------

    def open(self, on_written: Callable[[], None]) -> None:
        """Start writing, first what the previous run left in the journal. `on_written` is called by the writer."""
        self._on_written = on_written
        damaged = self._journal.damaged + (self._held.damaged if self._held else 0)
        if damaged:
            self._log.error("damaged lines in the journal of the event log", lines=damaged)
        for journal in (self._journal, self._held):
            if journal and journal.unreadable:
                self._log.error(
                    "events of another version in the journal; kept in a file",
                    events=journal.unreadable,
                    path=str(journal.unreadable_path),
                )
        if self._journal.reserve_error:
            self._log.warning(
                "cannot reserve space for the journal; a full disk may stop it",
                error=self._journal.reserve_error,
            )
        if self._inherited:
            self._log.info("writing the events that the previous run left", events=len(self._inherited))
        self._inherited = []
        for thread in self._threads:
            thread.start()

    def open_events(self) -> list[Event]:
        """Confirmed events that have not been cleared, in the log or on the way there. Call it before `open`."""
        found = {event.id: event for event in self._store.open_events()}
        in_log = self._store.last_numbers()
        for event in self._inherited:
            counted, n = counter_of(event)
            if event.state is EventState.CLEARED:
                found.pop(event.id, None)
            elif event.state is EventState.CONFIRMED and n > in_log.get(counted, 0):  # else the log knows better
                found[event.id] = event
        return list(found.values())

    def last_numbers(self) -> dict[tuple[str, int, str], int]:
        """The highest n ever used for each (camera, session, name). Call it before `open`."""
        numbers = self._store.last_numbers()
        for event in self._inherited:
            counted, n = counter_of(event)
            numbers[counted] = max(n, numbers.get(counted, 0))
        return numbers

    @property
    def waiting(self) -> int:
        """Events that are not in the log yet."""
        with self._changed:
            return self._waiting()

    @property
    def in_memory(self) -> tuple[int, int]:
        """Events that are not in the journal either, and how many these may be."""
        with self._changed:
            return len(self._incoming), MEMORY_EVENTS

    @property
    def waiting_since_mono_ns(self) -> int:
        """Since when nothing has been written to the log though events wait; 0 while none wait."""
        with self._changed:
            return self._progress_mono_ns if self._waiting() else 0

    def append(self, events: Sequence[Event]) -> None:
        """Take these. Raises ValueError for an id or key that the log would refuse."""
        if not events:
            return
        for event in events:
            counter_of(event)
        with self._changed:
            if not self._waiting():
                self._progress_mono_ns = time.monotonic_ns()
            room = MEMORY_EVENTS - len(self._incoming)
            self._hold(events[:room])
            lost = len(events[room:])
            self._lost += lost
            is_first = 0 < lost == self._lost
            self._changed.notify_all()
        if lost:
            metrics.EVENTS_LOST.inc(lost)
        if is_first:
            self._log.error("events lost: memory for events that cannot be written is full", limit=MEMORY_EVENTS)

    def written(self) -> list[Event]:
        """What has been written to the log since the last call, in order."""
        with self._changed:
            events = list(self._written)
            self._written.clear()
        return events

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is in the log; False when it is not within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._waiting() == 0, timeout_s)

    def close(self, timeout_s: float) -> None:
        """Stop, and log where the events are that could not be written. Never raises."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline_s - time.monotonic()))
        with self._changed:
            self._on_written = lambda: None
            in_journal, held, unheld = self._in_journal, self._held_events, len(self._incoming) - self._held_events
        if in_journal:
            self._log.warning("events wait in the journal; the next start writes them to the log", events=in_journal)
        if self._held and held:
            self._log.error(
                "events wait in shared memory; a reboot or a new container loses them",
                events=held,
                path=str(self._held.path),
            )
        if unheld or self._lost:
            metrics.EVENTS_LOST.inc(unheld)
            self._log.error("events lost: neither the log nor its journal took them", events=unheld + self._lost)
        if not any(thread.is_alive() for thread in self._threads):
            self._store.close()
            if self._held and not held:
                self._held.remove()

    def _waiting(self) -> int:
        return len(self._incoming) + self._in_journal

    def _hold(self, events: Sequence[Event]) -> None:
        # Only behind all the others: what is in shared memory is the front of the queue.
        if self._held and self._held_events == len(self._incoming):
            with suppress(OSError):
                self._held.append(events)
                self._held_events += len(events)
        self._incoming.extend(events)

    # --- the threads -------------------------------------------------------------------------------------------

    def _run(self, turn: Callable[[int], bool]) -> None:
        """Take turns until one returns False. A turn that failed is repeated; when stopping it is the last one.

        It is repeated with one event: to find out whether a disk works again must not keep the judging loop from its
        interpreter, as a batch does for 0.1 s.
        """
        backoff = Backoff(doubling_s(RETRY_FIRST_S, RETRY_LONGEST_S))
        while True:
            try:
                if not turn(1 if backoff.failures else BATCH_EVENTS):
                    return
                backoff.reset()
            except Exception as error:  # a thread that ends would leave all events waiting
                if not isinstance(error, OSError | StreamInspectError):
                    self._log.exception("writing events failed")
                with self._changed:
                    if self._stopping:
                        return
                    self._changed.wait_for(lambda: self._stopping, backoff.next_s())

    def _fill_journal(self, limit: int) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._incoming or self._stopping)
            events = list(islice(self._incoming, limit))
        if not events:
            self._journal.sync()  # what a stop leaves there has to survive the computer's own stop too
            return False
        try:
            self._journal.append(events)
        except OSError as error:
            # The log may be writable all the same. In order: only after what is in the journal.
            try:
                if not self._journal.is_empty:
                    raise
                self._store.append(events)
            except (OSError, StreamInspectError):
                self._note_outage(error, in_memory=True)
                raise
            self._account(events, from_journal=0)
        else:
            with self._changed:
                self._pop(len(events))
                self._in_journal += len(events)
                self._changed.notify_all()
        return True

    def _move_to_log(self, limit: int) -> bool:
        with self._changed:
            pause_s = max(0.0, self._prune_at_s - time.monotonic())
            self._changed.wait_for(lambda: self._in_journal or self._is_done(), pause_s)
            waiting = self._in_journal
            if not waiting and self._is_done():
                return False
        end = self._journal.end  # taken before the look into it: what is added meanwhile lies behind
        batch = self._journal.batch(limit)
        if not batch:
            if waiting:
                self._lose(waiting, end)
            self._prune()
            return True
        events = [event for _, event in batch]
        try:
            self._store.append(events)
        except (OSError, StreamInspectError) as error:
            self._note_outage(error, in_memory=False)
            self._journal.sync()
            raise
        self._journal.take(batch[-1][0])
        self._account(events, from_journal=len(events))
        return True

    def _is_done(self) -> bool:
        return self._stopping and not (self._incoming and self._threads[0].is_alive())

    def _lose(self, count: int, end: int) -> None:
        """So many events that were in the journal, before the offset `end`, cannot be read any more."""
        self._journal.take(end)
        metrics.EVENTS_LOST.inc(count)
        self._log.error("events lost: their journal was damaged", events=count, path=str(self._journal.path))
        with self._changed:
            self._unannounced = max(0, self._unannounced - count)  # those of the previous run are in front
        self._account([], from_journal=count)

    def _account(self, events: list[Event], *, from_journal: int) -> None:
        """These are in the log."""
        with self._changed:
            self._in_journal -= from_journal
            if not from_journal:
                self._pop(len(events))
            inherited = min(self._unannounced, len(events))
            self._unannounced -= inherited
            self._written.extend(events[inherited:])
            self._progress_mono_ns = now_ns = time.monotonic_ns()
            ended, lost = None, 0
            if self._outage:
                self._outage.events += len(events)
                if not self._waiting():
                    ended, self._outage = self._outage, None
                    lost, self._lost = self._lost, 0
            self._changed.notify_all()
            on_written = self._on_written
        if ended:
            after_s = round((now_ns - ended.since_mono_ns) / 1e9, 1)
            self._log.info("event log writable again", after_s=after_s, events=ended.events)
        if lost:
            self._log.error("events lost: there was no memory left for them", events=lost)
        on_written()

    def _pop(self, count: int) -> None:
        for _ in range(count):
            self._incoming.popleft()
        self._held_events = max(0, self._held_events - count)
        if self._held and not self._incoming:
            self._held.clear()

    def _note_outage(self, error: Exception, *, in_memory: bool) -> None:
        """Log an outage when it begins, and once more when the journal fails too: what a kill can cost is new then."""
        with self._changed:
            if self._outage is None:
                self._outage = _Outage(self._progress_mono_ns, in_memory)
            elif in_memory and not self._outage.in_memory:
                self._outage.in_memory = True
            else:
                return
        text = "cannot write the event log; events wait in its journal"
        if in_memory:
            text = "cannot write the event log or its journal; holding events in memory"
        self._log.error(text, error=str(error))

    def _prune(self) -> None:
        """Remove events when their clips and pictures go: a bounded number at a time, with or without outputs."""
        if time.monotonic() < self._prune_at_s:
            return
        self._prune_at_s = time.monotonic() + self._prune_every_s
        try:
            pruned = self._store.prune(round(self._clock.now_s() * 1e9) - self._max_age_ns)
        except StreamInspectError as error:
            if not self._prune_fails:
                self._log.warning("cannot prune old events", error=str(error))
            self._prune_fails = True
        else:
            self._prune_fails = False
            if pruned == PRUNE_ROWS:  # there are more: parts of a day may be hundreds of thousands
                self._prune_at_s = time.monotonic() + min(PRUNE_NEXT_S, self._prune_every_s)
            if pruned:
                self._log.info("pruned old events", events=pruned)
