"""The counts by lot and shift: durable, continued, never in the way of the line."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
import sqlalchemy
from structlog.testing import capture_logs

from stream_inspect.messages import Reason
from stream_inspect.store.database import StoreError
from stream_inspect.store.part_counts import METADATA, MOST_WAITING, PartCount, PartCountStore, PartCountWriter
from tests.alerts.receivers import wait_until


def a_count(first_part: int = 1, **more) -> PartCount:
    place = {"line": "line1", "run": 1, "lane": 0, "lot": "A", "shift_utc_s": 1000}
    return PartCount(**{**place, "first_part": first_part, "entered": 1, **more})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "parts.sqlite"


def test_a_row_that_is_written_again_is_replaced_and_not_added_to(path: Path) -> None:
    store = PartCountStore(path)
    store.write([a_count(1), a_count(2, run=2)])
    last = a_count(1, entered=5, passed=2, failed=1, undecided_by={Reason.NOT_JUDGED: 1}, late_defects=1, escapes=1)
    store.write([last])
    store.write([last])
    assert store.read() == [last, a_count(2, run=2)]
    assert (last.undecided, last.on_belt) == (1, 1)
    store.close()


def test_the_rows_of_a_time_are_those_whose_shift_began_in_it(path: Path) -> None:
    store = PartCountStore(path)
    store.write([a_count(n, shift_utc_s=n) for n in (1, 2, 3)])
    assert [count.shift_utc_s for count in store.read(since_utc_s=2)] == [2, 3]
    assert [count.shift_utc_s for count in store.read(until_utc_s=2)] == [1]
    store.close()


def test_the_migrations_make_what_the_program_declares(path: Path) -> None:
    PartCountStore(path).close()
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    for name, table in METADATA.tables.items():
        columns = {one["name"]: str(one["type"]) for one in sqlalchemy.inspect(engine).get_columns(name)}
        assert columns == {one.name: str(one.type) for one in table.columns}
    engine.dispose()


def test_a_writer_writes_what_changed_last_and_the_rest_at_its_end(path: Path) -> None:
    writer = PartCountWriter(path, every_s=0.05)
    writer.put([a_count(entered=1)])
    writer.put([a_count(entered=2)])
    store = PartCountStore(path)
    assert wait_until(lambda: store.read() == [a_count(entered=2)], 5)
    slow = PartCountWriter(path, every_s=60)
    slow.put([a_count(2)])
    for one in (writer, slow):
        one.close(5)
    assert store.read() == [a_count(entered=2), a_count(2)]
    store.close()


def test_while_the_file_is_locked_nothing_waits_for_it_and_then_all_is_written(path: Path) -> None:
    PartCountStore(path).close()
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    writer = PartCountWriter(path, every_s=0.01)
    began_s = time.monotonic()
    for n in range(1, 101):
        writer.put([a_count(n)])
    assert time.monotonic() - began_s < 0.5
    lock.execute("COMMIT")
    lock.close()
    store = PartCountStore(path)
    assert wait_until(lambda: len(store.read()) == 100, 10)
    writer.close(5)
    store.close()


def test_a_file_that_cannot_be_made_is_reported_once_and_what_waits_is_bounded(path: Path) -> None:
    path.mkdir()
    with capture_logs() as logs:
        writer = PartCountWriter(path, every_s=0.01)
        writer.put([a_count(n) for n in range(MOST_WAITING + 10)])
        assert wait_until(lambda: bool(logs), 5)
        time.sleep(0.1)
        assert [line["event"] for line in logs] == ["cannot write the counts of parts; they wait in memory"]
        path.rmdir()
        assert wait_until(lambda: len(logs) == 2, 10)
        writer.close(5)
    assert logs[1]["rows"] == MOST_WAITING
    store = PartCountStore(path)
    assert len(store.read()) == MOST_WAITING
    store.close()


def test_a_file_of_a_newer_version_is_refused_untouched(path: Path) -> None:
    PartCountStore(path).close()
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(StoreError, match="newer stream_inspect"):
        PartCountStore(path)
