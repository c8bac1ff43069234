"""An SQLite file as the stores use it: created, migrated, shared by any number of processes, explained when it fails.

Readers never wait (WAL), writers take turns, and what a transaction has written is on disk when it returns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tenacity
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from stream_inspect.errors import StreamInspectError
from stream_inspect.store.durable import sync_folder
from stream_inspect.store.migrations import NewerSchemaError, is_current, migrate
from stream_inspect.store.room import is_full

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for its turn. Transactions here take milliseconds."""


class StoreError(StreamInspectError):
    """The file could not do what was asked; nothing of the call has been written. The text says what to do."""


class Database:
    """The file at `path`, which people know as `name`. Usable from several threads."""

    def __init__(
        self,
        path: Path,
        name: str,
        migrations: Sequence[Sequence[str]],
        before_migration: Callable[[Connection], None] = lambda _: None,
        *,
        if_damaged: str,
    ) -> None:
        """Open the file, creating it (and its folder) and migrating it if need be. Raises `StoreError`.

        `before_migration` is called within the transaction that brings an older file up to date. `if_damaged`: what to
        do about a file that SQLite cannot read, and what that costs.
        """
        self.path = path
        self._name = name
        self._if_damaged = if_damaged
        self._engine = _engine(path)
        self._writer = self._engine.execution_options(write=True)
        with self._explained("open"):
            path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not path.exists()
            self._migrate(migrations, before_migration)
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
    def _migrate(self, migrations: Sequence[Sequence[str]], before: Callable[[Connection], None]) -> None:
        # Opening a file that is up to date must not wait for its lock: a restart would wait with it.
        with self._engine.connect() as connection:
            if is_current(connection, migrations):
                return
        with self._writer.begin() as connection:
            if not is_current(connection, migrations):  # another process may have been quicker
                before(connection)
                migrate(connection, migrations)

    def close(self) -> None:
        """Close the file. Never raises."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._explained("read"), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self, doing: str = "write to") -> Iterator[Connection]:
        with self._explained(doing), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn the many ways in which a database can fail into a `StoreError` that says what to do."""
        try:
            yield
        except NewerSchemaError as error:
            raise StoreError(
                f"the {self._name} {self.path} was made by a newer stream_inspect: {error}. "
                "Run that version, or choose another state_dir; the file has not been touched."
            ) from error
        except (DBAPIError, sqlite3.Error, OSError) as error:
            cause = str(error.orig) if isinstance(error, DBAPIError) else str(error)
            if "disk I/O error" in cause and is_full(self.path.parent):  # what SQLite says where it cannot make a file
                cause = f"{cause}, disk is full"
            raise StoreError(f"cannot {doing} the {self._name} {self.path}: {cause}. {self._advice(cause)}") from error

    def _advice(self, cause: str) -> str:
        if any(part in cause for part in _DAMAGED):
            return self._if_damaged
        for part, advice in _ADVICE.items():
            if part in cause:
                return advice
        return "Check the disk that holds state_dir (dmesg, smartctl)."


_DAMAGED = ("not a database", "malformed")

_ADVICE = {
    "disk is full": "Free some space; writing resumes when there is enough.",
    "readonly": "The service's user must own state_dir and the files in it.",
    "unable to open": "The folder must exist and the service's user must be able to write to it.",
    "Permission denied": "The service's user must own state_dir and the files in it.",
    "locked": f"Another process has locked it for more than {BUSY_TIMEOUT_S:.0f} s; is it open in another program?",
}


def _engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own habit of beginning transactions late would let two writers deadlock: we begin them.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        # The default of 2 MB a connection fills over an hour and looks like a leak; the system caches the file anyway.
        connection.execute("PRAGMA cache_size = -256")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
