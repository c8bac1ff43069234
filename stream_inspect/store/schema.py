"""The tables of the event log, and the migrations that bring a file of any older version up to them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    text,
)

METADATA = MetaData()

IS_PART, IS_NO_PART = text("kind = 'part'"), text("kind != 'part'")
"""Spelled out as in the partial indexes: SQLite uses them for exactly these words."""

EVENTS = Table(
    "events",
    METADATA,
    # Given in order of commit and never again, so that a cursor is one number.
    Column("position", Integer, primary_key=True),
    Column("key", String, nullable=False, unique=True),
    Column("event_id", String, nullable=False),
    Column("line", String, nullable=False),
    Column("camera", String, nullable=False),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),
    Column("utc_ns", BigInteger, nullable=False),  # last seen
    Column("appended_utc_ns", BigInteger, nullable=False),
    Column("boot", String, nullable=False),  # which boot of the host its monotonic times belong to
    Column("is_open", Boolean, nullable=False),  # confirmed and not cleared yet
    Column("body", LargeBinary, nullable=False),  # the whole event as JSON
    Index("events_of_camera", "camera", "name", "position"),
    Index("events_of_line", "line", "position"),
    Index("events_by_time", "utc_ns"),
    Index("events_by_id", "event_id"),
    Index("events_open", "position", sqlite_where=text("is_open")),
    Index("events_without_parts", "position", sqlite_where=IS_NO_PART),
    Index("parts_by_verdict", "name", "position", sqlite_where=IS_PART),
    sqlite_autoincrement=True,
)

LOG = Table(
    "log",  # one row
    METADATA,
    Column("identity", String, primary_key=True),  # random, made with this table: part of every key that is sent
    sqlite_with_rowid=False,
)

COUNTERS = Table(
    "counters",  # the n of event ids: outlives the events, so that pruning never makes an id twice
    METADATA,
    Column("camera", String, primary_key=True),
    Column("session", BigInteger, primary_key=True),
    Column("name", String, primary_key=True),
    Column("last_n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE events (
            position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            "key" VARCHAR NOT NULL UNIQUE,
            event_id VARCHAR NOT NULL,
            line VARCHAR NOT NULL,
            camera VARCHAR NOT NULL,
            name VARCHAR NOT NULL,
            kind VARCHAR NOT NULL,
            state VARCHAR NOT NULL,
            utc_ns BIGINT NOT NULL,
            appended_utc_ns BIGINT NOT NULL,
            boot VARCHAR NOT NULL,
            is_open BOOLEAN NOT NULL,
            body BLOB NOT NULL
        )
        """,
        "CREATE INDEX events_of_camera ON events (camera, name, position)",
        "CREATE INDEX events_of_line ON events (line, position)",
        "CREATE INDEX events_by_time ON events (utc_ns)",
        "CREATE INDEX events_by_id ON events (event_id)",
        "CREATE INDEX events_open ON events (position) WHERE is_open",
        """
        CREATE TABLE counters (
            camera VARCHAR NOT NULL,
            session BIGINT NOT NULL,
            name VARCHAR NOT NULL,
            last_n BIGINT NOT NULL,
            PRIMARY KEY (camera, session, name)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE outputs (
            output VARCHAR NOT NULL PRIMARY KEY,
            position INTEGER NOT NULL,
            is_active BOOLEAN NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE deliveries (
            output VARCHAR NOT NULL,
            position INTEGER NOT NULL,
            sent_mono_ns BIGINT NOT NULL,
            latency_s FLOAT,
            PRIMARY KEY (output, position)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE dead_letters (
            output VARCHAR NOT NULL,
            position INTEGER NOT NULL,
            utc_ns BIGINT NOT NULL,
            reason VARCHAR NOT NULL,
            PRIMARY KEY (output, position)
        ) WITHOUT ROWID
        """,
    ),
    (
        "CREATE TABLE log (identity VARCHAR NOT NULL PRIMARY KEY) WITHOUT ROWID",
        "INSERT INTO log VALUES (lower(hex(randomblob(8))))",
    ),
    # The outputs have a file of their own now, which takes these over first (`events.py`).
    ("DROP TABLE deliveries", "DROP TABLE dead_letters", "DROP TABLE outputs"),
    (
        "CREATE INDEX events_without_parts ON events (position) WHERE kind != 'part'",
        "CREATE INDEX parts_by_verdict ON events (name, position) WHERE kind = 'part'",
    ),
)
