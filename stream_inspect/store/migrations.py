"""How a file of any older version is brought up to the newest one.

The version of a file is SQLite's `PRAGMA user_version`. A migration is a list of SQL statements that is never changed
once released; version n is reached by the first n of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection


class NewerSchemaError(Exception):
    """The file was written by a newer version of this program; nothing has been touched."""


def is_current(connection: Connection, migrations: Sequence[Sequence[str]]) -> bool:
    """Whether the file needs no migration."""
    return _version(connection) == len(migrations)


def migrate(connection: Connection, migrations: Sequence[Sequence[str]]) -> None:
    """Bring the file up to the newest version, inside the caller's transaction. Raises `NewerSchemaError`."""
    version = _version(connection)
    if version > len(migrations):
        raise NewerSchemaError(f"it has schema version {version}, this program knows versions up to {len(migrations)}")
    for statements in migrations[version:]:
        for statement in statements:
            connection.exec_driver_sql(statement)
    if version < len(migrations):
        connection.exec_driver_sql(f"PRAGMA user_version = {len(migrations)}")


def _version(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
