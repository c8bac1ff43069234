"""The event log: one SQLite file that is both the record of events and the outbox of every output.

An event is appended before anything is sent; each output has a cursor, in a file of its own (`deliveries.py`), so that
`decide` is the only writer of this one. When `append` returns, the events are on disk.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    func,
    inspect,
    not_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from stream_inspect import metrics
from stream_inspect.log import get_logger
from stream_inspect.messages import PART_NAME, Event, EventState, Verdict, counted_as, event_json
from stream_inspect.store.database import Database, StoreError
from stream_inspect.store.deliveries import DeadLetter, Deliveries
from stream_inspect.store.files import OUTPUTS_DATABASE
from stream_inspect.store.schema import COUNTERS, EVENTS, IS_NO_PART, IS_PART, LOG, MIGRATIONS

PRUNE_ROWS = 500
"""Events pruned at once: few, so that an append never waits long for its turn."""

SESSIONS_KEPT = 16
"""A camera's sessions are numbered without end, and an earlier one never comes back: only the counters of the newest
are needed, and that of session 0, which is the one of conditions without a frame."""

_PRUNE_COUNTERS = f"""
DELETE FROM counters WHERE (camera, session, name) IN (
    SELECT camera, session, name FROM (
        SELECT *, row_number() OVER (PARTITION BY camera, name ORDER BY session DESC) AS nth FROM counters
        WHERE session > 0
    ) WHERE nth > {SESSIONS_KEPT}
)
"""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_STORED = select(
    EVENTS.c.position,
    EVENTS.c.kind,
    EVENTS.c.line,
    EVENTS.c.camera,
    EVENTS.c.body,
    EVENTS.c.appended_utc_ns,
    EVENTS.c.boot,
)

_IF_DAMAGED = (
    "Move that file away, keep it for repair (sqlite3 FILE .recover), and start the service again: a new log begins. "
    "The events in it that still wait for outputs are not sent."
)

_decoder = msgspec.json.Decoder(Event)


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
class Stored:
    """An event as it lies in the log; `is_of_this_boot`: its monotonic times can be compared with this host's clock."""

    event: Event
    appended_utc_ns: int
    is_of_this_boot: bool

    def age_s(self) -> float:
        """Seconds since it was seen, by the clock that is never set where there is a frame of this boot.

        The end of an event is as old as its record: when the defect was seen last was some time before that.
        """
        event = self.event
        seen_mono_ns = (
            event.frame.capture_mono_ns if event.frame else event.part.decided_mono_ns if event.part else None
        )
        if event.state is EventState.CLEARED:
            age_ns = time.time_ns() - self.appended_utc_ns
        elif seen_mono_ns is not None and self.is_of_this_boot:
            age_ns = time.monotonic_ns() - seen_mono_ns
        else:
            age_ns = time.time_ns() - event.last_seen_utc_ns
        return max(0.0, age_ns / 1e9)


class EventStore(Database):
    """The event log at `path`. Made, migrated and shared by any number of processes; usable from several threads."""

    def __init__(self, path: Path) -> None:
        """Open the log, making it (and its folder) if need be. Raises `StoreError`."""
        self._boot = _BOOT_ID.read_text().strip()
        self._log = get_logger(__name__)
        super().__init__(path, "event log", MIGRATIONS, before_migration=self._move_outputs, if_damaged=_IF_DAMAGED)
        with self._reading() as connection:
            self.identity = str(connection.execute(select(LOG.c.identity)).scalar_one())
            """The log's own, made once with it and kept by a copy: distinguishes its keys from those of every other."""

    def close(self) -> None:
        """Close the log, and the outputs' file if it was used. Never raises."""
        super().close()
        if "outputs" in self.__dict__:
            self.outputs.close()

    # --- decide ------------------------------------------------------------------------------------------------

    def append(self, events: Sequence[Event]) -> None:
        """Write all these events, or none. They are on disk when this returns; one that is there already is skipped.

        A different event under a key that is there cannot be kept: it is logged and counted as lost.
        """
        if not events:
            return
        numbers = [counter_of(one) for one in events]
        now_utc_ns = time.time_ns()
        with self._writing("append to") as connection:
            kept = [self._append_one(connection, one, *of, now_utc_ns) for one, of in zip(events, numbers, strict=True)]
        for one in (one for one, is_kept in zip(events, kept, strict=True) if not is_kept):
            metrics.EVENTS_LOST.inc()
            self._log.error("event lost: the log holds another one under its key", key=one.key)

    def _append_one(
        self, connection: Connection, one: Event, counted: tuple[str, int, str], n: int, now_utc_ns: int
    ) -> bool:
        """Whether the log holds it afterwards."""
        # Looked up first: an insert that a conflict prevents would use up a position, and a backlog would count it.
        known = connection.execute(select(EVENTS.c.position, EVENTS.c.body).where(EVENTS.c.key == one.key)).first()
        if known is not None:
            with suppress(UnreadableEventError):
                return _decoded(known.position, known.body) == one
            return True  # of another version: whether it differs cannot be known
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
        whose, session, name = counted
        counter = insert(COUNTERS).values(camera=whose, session=session, name=name, last_n=n)
        connection.execute(
            counter.on_conflict_do_update(
                index_elements=["camera", "session", "name"],
                set_={"last_n": func.max(COUNTERS.c.last_n, counter.excluded.last_n)},
            )
        )
        return True

    def last_numbers(self) -> dict[tuple[str, int, str], int]:
        """The highest n given to an event of each (camera, session, name of defect or condition); of parts, see
        `counted_as`.
        """
        query = select(COUNTERS.c.camera, COUNTERS.c.session, COUNTERS.c.name, COUNTERS.c.last_n)
        with self._reading() as connection:
            return {(row.camera, row.session, row.name): row.last_n for row in connection.execute(query)}

    def last_sessions(self) -> dict[str, int]:
        """The highest session of each camera that has an event."""
        return self._last_sessions(of_parts=False)

    def last_runs(self) -> dict[str, int]:
        """The highest run of each line that has an event of a part."""
        return self._last_sessions(of_parts=True)

    def _last_sessions(self, *, of_parts: bool) -> dict[str, int]:
        found: dict[str, int] = {}
        for whose, session, name in self.last_numbers():
            if (name == PART_NAME) is of_parts:
                found[whose] = max(session, found.get(whose, 0))
        return found

    def open_events(self) -> list[Event]:
        """The confirmed events that have not been cleared, oldest first.

        Events of a version that this one does not understand are left out, and stay open.
        """
        query = select(EVENTS.c.position, EVENTS.c.body).where(EVENTS.c.is_open).order_by(EVENTS.c.position)
        return [event for _, event in self._readable(query)]

    # --- readers -----------------------------------------------------------------------------------------------

    def recent(self, limit: int, before: int | None = None, *, parts: bool = True) -> list[tuple[int, Event]]:
        """The newest events with their positions, newest first; for the next page give the last position as `before`.

        Events of a version that this one does not understand are left out, and without `parts` the verdicts of parts.
        """
        query = select(EVENTS.c.position, EVENTS.c.body).order_by(EVENTS.c.position.desc()).limit(limit)
        if not parts:
            query = query.where(IS_NO_PART)
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

    def stored_after(self, cursor: int, limit: int) -> list[tuple[int, str, Stored | None]]:
        """Up to `limit` positions behind `cursor`, in order, with the event; None for one that is unreadable.

        Between them: whose order it belongs to, which is its camera, or the parts of its line.
        """
        query = _STORED.where(EVENTS.c.position > cursor).order_by(EVENTS.c.position).limit(limit)
        found: list[tuple[int, str, Stored | None]] = []
        with self._reading() as connection:
            for row in connection.execute(query):
                whose = f"parts of {row.line}" if row.kind == "part" else row.camera
                try:
                    found.append((row.position, whose, self._stored(row)))
                except UnreadableEventError:
                    found.append((row.position, whose, None))
        return found

    def position_of(self, key: str) -> int | None:
        """The position of the event with this key; None where the log holds none."""
        query = select(EVENTS.c.position).where(EVENTS.c.key == key)
        with self._reading() as connection:
            position: int | None = connection.execute(query).scalar()
        return position

    def at(self, position: int) -> Stored | None:
        """The event at this position; None where there is none. Raises `UnreadableEventError`."""
        with self._reading() as connection:
            row = connection.execute(_STORED.where(EVENTS.c.position == position)).one_or_none()
        return None if row is None else self._stored(row)

    def _stored(self, row: Any) -> Stored:
        return Stored(_decoded(row.position, row.body), row.appended_utc_ns, row.boot == self._boot)

    # --- outputs -----------------------------------------------------------------------------------------------

    @cached_property
    def outputs(self) -> Deliveries:
        """What became of the events at each output, in a file next to the log. Raises `StoreError`."""
        return Deliveries(self.path.with_name(OUTPUTS_DATABASE))

    def register_outputs(self, outputs: Sequence[str]) -> None:
        """Say which outputs are configured: from now on each is owed every event. Does not wait for the log's lock.

        Call it before the first event is appended. A new one starts with the next event, not with a flood of history.
        What this costs of what was owed is logged.
        """
        self.outputs.register(outputs, self).log(self.path)

    def extent(self) -> tuple[int, int]:
        """The positions of the first event that the log holds, and of the last one that it ever held."""
        with self._reading() as connection:
            first, end = _first(connection), _end(connection)
        return end + 1 if first is None else first, end

    def whole_after(self, cursor: int) -> int:
        """The lowest position, not below this one, behind which no event has been pruned."""
        before = func.lag(EVENTS.c.position, 1, cursor).over(order_by=EVENTS.c.position).label("before")
        rows = select(EVENTS.c.position, before).where(EVENTS.c.position > cursor).subquery()
        behind_gap = select(func.max(rows.c.position)).where(rows.c.position > rows.c.before + 1)
        with self._reading() as connection:
            last = connection.execute(select(func.max(EVENTS.c.position))).scalar_one() or 0
            if last < _end(connection):
                return max(cursor, _end(connection))
            found: int | None = connection.execute(behind_gap).scalar_one()
        return cursor if found is None else found - 1

    def dead_letters(self, output: str) -> list[tuple[DeadLetter, str]]:
        """The dead letters of this output with the keys of their events, oldest first."""
        letters = self.outputs.dead_letters(output)
        query = select(EVENTS.c.position, EVENTS.c.key).where(_in(EVENTS.c.position, [x.position for x in letters]))
        with self._reading() as connection:
            keys = {row.position: row.key for row in connection.execute(query)}
        return [(letter, keys[letter.position]) for letter in letters if letter.position in keys]

    def backlog(self, output: str, unwanted: Collection[Verdict] = ()) -> Backlog:
        """What waits for this output, without the parts whose verdict it does not want.

        The cost does not grow with it, but for a look into an index for each part that is not wanted.
        """
        standing = self.outputs.standing(output)
        names = [str(verdict) for verdict in unwanted]
        not_wanted = and_(IS_PART, EVENTS.c.name.in_(names))
        oldest = (
            select(EVENTS.c.appended_utc_ns)
            .where(EVENTS.c.position > standing.cursor, *([not_(not_wanted)] if names else []))
            .order_by(EVENTS.c.position)
            .limit(1)
        )
        passed_over = select(func.count()).where(not_wanted, EVENTS.c.position > standing.cursor)
        with self._reading() as connection:
            # Positions have no gaps behind a cursor: only what is settled is pruned. Counting rows would read them.
            waiting = _end(connection) - standing.cursor - standing.settled_above
            if names:
                waiting -= connection.execute(passed_over).scalar_one()
            return Backlog(max(0, waiting) + standing.queued_again, connection.execute(oldest).scalar_one_or_none())

    # --- housekeeping ------------------------------------------------------------------------------------------

    def prune(self, older_than_utc_ns: int) -> int:
        """Remove events appended before that time, the oldest first and `PRUNE_ROWS` at most; says how many.

        Kept, however old: open events, and what a configured output has not settled (dead letters included). The cost
        does not grow with the log: only the first `PRUNE_ROWS` that may go are looked through. So where the clock was
        set back, an old event with as many younger ones before it stays until some of these are old enough.
        The counters of sessions that never come back go as well.
        """
        limit, kept = self.outputs.owed()
        done_with = select(EVENTS.c.position, EVENTS.c.appended_utc_ns).where(
            ~EVENTS.c.is_open, ~_in(EVENTS.c.position, kept)
        )
        if limit is not None:
            done_with = done_with.where(EVENTS.c.position <= limit)
        with self._writing("prune") as connection:
            oldest = connection.execute(done_with.order_by(EVENTS.c.position).limit(PRUNE_ROWS))
            positions = [row.position for row in oldest if row.appended_utc_ns < older_than_utc_ns]
            if positions:
                connection.execute(delete(EVENTS).where(EVENTS.c.position.in_(positions)))
            connection.exec_driver_sql(_PRUNE_COUNTERS)
        return len(positions)

    def _readable(self, query: Select[tuple[int, bytes]]) -> list[tuple[int, Event]]:
        """The (position, body) rows of a query as events, without those of a version not understood."""
        found = []
        with self._reading() as connection:
            for row in connection.execute(query):
                with suppress(UnreadableEventError):
                    found.append((row.position, _decoded(row.position, row.body)))
        return found

    def _move_outputs(self, connection: Connection) -> None:
        """Hand over to `outputs` what a log of an older version holds of them; the migration then removes it here.

        Where we are killed in between, the next start does it again. Deliveries are behind the cursors: they stay.
        """
        if _has_table(connection, "outputs"):
            self.outputs.adopt(
                connection.execute(text("SELECT output, position, is_active FROM outputs")),
                connection.execute(text("SELECT output, position, utc_ns, reason FROM dead_letters")),
            )


def _decoded(position: int, body: bytes) -> Event:
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise UnreadableEventError(position, str(error)) from error


def _first(connection: Connection) -> int | None:
    first: int | None = connection.execute(select(func.min(EVENTS.c.position))).scalar_one()
    return first


def _end(connection: Connection) -> int:
    """The last position given, also where its event has been pruned."""
    return connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = 'events'")).scalar() or 0


def _has_table(connection: Connection, name: str) -> bool:
    return inspect(connection).has_table(name)


def _in(column: Column[int], positions: Sequence[int]) -> ColumnElement[bool]:
    """Any number of positions as one value: SQLite limits how many values a statement can have."""
    return column.in_(text("SELECT value FROM json_each(:positions)").bindparams(positions=json.dumps(positions)))


def counter_of(of: Event) -> tuple[tuple[str, int, str], int]:
    """What counts an event, (camera, session, name) or (line, run, "PART"), and its n there.

    They are read from the id `camera-session-name-n`, where camera and name may hold dashes themselves. Raises
    ValueError where its id or key is not made of its fields.
    """
    whose, name = counted_as(of)
    head, tail = f"{whose}-", f"-{name}-"
    session, found, n = of.id.removeprefix(head).partition(tail)
    if not (of.id.startswith(head) and found and session.isdecimal() and n.isdecimal()):
        raise ValueError(f"event id {of.id!r} is not camera-session-name-n of {whose!r} and {name!r}")
    if of.key != f"{of.id}:{of.state}":
        raise ValueError(f"event key {of.key!r} is not the id {of.id!r} and the state {of.state.value!r}")
    return (whose, int(session), name), int(n)
