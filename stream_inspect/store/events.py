"""The event log: one SQLite file that is both the record of events and the outbox of every output.

An event is appended before anything is sent; each output has a cursor in the same file. Several processes read;
writers take turns (WAL, so that readers never wait). When `append` returns, the events are on disk.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import tenacity
from sqlalchemy import URL, Connection, Engine, Select, create_engine, delete, event, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError

from stream_inspect.errors import StreamInspectError
from stream_inspect.messages import Event, EventState, event_json
from stream_inspect.store.durable import sync_folder
from stream_inspect.store.schema import (
    COUNTERS,
    DEAD_LETTERS,
    DELIVERIES,
    EVENTS,
    LOG,
    OUTPUTS,
    NewerSchemaError,
    is_current,
    migrate,
)

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for its turn. Transactions here take milliseconds."""

PRUNE_ROWS = 500
"""Events pruned at once: few, so that an append never waits long for its turn."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_decoder = msgspec.json.Decoder(Event)


class StoreError(StreamInspectError):
    """The event log could not do what was asked; nothing of the call has been written. The text says what to do."""


class UnreadableEventError(StoreError):
    """The event at `position` was written by a version whose events this one does not understand."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"event at position {position} of the event log cannot be read: {reason}")
        self.position = position


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for an output: how many events, and when the oldest was appended (None: nothing waits)."""

    depth: int
    oldest_utc_ns: int | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that an output rejected, and why."""

    position: int
    key: str
    utc_ns: int
    reason: str


class EventStore:
    """The event log at `path`. Made, migrated and shared by any number of processes; usable from several threads."""

    def __init__(self, path: Path) -> None:
        """Open the log, making it (and its folder) if need be. Raises `StoreError`."""
        self._path = path
        self._boot = _BOOT_ID.read_text().strip()
        self._engine = _engine(path)
        self._writer = self._engine.execution_options(write=True)
        with self._explained("open"):
            path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not path.exists()
            self.identity = self._migrate()
            """The log's own, made once with it and kept by a copy: distinguishes its keys from those of every other."""
            if is_new:
                sync_folder(path.parent)

    # Two processes that make the file at once may be refused without SQLite's own waiting: its change to WAL mode
    # does not honour the busy timeout.
    @tenacity.retry(
        retry=tenacity.retry_if_exception(lambda error: "database is locked" in str(error)),
        wait=tenacity.wait_random(0.01, 0.05),
        stop=tenacity.stop_after_delay(BUSY_TIMEOUT_S),
        reraise=True,
    )
    def _migrate(self) -> str:
        # Opening a file that is up to date must not wait for its lock: a restart would wait with it.
        with self._engine.connect() as connection:
            if is_current(connection):
                return str(connection.execute(select(LOG.c.identity)).scalar_one())
        with self._writer.begin() as connection:
            migrate(connection)
            return str(connection.execute(select(LOG.c.identity)).scalar_one())

    # --- decide ------------------------------------------------------------------------------------------------

    def append(self, events: Sequence[Event]) -> None:
        """Write all these events, or none. They are on disk when this returns; a key that is there is skipped."""
        if not events:
            return
        numbers = [id_parts(one) for one in events]
        now_utc_ns = time.time_ns()
        with self._explained("append to"), self._writer.begin() as connection:
            for one, (session, n) in zip(events, numbers, strict=True):
                self._append_one(connection, one, session, n, now_utc_ns)

    def _append_one(self, connection: Connection, one: Event, session: int, n: int, now_utc_ns: int) -> None:
        # Looked up first: an insert that a conflict prevents would use up a position, and a backlog would count it.
        if connection.execute(select(EVENTS.c.position).where(EVENTS.c.key == one.key)).first() is not None:
            return
        if one.state is EventState.CLEARED:
            connection.execute(
                update(EVENTS).where(EVENTS.c.event_id == one.id, EVENTS.c.is_open).values(is_open=False)
            )
        connection.execute(
            insert(EVENTS).values(
                key=one.key,
                event_id=one.id,
                line=one.line,
                camera=one.camera,
                name=one.name,
                kind=one.kind,
                state=one.state,
                utc_ns=one.last_seen_utc_ns,
                appended_utc_ns=now_utc_ns,
                boot=self._boot,
                is_open=one.state is EventState.CONFIRMED,
                body=event_json(one),
            )
        )
        counter = insert(COUNTERS).values(camera=one.camera, session=session, name=one.name, last_n=n)
        connection.execute(
            counter.on_conflict_do_update(
                index_elements=["camera", "session", "name"],
                set_={"last_n": func.max(COUNTERS.c.last_n, counter.excluded.last_n)},
            )
        )

    def last_numbers(self) -> dict[tuple[str, int, str], int]:
        """The highest n given to an event of each (camera, session, name of defect or condition)."""
        query = select(COUNTERS.c.camera, COUNTERS.c.session, COUNTERS.c.name, COUNTERS.c.last_n)
        with self._reading() as connection:
            return {(row.camera, row.session, row.name): row.last_n for row in connection.execute(query)}

    def open_events(self) -> list[Event]:
        """The confirmed events that have not been cleared, oldest first.

        Events of a version that this one does not understand are left out, and stay open.
        """
        query = select(EVENTS.c.position, EVENTS.c.body).where(EVENTS.c.is_open).order_by(EVENTS.c.position)
        return [event for _, event in self._readable(query)]

    # --- readers -----------------------------------------------------------------------------------------------

    def recent(self, limit: int, before: int | None = None) -> list[tuple[int, Event]]:
        """The newest events with their positions, newest first; for the next page give the last position as `before`.

        Events of a version that this one does not understand are left out.
        """
        query = select(EVENTS.c.position, EVENTS.c.body).order_by(EVENTS.c.position.desc()).limit(limit)
        if before is not None:
            query = query.where(EVENTS.c.position < before)
        return self._readable(query)

    def after(self, cursor: int, limit: int) -> list[tuple[int, Event]]:
        """Up to `limit` events behind `cursor`, in order, with their positions.

        Ends before an event that cannot be read; raises `UnreadableEventError` when it is the first.
        """
        query = (
            select(EVENTS.c.position, EVENTS.c.body)
            .where(EVENTS.c.position > cursor)
            .order_by(EVENTS.c.position)
            .limit(limit)
        )
        found: list[tuple[int, Event]] = []
        with self._reading() as connection:
            for row in connection.execute(query):
                try:
                    found.append((row.position, _decoded(row.position, row.body)))
                except UnreadableEventError:
                    if not found:
                        raise
                    break
        return found

    def is_of_this_boot(self, position: int) -> bool:
        """Whether the monotonic times of this event can be compared with this host's clock of now."""
        query = select(EVENTS.c.boot == self._boot).where(EVENTS.c.position == position)
        with self._reading() as connection:
            return bool(connection.execute(query).scalar_one_or_none())

    # --- outputs -----------------------------------------------------------------------------------------------

    def register_outputs(self, outputs: Sequence[str]) -> None:
        """Say which outputs are configured: from now on each is owed every event.

        Call it before the first event is appended. A new one starts with the next event, not with a flood of history.
        One that is named no more keeps its cursor, but no longer keeps old events from being pruned.
        """
        with self._explained("write to"), self._writer.begin() as connection:
            end = connection.execute(select(func.coalesce(func.max(EVENTS.c.position), 0))).scalar_one()
            connection.execute(update(OUTPUTS).values(is_active=False))
            for output in outputs:
                connection.execute(
                    insert(OUTPUTS)
                    .values(output=output, position=end, is_active=True)
                    .on_conflict_do_update(index_elements=["output"], set_={"is_active": True})
                )

    def cursor(self, output: str) -> int:
        """The position up to which everything has been delivered to this output or is a dead letter."""
        query = select(OUTPUTS.c.position).where(OUTPUTS.c.output == output)
        with self._reading() as connection:
            position = connection.execute(query).scalar_one_or_none()
        if position is None:
            raise StoreError(f"no output {output!r} is registered in the event log {self._path}")
        return int(position)

    def delivered(self, output: str, position: int, sent_mono_ns: int, latency_s: float | None) -> None:
        """Record that this output has the event (see `Alert.acknowledges`), and move its cursor there."""
        with self._explained("write to"), self._writer.begin() as connection:
            connection.execute(
                insert(DELIVERIES)
                .values(output=output, position=position, sent_mono_ns=sent_mono_ns, latency_s=latency_s)
                .on_conflict_do_nothing()
            )
            _advance(connection, output, position)

    def add_dead_letter(self, output: str, position: int, reason: str) -> None:
        """Record that this output rejected the event, and move its cursor there."""
        with self._explained("write to"), self._writer.begin() as connection:
            connection.execute(
                insert(DEAD_LETTERS)
                .values(output=output, position=position, utc_ns=time.time_ns(), reason=reason)
                .on_conflict_do_nothing()
            )
            _advance(connection, output, position)

    def dead_letters(self, output: str) -> list[DeadLetter]:
        """What this output rejected, oldest first."""
        query = (
            select(DEAD_LETTERS.c.position, EVENTS.c.key, DEAD_LETTERS.c.utc_ns, DEAD_LETTERS.c.reason)
            .join(EVENTS, EVENTS.c.position == DEAD_LETTERS.c.position)
            .where(DEAD_LETTERS.c.output == output)
            .order_by(DEAD_LETTERS.c.position)
        )
        with self._reading() as connection:
            return [DeadLetter(*row) for row in connection.execute(query)]

    def backlog(self, output: str) -> Backlog:
        """What waits for this output."""
        cursor = self.cursor(output)
        oldest = select(EVENTS.c.appended_utc_ns).where(EVENTS.c.position > cursor).order_by(EVENTS.c.position).limit(1)
        with self._reading() as connection:
            # Positions have no gaps behind a cursor: only what is delivered is pruned. Counting rows would read them.
            last = connection.execute(select(func.max(EVENTS.c.position))).scalar_one() or 0
            return Backlog(max(0, last - cursor), connection.execute(oldest).scalar_one_or_none())

    def latencies_s(self, output: str) -> list[float]:
        """Seconds from the capture of each confirming frame to its alert's acknowledgement, in order of sending."""
        query = (
            select(DELIVERIES.c.latency_s)
            .where(DELIVERIES.c.output == output, DELIVERIES.c.latency_s.is_not(None))
            .order_by(DELIVERIES.c.position)
        )
        with self._reading() as connection:
            return list(connection.execute(query).scalars())

    # --- housekeeping ------------------------------------------------------------------------------------------

    def prune(self, older_than_utc_ns: int) -> int:
        """Remove events appended before that time, the oldest first and `PRUNE_ROWS` at most; says how many.

        Kept, however old: open events, and what a configured output has not delivered (dead letters included). The cost
        does not grow with the log: where the clock was set back, an old event waits for the younger ones before it.
        """
        active = select(OUTPUTS.c.output).where(OUTPUTS.c.is_active)
        delivered_to = select(func.min(OUTPUTS.c.position)).where(OUTPUTS.c.is_active)
        dead = select(DEAD_LETTERS.c.position).where(DEAD_LETTERS.c.output.in_(active))
        done_with = select(EVENTS.c.position, EVENTS.c.appended_utc_ns).where(
            ~EVENTS.c.is_open, EVENTS.c.position.not_in(dead)
        )
        with self._explained("prune"), self._writer.begin() as connection:
            limit = connection.execute(delivered_to).scalar_one_or_none()
            if limit is not None:
                done_with = done_with.where(EVENTS.c.position <= limit)
            oldest = connection.execute(done_with.order_by(EVENTS.c.position).limit(PRUNE_ROWS))
            positions = [row.position for row in oldest if row.appended_utc_ns < older_than_utc_ns]
            if positions:
                for table in (DELIVERIES, DEAD_LETTERS, EVENTS):
                    connection.execute(delete(table).where(table.c.position.in_(positions)))
        return len(positions)

    def close(self) -> None:
        """Close the file. Never raises."""
        self._engine.dispose()

    def _readable(self, query: Select[tuple[int, bytes]]) -> list[tuple[int, Event]]:
        """The (position, body) rows of a query as events, without those of a version not understood."""
        found = []
        with self._reading() as connection:
            for row in connection.execute(query):
                with suppress(UnreadableEventError):
                    found.append((row.position, _decoded(row.position, row.body)))
        return found

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._explained("read"), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn the many ways in which a database can fail into a `StoreError` that says what to do."""
        try:
            yield
        except NewerSchemaError as error:
            raise StoreError(
                f"the event log {self._path} was made by a newer stream_inspect: {error}. "
                "Run that version, or choose another state_dir; the file has not been touched."
            ) from error
        except (DBAPIError, sqlite3.Error, OSError) as error:
            cause = str(error.orig) if isinstance(error, DBAPIError) else str(error)
            raise StoreError(f"cannot {doing} the event log {self._path}: {cause}. {_advice(cause)}") from error


_ADVICE = {
    "disk is full": "Free some space; writing resumes when there is enough.",
    "not a database": "Move that file away, keep it for repair (sqlite3 FILE .recover), and start the service again.",
    "malformed": "Move that file away, keep it for repair (sqlite3 FILE .recover), and start the service again.",
    "readonly": "The service's user must own state_dir and the files in it.",
    "unable to open": "The folder must exist and the service's user must be able to write to it.",
    "Permission denied": "The service's user must own state_dir and the files in it.",
    "locked": f"Another process has locked it for more than {BUSY_TIMEOUT_S:.0f} s; is it open in another program?",
}


def _advice(cause: str) -> str:
    for part, advice in _ADVICE.items():
        if part in cause:
            return advice
    return "Check the disk that holds state_dir (dmesg, smartctl)."


def _engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own habit of beginning transactions late would let two writers deadlock: we begin them.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _decoded(position: int, body: bytes) -> Event:
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise UnreadableEventError(position, str(error)) from error


def _advance(connection: Connection, output: str, position: int) -> None:
    connection.execute(
        update(OUTPUTS).where(OUTPUTS.c.output == output, OUTPUTS.c.position < position).values(position=position)
    )


def id_parts(of: Event) -> tuple[int, int]:
    """(session, n) of an event's id `camera-session-name-n`, where camera and name may hold dashes themselves.

    Raises ValueError where its id or key is not made of its fields.
    """
    head, tail = f"{of.camera}-", f"-{of.name}-"
    session, found, n = of.id.removeprefix(head).partition(tail)
    if not (of.id.startswith(head) and found and session.isdecimal() and n.isdecimal()):
        raise ValueError(f"event id {of.id!r} is not camera-session-name-n of {of.camera!r} and {of.name!r}")
    if of.key != f"{of.id}:{of.state}":
        raise ValueError(f"event key {of.key!r} is not the id {of.id!r} and the state {of.state.value!r}")
    return int(session), int(n)
