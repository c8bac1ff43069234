"""The way of events from the judging loop to the event log. The loop hands them over and never waits for a disk.

One thread puts what was handed over into the journal, where it survives a kill; another one moves it from there to
the log, in batches, retrying while the log is locked or its disk fails. Both may wait for as long as a disk hangs.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from stream_inspect import metrics
from stream_inspect.backoff import Backoff, doubling_s
from stream_inspect.errors import StreamInspectError
from stream_inspect.log import get_logger
from stream_inspect.messages import Event, EventState
from stream_inspect.store.events import EventStore, id_parts
from stream_inspect.store.journal import Journal

MEMORY_EVENTS = 10_000
"""So many events wait in memory, about 30 MB, while not even the journal can be written. What comes after is lost."""
BATCH_EVENTS = 200
RETRY_FIRST_S = 0.05
RETRY_LONGEST_S = 1.0
PRUNE_EVERY_S = 60.0


class EventWriter:
    """Writes the event log of the judging process; the `EventLog` of the service."""

    def __init__(
        self, store: EventStore, journal: Journal, *, max_age_ns: int, prune_every_s: float = PRUNE_EVERY_S
    ) -> None:
        self._store, self._journal = store, journal
        self._max_age_ns, self._prune_every_s = max_age_ns, prune_every_s
        self._prune_at_s = 0.0
        self._incoming: deque[Event] = deque()  # not in the journal yet
        self._written: deque[Event] = deque()  # in the log, not announced yet
        self._inherited = journal.waiting()
        self._in_journal = len(self._inherited)
        self._unannounced = len(self._inherited)  # of the previous run: outputs read them from the log
        self._lost = 0
        self._changed = threading.Condition()  # guards all of the above; never held during a call to a disk
        self._on_written: Callable[[], None] = lambda: None
        self._stopping = False
        self._outage = False
        self._outage_events = 0
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
        if self._journal.damaged:
            self._log.error("damaged lines in the journal of the event log", lines=self._journal.damaged)
        if self._inherited:
            self._log.info("events of the previous run wait in the journal", events=len(self._inherited))
        self._inherited = []
        for thread in self._threads:
            thread.start()

    def open_events(self) -> list[Event]:
        """Confirmed events that have not been cleared, in the log or in the journal. Call it before `open`."""
        found = {event.id: event for event in self._store.open_events()}
        for event in self._inherited:
            if event.state is EventState.CONFIRMED:
                found[event.id] = event
            else:
                found.pop(event.id, None)
        return list(found.values())

    def last_numbers(self) -> dict[tuple[str, int, str], int]:
        """The highest n ever used for each (camera, session, name). Call it before `open`."""
        numbers = self._store.last_numbers()
        for event in self._inherited:
            session, n = id_parts(event)
            triple = (event.camera, session, event.name)
            numbers[triple] = max(n, numbers.get(triple, 0))
        return numbers

    def append(self, events: Sequence[Event]) -> None:
        """Take these. Raises ValueError for an id or key that the log would refuse."""
        for event in events:
            id_parts(event)
        with self._changed:
            room = MEMORY_EVENTS - len(self._incoming)
            self._incoming.extend(events[:room])
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
            in_journal, in_memory = self._in_journal, len(self._incoming)
        if in_journal:
            self._log.warning("events wait in the journal; the next start writes them to the log", events=in_journal)
        if in_memory or self._lost:
            metrics.EVENTS_LOST.inc(in_memory)
            self._log.error("events lost: neither the log nor its journal took them", events=in_memory + self._lost)
        if not any(thread.is_alive() for thread in self._threads):
            self._store.close()

    def _waiting(self) -> int:
        return len(self._incoming) + self._in_journal

    # --- the threads -------------------------------------------------------------------------------------------

    def _run(self, turn: Callable[[], bool]) -> None:
        """Take turns until one returns False. A turn that failed is repeated; when stopping it is the last one."""
        backoff = Backoff(doubling_s(RETRY_FIRST_S, RETRY_LONGEST_S))
        while True:
            try:
                if not turn():
                    return
                backoff.reset()
            except Exception as error:  # a thread that ends would leave all events waiting
                if not isinstance(error, OSError | StreamInspectError):
                    self._log.exception("writing events failed")
                with self._changed:
                    if self._stopping:
                        return
                    self._changed.wait_for(lambda: self._stopping, backoff.next_s())

    def _fill_journal(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._incoming or self._stopping)
            events = list(islice(self._incoming, BATCH_EVENTS))
        if not events:
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
                self._begin_outage("cannot write the event log or its journal; holding events in memory", error)
                raise
            self._account(events, from_journal=0)
        else:
            with self._changed:
                self._pop(len(events))
                self._in_journal += len(events)
                self._changed.notify_all()
                waiting = self._waiting()
            metrics.EVENTS_WAITING.set(waiting)
        return True

    def _move_to_log(self) -> bool:
        with self._changed:
            pause_s = max(0.0, self._prune_at_s - time.monotonic())
            self._changed.wait_for(lambda: self._in_journal or self._is_done(), pause_s)
            if not self._in_journal and self._is_done():
                return False
        try:
            batch = self._journal.batch()[:BATCH_EVENTS]
            if not batch:
                self._prune()
                return True
            events = [event for _, event in batch]
            self._store.append(events)
            self._journal.take(batch[-1][0])
        except (OSError, StreamInspectError) as error:
            self._begin_outage("cannot write the event log; events wait in its journal", error)
            self._journal.sync()
            raise
        self._account(events, from_journal=len(events))
        return True

    def _is_done(self) -> bool:
        return self._stopping and not (self._incoming and self._threads[0].is_alive())

    def _account(self, events: list[Event], *, from_journal: int) -> None:
        """These are in the log."""
        with self._changed:
            self._in_journal -= from_journal
            if not from_journal:
                self._pop(len(events))
            inherited = min(self._unannounced, len(events))
            self._unannounced -= inherited
            self._written.extend(events[inherited:])
            if self._outage:
                self._outage_events += len(events)
            ended = self._outage and self._waiting() == 0
            waited, waiting = self._outage_events, self._waiting()
            if ended:
                self._outage, self._outage_events = False, 0
            self._changed.notify_all()
            on_written = self._on_written
        metrics.EVENTS_WAITING.set(waiting)
        if ended:
            self._log.info("event log writable again", events=waited)
        on_written()

    def _pop(self, count: int) -> None:
        for _ in range(count):
            self._incoming.popleft()

    def _begin_outage(self, text: str, error: Exception) -> None:
        with self._changed:
            is_new, self._outage = not self._outage, True
            waiting = self._waiting()
        metrics.EVENTS_WAITING.set(waiting)
        if is_new:
            self._log.error(text, error=str(error))

    def _prune(self) -> None:
        """Remove events when their clips and pictures go: a bounded number at a time, with or without outputs."""
        if time.monotonic() < self._prune_at_s:
            return
        self._prune_at_s = time.monotonic() + self._prune_every_s
        try:
            pruned = self._store.prune(time.time_ns() - self._max_age_ns)
        except StreamInspectError as error:
            self._log.warning("cannot prune old events", error=str(error))
        else:
            if pruned:
                self._log.info("pruned old events", events=pruned)
