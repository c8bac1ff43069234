"""The tables of the record of deliveries, and the migrations that bring a file of any older version up to them."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TextClause,
    and_,
    func,
    select,
    text,
)


class Settled(StrEnum):
    """How an event ended at an output, or that it is queued once more."""

    DELIVERED = "delivered"
    REJECTED = "rejected"  # the receiver will not accept it
    FAILED = "failed"  # the receiver failed on it again and again, and accepted others meanwhile
    EXPIRED = "expired"  # older than the output wants events
    QUEUED_AGAIN = "queued_again"  # was a dead letter; a person wants it sent


DEAD = (Settled.REJECTED, Settled.FAILED)
OWED = (*DEAD, Settled.QUEUED_AGAIN)
"""The event itself is still needed."""

IS_OWED = text("settled IN ('rejected', 'failed', 'queued_again')")
"""Spelled out as in the partial index: SQLite uses it for exactly these words."""

METADATA = MetaData()

OUTPUTS = Table(
    "outputs",
    METADATA,
    Column("output", String, primary_key=True),
    Column("position", Integer, nullable=False),  # the cursor: everything up to here is settled
    Column("is_active", Boolean, nullable=False),  # configured: what it is owed is never pruned
    sqlite_with_rowid=False,
)

LOG = Table(
    "log",  # one row, from the first registration on
    METADATA,
    Column("identity", String, primary_key=True),  # of the event log whose positions these are
    sqlite_with_rowid=False,
)

OUTCOMES = Table(
    "outcomes",
    METADATA,
    Column("output", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("settled", String, nullable=False),
    Column("utc_ns", BigInteger, nullable=False),
    Column("latency_s", Float),
    Column("reason", String, nullable=False),
    Index("outcomes_owed", "output", "position", sqlite_where=IS_OWED),
    sqlite_with_rowid=False,
)

IS_QUEUED_AGAIN = and_(IS_OWED, OUTCOMES.c.settled == Settled.QUEUED_AGAIN)


def count_outcomes(connection: Connection, *these: ColumnElement[bool] | TextClause) -> int:
    """How many outcomes fulfil all of these."""
    return connection.execute(select(func.count()).select_from(OUTCOMES).where(*these)).scalar_one()


MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE outputs (
            output VARCHAR NOT NULL PRIMARY KEY,
            position INTEGER NOT NULL,
            is_active BOOLEAN NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE outcomes (
            output VARCHAR NOT NULL,
            position INTEGER NOT NULL,
            settled VARCHAR NOT NULL,
            utc_ns BIGINT NOT NULL,
            latency_s FLOAT,
            reason VARCHAR NOT NULL,
            PRIMARY KEY (output, position)
        ) WITHOUT ROWID
        """,
        """
        CREATE INDEX outcomes_owed ON outcomes (output, position)
        WHERE settled IN ('rejected', 'failed', 'queued_again')
        """,
    ),
    ("CREATE TABLE log (identity VARCHAR NOT NULL PRIMARY KEY) WITHOUT ROWID",),
)
