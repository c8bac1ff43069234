"""How many parts passed, failed and were undecided, by lane, lot and shift: a file in the state folder.

A row is one stretch of a line's run: the parts of one lane, lot and shift, from the first of them on. It is written
whole, with what it holds by then, so that writing it again, after a kill or a full disk, counts nothing twice.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Row, String, Table, select
from sqlalchemy.dialects.sqlite import insert

from stream_inspect.log import get_logger
from stream_inspect.messages import Reason
from stream_inspect.store.database import Database, StoreError

EVERY_S = 5.0
"""A power cut costs what was counted since. A kill costs nothing: the next process writes it."""
MOST_WAITING = 10_000
"""Rows that wait in memory while the file cannot be written."""

METADATA = MetaData()

COUNTS = Table(
    "counts",
    METADATA,
    Column("line", String, primary_key=True),
    Column("run", BigInteger, primary_key=True),
    Column("first_part", BigInteger, primary_key=True),  # a part is counted in one row
    Column("lane", Integer, nullable=False),
    Column("lot", String, nullable=False),
    Column("shift_utc_s", BigInteger, nullable=False),  # when it began
    Column("entered", BigInteger, nullable=False),
    Column("passed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("undecided_by", LargeBinary, nullable=False),  # reason -> parts, as JSON
    Column("late_defects", BigInteger, nullable=False),
    Column("escapes", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE counts (
            line VARCHAR NOT NULL,
            run BIGINT NOT NULL,
            first_part BIGINT NOT NULL,
            lane INTEGER NOT NULL,
            lot VARCHAR NOT NULL,
            shift_utc_s BIGINT NOT NULL,
            entered BIGINT NOT NULL,
            passed BIGINT NOT NULL,
            failed BIGINT NOT NULL,
            undecided_by BLOB NOT NULL,
            late_defects BIGINT NOT NULL,
            escapes BIGINT NOT NULL,
            PRIMARY KEY (line, run, first_part)
        ) WITHOUT ROWID
        """,
    ),
)


class PartCount(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The parts of one row. `late_defects` had a defect confirmed after another verdict, `escapes` after PASS."""

    line: str
    run: int
    first_part: int
    lane: int
    lot: str
    shift_utc_s: int
    entered: int = 0
    passed: int = 0
    failed: int = 0
    undecided_by: dict[Reason, int] = {}
    late_defects: int = 0
    escapes: int = 0

    @property
    def undecided(self) -> int:
        """Parts without a judgement, for whatever reason."""
        return sum(self.undecided_by.values())

    @property
    def on_belt(self) -> int:
        """Parts that have entered and have no verdict; of an earlier run, those that a power cut left without one."""
        return self.entered - self.passed - self.failed - self.undecided

    @property
    def key(self) -> tuple[str, int, int]:
        """No two rows have the same."""
        return self.line, self.run, self.first_part


class PartCountStore(Database):
    """The file at `path`."""

    def __init__(self, path: Path) -> None:
        """Open it, creating it if need be. Raises `StoreError`."""
        super().__init__(
            path,
            "count of parts",
            MIGRATIONS,
            if_damaged="Move that file away: counting begins again with the next start. Events and verdicts are not "
            "affected.",
        )

    def write(self, counts: Sequence[PartCount]) -> None:
        """Write these rows as they stand, in place of what they held before. On disk when this returns."""
        rows = [
            {**msgspec.structs.asdict(count), "undecided_by": msgspec.json.encode(count.undecided_by)}
            for count in counts
        ]
        if not rows:
            return
        added = insert(COUNTS)
        changing = {column.name: added.excluded[column.name] for column in COUNTS.columns if not column.primary_key}
        with self._writing() as connection:
            connection.execute(added.on_conflict_do_update(index_elements=COUNTS.primary_key, set_=changing), rows)

    def read(self, since_utc_s: float | None = None, until_utc_s: float | None = None) -> list[PartCount]:
        """The rows of the shifts that began in this time, by line, shift and the order in which they were begun."""
        query = select(COUNTS).order_by(COUNTS.c.line, COUNTS.c.shift_utc_s, COUNTS.c.run, COUNTS.c.first_part)
        if since_utc_s is not None:
            query = query.where(COUNTS.c.shift_utc_s >= since_utc_s)
        if until_utc_s is not None:
            query = query.where(COUNTS.c.shift_utc_s < until_utc_s)
        with self._reading() as connection:
            return [_count(row) for row in connection.execute(query)]


def _count(row: Row[Any]) -> PartCount:
    undecided_by = msgspec.json.decode(row.undecided_by, type=dict[Reason, int])
    return PartCount(**{**row._mapping, "undecided_by": undecided_by})


class PartCountWriter:
    """Writes rows from a thread of its own: what counts never waits for a disk."""

    def __init__(self, path: Path, every_s: float = EVERY_S) -> None:
        self._path, self._every_s = path, every_s
        self._store: PartCountStore | None = None
        self._waiting: dict[tuple[str, int, int], PartCount] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._fails = False
        self._log = get_logger(__name__)
        # A daemon: a disk that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="part-counts", daemon=True)
        self._thread.start()

    def put(self, counts: Sequence[PartCount]) -> None:
        """Take these rows as they stand; one that is given again replaces what was given before."""
        with self._changed:
            self._waiting |= {count.key: count for count in counts}
            while len(self._waiting) > MOST_WAITING:
                del self._waiting[next(iter(self._waiting))]

    def finish(self) -> None:
        """Begin to write what waits, and to stop. Does not wait for it."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def close(self, timeout_s: float) -> None:
        """Write what waits, within that time, and stop. Never raises."""
        self.finish()
        self._thread.join(timeout_s)
        with self._changed:
            if self._waiting:
                self._log.warning("counts of parts not written", rows=len(self._waiting), path=str(self._path))

    def _run(self) -> None:
        with suppress(StoreError):  # reported when there is something to write
            self._store = PartCountStore(self._path)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, self._every_s)
                is_last, counts = self._stopping, dict(self._waiting)
            self._write(counts)
            if is_last:
                break
        if self._store is not None:
            self._store.close()

    def _write(self, counts: dict[tuple[str, int, int], PartCount]) -> None:
        if not counts:
            return
        try:
            if self._store is None:
                self._store = PartCountStore(self._path)
            self._store.write(list(counts.values()))
        except StoreError as error:
            if not self._fails:
                self._log.error("cannot write the counts of parts; they wait in memory", error=str(error))
            self._fails = True
            return
        if self._fails:
            self._log.info("counts of parts writable again", rows=len(counts))
        self._fails = False
        with self._changed:
            self._waiting = {key: count for key, count in self._waiting.items() if counts.get(key) is not count}
