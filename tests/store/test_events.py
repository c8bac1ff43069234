"""The event log: durable, shared, versioned, and clear about what is wrong with it."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import sqlalchemy
from sqlalchemy import Engine, create_engine, inspect
from structlog.testing import capture_logs

from stream_inspect import metrics
from stream_inspect.messages import EventState, Verdict
from stream_inspect.store import migrations, schema
from stream_inspect.store.database import StoreError
from stream_inspect.store.deliveries import Outcome
from stream_inspect.store.deliveries_schema import Settled
from stream_inspect.store.events import SESSIONS_KEPT, EventStore, UnreadableEventError
from tests.alerts.events import a_part, an_event


@contextmanager
def listening(moment: str, listener: Callable[..., None]) -> Iterator[None]:
    """Look into (or spoil) every database connection that is made meanwhile."""
    sqlalchemy.event.listen(Engine, moment, listener)
    try:
        yield
    finally:
        sqlalchemy.event.remove(Engine, moment, listener)


def steps(store: EventStore, call: Callable[[], object], at_once: int = 1) -> int:
    """How many steps SQLite's machine takes for it.

    A long call is not counted one by one, but `at_once`: each call back waits for the interpreter's lock, up to 5 ms
    where another thread computes.
    """
    count = 0

    def step() -> int:
        nonlocal count
        count += at_once
        return 0

    with store._engine.connect() as connection:
        raw = connection.connection.driver_connection
    raw.set_progress_handler(step, at_once)
    call()
    raw.set_progress_handler(None, 0)
    return count


def settle(store: EventStore, output: str, position: int, settled: Settled = Settled.DELIVERED) -> None:
    store.outputs.settle(output, [Outcome(position, settled)], cursor=position)


def keys(found: list) -> list[str]:
    return [event.key for _, event in found]


class TestAppend:
    def test_events_come_back_whole_and_in_order(self, store):
        events = [an_event(1), an_event(2, camera="cam-b"), an_event(3)]
        store.append(events[:2])
        store.append(events[2:])
        assert [event for _, event in store.after(0, 10)] == events

    def test_a_key_that_is_there_is_skipped(self, store):
        store.append([an_event(1), an_event(2)])
        store.append([an_event(2), an_event(3)])
        assert keys(store.after(0, 10)) == [an_event(n).key for n in (1, 2, 3)]

    def test_all_or_none(self, store):
        wrong = an_event(2, camera="cam2")
        wrong = type(wrong)(**{f: getattr(wrong, f) for f in wrong.__struct_fields__} | {"id": "cam2-x"})
        with pytest.raises(ValueError, match="cam2-x"):
            store.append([an_event(1), wrong])
        assert store.after(0, 10) == []

    def test_after_pages_through(self, store):
        store.append([an_event(n) for n in range(1, 8)])
        first = store.after(0, 3)
        second = store.after(first[-1][0], 10)
        assert keys(first + second) == [an_event(n).key for n in range(1, 8)]

    def test_recent_is_newest_first_and_pages_back(self, store):
        store.append([an_event(n) for n in range(1, 8)])
        first = store.recent(3)
        assert keys(first) == [an_event(n).key for n in (7, 6, 5)]
        assert keys(store.recent(3, before=first[-1][0])) == [an_event(n).key for n in (4, 3, 2)]

    def test_the_last_number_counts_per_camera_session_and_name(self, store):
        assert store.last_numbers() == {}
        store.append([an_event(3), an_event(2), an_event(9, session=2), an_event(5, name="dent")])
        assert store.last_numbers() == {
            ("cam1", 1, "scratch"): 3,
            ("cam1", 2, "scratch"): 9,
            ("cam1", 1, "dent"): 5,
        }

    def test_names_with_dashes_and_digits_do_not_confuse_the_count(self, store):
        store.append([an_event(4, camera="cam-1-2", name="dent-1-dent"), an_event(1, camera="", name="no-1-signal")])
        assert store.last_numbers() == {("cam-1-2", 1, "dent-1-dent"): 4, ("", 1, "no-1-signal"): 1}

    def test_open_events_are_confirmed_and_not_cleared(self, store):
        store.append([an_event(1), an_event(2), an_event(3)])
        store.append([an_event(2, state=EventState.CLEARED)])
        assert [event.id for event in store.open_events()] == ["cam1-1-scratch-1", "cam1-1-scratch-3"]

    def test_events_of_another_boot_are_known(self, store, path):
        store.append([an_event(1), an_event(2)])
        with sqlite3.connect(path) as file:
            file.execute("UPDATE events SET boot = 'another' WHERE position = 1")
        file.close()
        assert [store.at(position).is_of_this_boot for position in (1, 2)] == [False, True]

    def test_what_was_appended_survives_a_kill_at_once(self, path):
        script = (
            "import os, signal, sys; from pathlib import Path\n"
            "from stream_inspect.store.events import EventStore; from tests.alerts.events import a_part, an_event\n"
            "EventStore(Path(sys.argv[1])).append([an_event(n) for n in range(1, 51)])\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        subprocess.run([sys.executable, "-c", script, str(path)], cwd=Path(__file__).parents[2], check=False)
        store = EventStore(path)
        assert len(store.after(0, 100)) == 50
        store.close()


class TestAKeyThatIsThere:
    def test_of_the_same_event_is_skipped(self, store):
        """A kill between the log and its journal appends an event again."""
        event = an_event(1)
        with capture_logs() as logs:
            store.append([event])
            store.append([event, an_event(2)])
        assert logs == []
        assert keys(store.after(0, 10)) == [an_event(n).key for n in (1, 2)]

    def test_of_another_event_is_an_error(self, store):
        """Two events under one id: the state folder lost its counters."""
        lost = metrics.EVENTS_LOST._value.get()
        first = an_event(1)
        with capture_logs() as logs:
            store.append([first])
            store.append([msgspec.structs.replace(first, score=0.5), an_event(2)])
        assert [(line["event"], line["key"]) for line in logs] == [
            ("event lost: the log holds another one under its key", first.key)
        ]
        assert metrics.EVENTS_LOST._value.get() == lost + 1
        assert len(store.after(0, 10)) == 2


class TestPrune:
    def test_only_what_every_output_has_and_nobody_needs_goes(self, store):
        store.register_outputs(["mqtt", "file"])
        store.append([an_event(n) for n in range(1, 6)])
        store.append([an_event(n, state=EventState.CLEARED) for n in (1, 2, 4, 5)])  # positions 6 to 9; 3 stays open
        settle(store, "mqtt", 2, Settled.REJECTED)
        settle(store, "mqtt", 9)
        settle(store, "file", 4)
        assert store.prune(time.time_ns()) == 2
        assert [position for position, _ in store.after(0, 10)] == [2, 3, 5, 6, 7, 8, 9]

    def test_young_ones_stay(self, store):
        store.append([an_event(1), an_event(1, state=EventState.CLEARED)])
        assert store.prune(time.time_ns() - 10**9) == 0

    def test_an_output_that_is_configured_no_more_holds_nothing(self, store):
        store.register_outputs(["gone"])
        store.append([an_event(1), an_event(1, state=EventState.CLEARED)])
        assert store.prune(time.time_ns()) == 0
        store.register_outputs([])
        assert store.prune(time.time_ns()) == 2

    def test_ids_and_positions_are_never_given_twice(self, store):
        store.append([an_event(7), an_event(7, state=EventState.CLEARED)])
        store.prune(time.time_ns())
        assert store.last_numbers()["cam1", 1, "scratch"] == 7
        store.append([an_event(8)])
        assert [position for position, _ in store.after(0, 10)] == [3]

    def test_counters_of_sessions_that_never_come_back_are_removed(self, store):
        """One row for each connection of a camera, without end: a cable that is loose for a night makes thousands."""
        for session in range(1, 101):
            store.append([an_event(session % 5 + 1, session=session, state=EventState.CLEARED)])
        store.append([an_event(3, session=0), an_event(2, session=7, name="dent")])
        store.prune(0)
        kept = store.last_numbers()
        assert len(kept) == SESSIONS_KEPT + 2
        assert kept["cam1", 100, "scratch"] == 1, "the newest"
        assert kept["cam1", 0, "scratch"] == 3, "conditions without a frame: used again and again"
        assert kept["cam1", 7, "dent"] == 2, "the newest of this name"

    def test_so_many_at_once(self, store):
        store.append([an_event(n, state=EventState.CLEARED) for n in range(1, 701)])
        assert [store.prune(time.time_ns()) for _ in range(3)] == [500, 200, 0]

    def test_the_cost_does_not_grow_with_the_log(self, store):
        """Counted in steps of SQLite's machine, not in time."""

        def steps_of_a_look() -> int:
            return steps(store, lambda: store.prune(time.time_ns() - 10**12), at_once=50)

        store.append([an_event(n, state=EventState.CLEARED) for n in range(1, 601)])
        few = steps_of_a_look()
        store.append([an_event(n, state=EventState.CLEARED) for n in range(601, 2401)])
        assert 1000 < steps_of_a_look() < 1.1 * few


class TestSharing:
    def test_processes_that_make_the_file_at_once_and_write_at_once(self, path):
        script = (
            "import sys; from pathlib import Path\n"
            "from stream_inspect.store.events import EventStore; from tests.alerts.events import a_part, an_event\n"
            "sys.stdin.readline(); store = EventStore(Path(sys.argv[1]))\n"
            "for n in range(1, 41): store.append([an_event(n, camera=sys.argv[2])])\n"
        )
        root = Path(__file__).parents[2]
        children = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(path), f"cam{i}"], cwd=root, stdin=subprocess.PIPE, text=True
            )
            for i in range(3)
        ]
        try:
            for child in children:
                child.stdin.write("go\n")
                child.stdin.flush()
            assert [child.wait(60) for child in children] == [0, 0, 0]
        finally:
            for child in children:
                child.kill()
                child.stdin.close()
        store = EventStore(path)
        found = store.after(0, 1000)
        store.close()
        for i in range(3):
            mine = [event.track for _, event in found if event.camera == f"cam{i}"]
            assert mine == list(range(1, 41))

    def test_a_reader_with_an_open_transaction_holds_up_no_writer(self, store, path):
        store.append([an_event(1)])
        reader = sqlite3.connect(path)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (1,)
        start = time.monotonic()
        store.append([an_event(2)])
        assert time.monotonic() - start < 1
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (1,)
        reader.close()

    def test_a_writer_waits_for_its_turn(self, store, path):
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        release.start()
        store.append([an_event(1)])
        release.join()
        other.close()
        assert keys(store.after(0, 10)) == [an_event(1).key]

    def test_the_file_promises_what_the_docstring_says(self, path):
        settings: dict[str, object] = {}

        def ask(connection: sqlite3.Connection, _record: object, _proxy: object) -> None:
            for name in ("journal_mode", "synchronous", "busy_timeout"):
                settings[name] = connection.execute(f"PRAGMA {name}").fetchone()[0]

        with listening("checkout", ask):
            EventStore(path).close()
        assert settings == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 5000}

    def test_a_log_that_another_program_has_locked_is_opened_at_once(self, store, path):
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        again = EventStore(path)
        assert again.last_numbers() == {}
        assert time.monotonic() - start < 1
        again.close()
        other.close()


def test_a_part_takes_as_much_room_as_the_documents_say(store, path):
    """About 1.2 kB: a line of ten parts a second, all of which are asked for, fills 1 GB a day."""
    store.append([a_part(n, Verdict.PASS) for n in range(100)])
    empty_bytes = path.stat().st_size
    store.append([a_part(n, Verdict.PASS) for n in range(100, 1100)])
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.close()
    assert 1000 < (path.stat().st_size - empty_bytes) / 1000 < 1400


class TestIdentity:
    def test_each_log_has_an_identity_of_its_own(self, tmp_path):
        logs = [EventStore(tmp_path / name) for name in ("one.db", "two.db")]
        assert len({log.identity for log in logs}) == 2
        assert all(re.fullmatch("[0-9a-f]{16}", log.identity) for log in logs)
        for log in logs:
            log.close()

    def test_it_is_kept_by_the_next_start_and_by_a_copy(self, store, path, tmp_path):
        again = EventStore(path)
        again.close()
        store.close()
        shutil.copy(path, tmp_path / "copy.db")
        copy = EventStore(tmp_path / "copy.db")
        copy.close()
        assert again.identity == copy.identity == store.identity

    def test_a_log_from_before_identities_gets_one_and_keeps_it(self, path):
        path.parent.mkdir()
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            migrations.migrate(connection, schema.MIGRATIONS[:1])
        engine.dispose()
        migrated, again = EventStore(path), EventStore(path)
        assert re.fullmatch("[0-9a-f]{16}", migrated.identity)
        assert again.identity == migrated.identity
        migrated.close()
        again.close()


class TestBadFiles:
    def test_full_disk_says_so_and_loses_nothing(self, store, path):
        def small(connection: sqlite3.Connection, _record: object) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 4}")

        store.append([an_event(1)])
        store.close()
        with listening("connect", small):
            full = EventStore(path)
            with pytest.raises(StoreError, match=r"disk is full.*Free some space"):
                full.append([an_event(n) for n in range(2, 200)])
            full.append([an_event(2)])
            assert keys(full.after(0, 10)) == [an_event(1).key, an_event(2).key]
            full.close()

    @pytest.mark.parametrize(
        "content", [b"this is no database, but long enough to be one" * 50, b"SQLite format 3\0" * 99]
    )
    def test_a_file_that_is_no_database_is_left_alone(self, path, content):
        path.parent.mkdir()
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"not a database.*Move that file away"):
            EventStore(path)
        assert path.read_bytes() == content

    def test_a_damaged_page_is_an_error_not_a_wrong_answer(self, path):
        store = EventStore(path)
        store.append([an_event(n) for n in range(1, 200)])
        store.close()
        content = bytearray(path.read_bytes())
        content[4096 * 2 :] = os.urandom(len(content) - 4096 * 2)
        path.write_bytes(bytes(content))
        with pytest.raises(StoreError, match=r"malformed.*recover"):
            EventStore(path).after(0, 1000)

    def test_a_newer_file_is_refused_and_left_alone(self, path):
        EventStore(path).close()
        with sqlite3.connect(path) as file:
            file.execute("PRAGMA user_version = 99")
        file.close()
        with pytest.raises(StoreError, match=r"newer stream_inspect.*version 99.*not been touched"):
            EventStore(path)

    def test_a_folder_one_may_not_write_to(self):
        me = os.geteuid()
        with tempfile.TemporaryDirectory() as folder:
            EventStore(Path(folder) / "loads-what-is-imported-late.db").close()
            os.chmod(folder, 0o555)
            try:
                if me == 0:
                    os.seteuid(65534)  # nobody: root may write everywhere
                with pytest.raises(StoreError, match=r"unable to open.*service's user must be able to write"):
                    EventStore(Path(folder) / "events.db")
            finally:
                os.seteuid(me)

    def test_a_path_that_cannot_be_a_folder(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="cannot open the event log"):
            EventStore(tmp_path / "file" / "events.db")

    def test_an_event_of_a_version_nobody_understands(self, store, path):
        store.append([an_event(1), an_event(2), an_event(3)])
        with sqlite3.connect(path) as file:
            file.execute('UPDATE events SET body = \'{"type":"Event","version":7}\' WHERE position = 2')
        file.close()
        assert [position for position, _ in store.after(0, 10)] == [1]
        with pytest.raises(UnreadableEventError, match="position 2"):
            store.after(1, 10)
        assert [position for position, _ in store.recent(10)] == [3, 1]
        # `decide` begins with these: one that it cannot read must not keep it from starting.
        assert [event.id for event in store.open_events()] == [an_event(1).id, an_event(3).id]


class TestMigrations:
    def test_the_migrations_make_the_tables_that_the_program_uses(self, tmp_path):
        made, declared = (create_engine(f"sqlite:///{tmp_path / name}") for name in ("made.db", "declared.db"))
        with made.begin() as connection:
            migrations.migrate(connection, schema.MIGRATIONS)
        schema.METADATA.create_all(declared)

        def shape(engine: Engine) -> dict[str, object]:
            of = inspect(engine)
            return {
                table: (
                    [(c["name"], str(c["type"]), c["nullable"], c["primary_key"]) for c in of.get_columns(table)],
                    sorted((i["name"], i["column_names"]) for i in of.get_indexes(table)),
                    of.get_unique_constraints(table),
                )
                for table in sorted(of.get_table_names())
            }

        assert shape(made) == shape(declared)
        made.dispose()
        declared.dispose()

    def test_an_older_file_is_brought_up_step_by_step_and_keeps_its_rows(self, tmp_path):
        steps = (("CREATE TABLE a (x INTEGER)",), ("ALTER TABLE a ADD COLUMN y INTEGER", "UPDATE a SET y = x * 2"))
        engine = create_engine(f"sqlite:///{tmp_path / 'old.db'}")
        with engine.begin() as connection:
            migrations.migrate(connection, steps[:1])
            connection.exec_driver_sql("INSERT INTO a VALUES (21)")
        with engine.begin() as connection:
            migrations.migrate(connection, steps)
            assert connection.exec_driver_sql("SELECT x, y FROM a").all() == [(21, 42)]
        with engine.begin() as connection:  # a second run finds nothing to do
            migrations.migrate(connection, steps)
            assert connection.exec_driver_sql("SELECT x, y FROM a").all() == [(21, 42)]
        engine.dispose()

    def test_a_migration_that_fails_leaves_the_file_as_it_was(self, path, monkeypatch):
        store = EventStore(path)
        store.append([an_event(1)])
        store.close()
        broken = (*schema.MIGRATIONS, ("ALTER TABLE events ADD COLUMN more INTEGER", "this is no SQL"))
        with monkeypatch.context() as patch:
            patch.setattr("stream_inspect.store.events.MIGRATIONS", broken)
            with pytest.raises(StoreError, match="syntax error"):
                EventStore(path)
        store = EventStore(path)
        assert keys(store.after(0, 10)) == [an_event(1).key]
        store.close()
        file = sqlite3.connect(path)
        assert "more" not in [row[1] for row in file.execute("PRAGMA table_info(events)")]
        file.close()
