"""What became of each event at each output: a file next to the event log, so that outputs never wait for its lock.

An output has a cursor: everything up to it is settled, that is delivered, rejected or expired. Where an event fails,
others are settled before it; each of these has a row of its own above the cursor, so that a restart repeats none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from stream_inspect.store.database import Database, StoreError
from stream_inspect.store.deliveries_schema import (
    DEAD,
    IS_OWED,
    IS_QUEUED_AGAIN,
    MIGRATIONS,
    OUTCOMES,
    OUTPUTS,
    OWED,
    Settled,
    count_outcomes,
)
from stream_inspect.store.registration import LogView, Registration, apply, plan

LATENCIES_KEPT = 10_000
"""A delivered event below the cursor needs no row; so many of an output keep theirs for its latency."""

_REMOVED_AT_ONCE = 100
"""Positions, so that not each delivery has to remove a row."""

_IF_DAMAGED = (
    "Keep a copy and repair it (sqlite3 FILE .recover). The service starts without that file too, but then the events "
    "that wait for outputs now are not sent, and the dead letters are forgotten."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the event at `position`; `latency_s` from the capture of its frame to its acknowledgement."""

    position: int
    settled: Settled
    latency_s: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that an output rejected or failed on, and why."""

    position: int
    utc_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an output stands: its cursor, how many events above it are settled, how many are queued once more."""

    cursor: int
    settled_above: int
    queued_again: int


class Deliveries(Database):
    """The record of deliveries at `path`."""

    def __init__(self, path: Path) -> None:
        """Open it, creating it if need be. Raises `StoreError`."""
        # SQLite's waiting for the lock is unfair and polls; the threads of one process take turns without it.
        self._turn = threading.Lock()
        super().__init__(path, "record of deliveries", MIGRATIONS, if_damaged=_IF_DAMAGED)

    # --- outputs -----------------------------------------------------------------------------------------------

    def register(self, outputs: Sequence[str], log: LogView) -> Registration:
        """Say which outputs are configured, and of which log the positions are; returns what was new about it.

        A start that changes nothing does not wait for the lock of this file.
        """
        with self._reading() as connection:
            planned = plan(connection, outputs, log)
        if planned.changes:
            with self._writing() as connection:
                planned = plan(connection, outputs, log)
                apply(connection, planned)
        return planned

    def adopt(self, outputs: Iterable[Any], dead_letters: Iterable[Any]) -> None:
        """Take over the rows of an event log that kept them itself. Doing so again changes nothing."""
        rows = [dict(row._mapping) for row in outputs]
        dead = [{**row._mapping, "settled": Settled.REJECTED} for row in dead_letters]
        with self._writing() as connection:
            if rows:
                connection.execute(insert(OUTPUTS).on_conflict_do_nothing(), rows)
            if dead:
                connection.execute(insert(OUTCOMES).on_conflict_do_nothing(), dead)

    def cursor(self, output: str) -> int:
        """The position up to which everything is settled. Raises `StoreError` for an unknown output."""
        return self.standing(output).cursor

    def standing(self, output: str) -> Standing:
        """Where this output stands. Costs what few events are settled above the cursor, however long the backlog."""
        of_this = OUTCOMES.c.output == output
        with self._reading() as connection:
            cursor = connection.execute(select(OUTPUTS.c.position).where(OUTPUTS.c.output == output)).scalar()
            if cursor is None:
                raise StoreError(f"no output {output!r} is registered in the {self._name} {self.path}")
            above = count_outcomes(connection, of_this, OUTCOMES.c.position > cursor)
            return Standing(cursor, above, count_outcomes(connection, of_this, IS_QUEUED_AGAIN))

    def settled_above(self, output: str, position: int) -> set[int]:
        """The positions behind this one that are settled."""
        query = select(OUTCOMES.c.position).where(OUTCOMES.c.output == output, OUTCOMES.c.position > position)
        with self._reading() as connection:
            return set(connection.execute(query).scalars())

    def settle(self, output: str, outcomes: Sequence[Outcome], cursor: int) -> None:
        """Record what became of these events, and that everything up to `cursor` is settled: all of it, or nothing."""
        with self._turn, self._writing() as connection:
            for outcome in outcomes:
                _record(connection, output, outcome, cursor)
            _advance(connection, output, cursor)

    def settled(self, output: str, position: int) -> Settled | None:
        """How this event ended; None while it is queued, and when it was delivered long ago."""
        query = select(OUTCOMES.c.settled).where(OUTCOMES.c.output == output, OUTCOMES.c.position == position)
        with self._reading() as connection:
            found = connection.execute(query).scalar_one_or_none()
        return None if found is None else Settled(found)

    # --- dead letters ------------------------------------------------------------------------------------------

    def dead_letters(self, output: str) -> list[DeadLetter]:
        """What this output rejected or failed on, oldest first."""
        query = select(OUTCOMES.c.position, OUTCOMES.c.utc_ns, OUTCOMES.c.reason).where(
            OUTCOMES.c.output == output, IS_OWED, OUTCOMES.c.settled != Settled.QUEUED_AGAIN
        )
        with self._reading() as connection:
            return [DeadLetter(*row) for row in connection.execute(query.order_by(OUTCOMES.c.position))]

    def dead_letters_since(self, output: str, utc_ns: int) -> tuple[int, str]:
        """How many events became dead letters of this output since then, and the reason of the last of them."""
        these = (OUTCOMES.c.output == output, IS_OWED, OUTCOMES.c.settled.in_(DEAD), OUTCOMES.c.utc_ns >= utc_ns)
        last = select(OUTCOMES.c.reason).where(*these).order_by(OUTCOMES.c.utc_ns.desc()).limit(1)
        with self._reading() as connection:
            return count_outcomes(connection, *these), connection.execute(last).scalar_one_or_none() or ""

    def queue_again(self, output: str) -> int:
        """Queue all dead letters of this output once more; returns how many."""
        these = update(OUTCOMES).where(OUTCOMES.c.output == output, OUTCOMES.c.settled.in_(DEAD))
        with self._writing() as connection:
            return connection.execute(these.values(settled=Settled.QUEUED_AGAIN)).rowcount

    def queued_again(self, output: str) -> list[int]:
        """The positions of the dead letters that are queued once more."""
        query = select(OUTCOMES.c.position).where(OUTCOMES.c.output == output, IS_QUEUED_AGAIN)
        with self._reading() as connection:
            return list(connection.execute(query.order_by(OUTCOMES.c.position)).scalars())

    # --- statistics and pruning --------------------------------------------------------------------------------

    def latencies_s(self, output: str) -> list[float]:
        """Seconds from the capture of each confirming frame to its alert's acknowledgement, oldest event first."""
        query = (
            select(OUTCOMES.c.latency_s)
            .where(OUTCOMES.c.output == output, OUTCOMES.c.latency_s.is_not(None))
            .order_by(OUTCOMES.c.position)
        )
        with self._reading() as connection:
            return list(connection.execute(query).scalars())

    def owed(self) -> tuple[int | None, list[int]]:
        """What must not be pruned: everything behind the first, where there is one, and the events at the second."""
        active = select(OUTPUTS.c.output).where(OUTPUTS.c.is_active)
        lowest = select(func.min(OUTPUTS.c.position)).where(OUTPUTS.c.is_active)
        kept = select(OUTCOMES.c.position).where(OUTCOMES.c.output.in_(active), IS_OWED).distinct()
        with self._reading() as connection:
            return connection.execute(lowest).scalar(), list(connection.execute(kept).scalars())


def _record(connection: Connection, output: str, outcome: Outcome, cursor: int) -> None:
    is_done = outcome.settled in (Settled.DELIVERED, Settled.EXPIRED)
    if is_done and outcome.position <= cursor - LATENCIES_KEPT:  # was queued once more
        connection.execute(delete(OUTCOMES).where(OUTCOMES.c.output == output, OUTCOMES.c.position == outcome.position))
        return
    row = {
        "settled": outcome.settled,
        "utc_ns": time.time_ns(),
        "latency_s": outcome.latency_s,
        "reason": outcome.reason,
    }
    connection.execute(
        insert(OUTCOMES)
        .values(output=output, position=outcome.position, **row)
        .on_conflict_do_update(index_elements=["output", "position"], set_=row)
    )


def _advance(connection: Connection, output: str, cursor: int) -> None:
    """Move the cursor, never back, and remove the rows that nothing needs any more: those far below it."""
    before = connection.execute(select(OUTPUTS.c.position).where(OUTPUTS.c.output == output)).scalar_one()
    if cursor <= before:
        return
    connection.execute(update(OUTPUTS).where(OUTPUTS.c.output == output).values(position=cursor))
    if before // _REMOVED_AT_ONCE == cursor // _REMOVED_AT_ONCE:
        return
    connection.execute(
        delete(OUTCOMES).where(
            OUTCOMES.c.output == output,
            OUTCOMES.c.position > before - LATENCIES_KEPT - _REMOVED_AT_ONCE,
            OUTCOMES.c.position <= cursor - LATENCIES_KEPT,
            OUTCOMES.c.settled.not_in(OWED),
        )
    )
