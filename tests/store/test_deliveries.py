"""The record of deliveries: a file of its own, so that outputs and the event log never wait for each other."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from stream_inspect.messages import EventState, event_json
from stream_inspect.store import deliveries, deliveries_schema, migrations, schema
from stream_inspect.store.database import StoreError
from stream_inspect.store.deliveries import Outcome
from stream_inspect.store.deliveries_schema import Settled
from stream_inspect.store.events import EventStore
from tests.alerts.events import an_event
from tests.store.test_events import keys, settle, steps

ROOT = Path(__file__).parents[2]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program, a backup tool for example, holds the write lock of this file."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


def took_s(what: object) -> float:
    start_s = time.monotonic()
    what()  # type: ignore[operator]
    return time.monotonic() - start_s


class TestOutputs:
    def test_an_output_is_owed_what_comes_after_it_was_registered(self, store):
        store.append([an_event(1)])
        store.register_outputs(["mqtt"])
        store.append([an_event(2)])
        store.register_outputs(["mqtt", "file"])
        store.append([an_event(3)])
        assert keys(store.after(store.outputs.cursor("mqtt"), 10)) == [an_event(n).key for n in (2, 3)]
        assert keys(store.after(store.outputs.cursor("file"), 10)) == [an_event(3).key]

    def test_a_new_output_of_a_log_that_was_pruned_waits_for_the_next_event_alone(self, store):
        store.append([an_event(1), an_event(1, state=EventState.CLEARED)])
        assert store.prune(time.time_ns()) == 2
        store.register_outputs(["mqtt"])
        assert store.backlog("mqtt").depth == 0
        store.append([an_event(2)])
        assert store.backlog("mqtt").depth == 1

    def test_an_output_that_returns_continues_where_it_was(self, store):
        store.register_outputs(["mqtt"])
        store.append([an_event(1), an_event(2)])
        settle(store, "mqtt", 1)
        store.register_outputs([])
        store.register_outputs(["mqtt"])
        assert keys(store.after(store.outputs.cursor("mqtt"), 10)) == [an_event(2).key]

    def test_an_unknown_output_is_an_error(self, store):
        with pytest.raises(StoreError, match="'unknown'"):
            store.outputs.cursor("unknown")

    def test_a_cursor_never_goes_back(self, store):
        store.register_outputs(["mqtt"])
        store.append([an_event(1), an_event(2)])
        store.outputs.settle("mqtt", [Outcome(2, Settled.DELIVERED, 0.25)], cursor=2)
        store.outputs.settle("mqtt", [Outcome(1, Settled.DELIVERED, 0.5)], cursor=1)
        assert store.outputs.cursor("mqtt") == 2
        assert store.outputs.latencies_s("mqtt") == [0.5, 0.25]

    def test_what_is_settled_before_an_earlier_one_is_known_and_not_in_the_backlog(self, store):
        store.register_outputs(["mqtt"])
        store.append([an_event(n) for n in range(1, 6)])
        store.outputs.settle("mqtt", [Outcome(2, Settled.DELIVERED), Outcome(4, Settled.EXPIRED)], cursor=0)
        assert store.outputs.cursor("mqtt") == 0
        assert store.outputs.settled_above("mqtt", 0) == {2, 4}
        assert store.backlog("mqtt").depth == 3
        store.outputs.settle("mqtt", [Outcome(1, Settled.DELIVERED)], cursor=2)
        assert store.outputs.settled_above("mqtt", 2) == {4}
        assert store.backlog("mqtt").depth == 2

    def test_what_the_cursor_has_left_far_behind_keeps_no_row_but_as_a_dead_letter(self, store, monkeypatch):
        monkeypatch.setattr(deliveries, "LATENCIES_KEPT", 10)
        monkeypatch.setattr(deliveries, "_REMOVED_AT_ONCE", 5)
        store.register_outputs(["mqtt"])
        store.append([an_event(n) for n in range(1, 101)])
        for n in range(1, 101):
            settle(store, "mqtt", n, Settled.REJECTED if n == 5 else Settled.DELIVERED)
        assert store.outputs.settled_above("mqtt", 0) == {5, *range(91, 101)}
        assert store.outputs.queue_again("mqtt") == 1
        store.outputs.settle("mqtt", [Outcome(5, Settled.DELIVERED)], cursor=100)
        assert store.outputs.settled_above("mqtt", 0) == set(range(91, 101))


class TestBacklog:
    def test_its_depth_and_its_oldest(self, store):
        store.register_outputs(["mqtt"])
        before_ns = time.time_ns()
        assert store.backlog("mqtt").depth == 0
        assert store.backlog("mqtt").oldest_utc_ns is None
        store.append([an_event(1), an_event(2)])
        assert store.backlog("mqtt").depth == 2
        assert before_ns <= store.backlog("mqtt").oldest_utc_ns <= time.time_ns()

    def test_its_cost_does_not_grow_with_it(self, store):
        """Counted in steps of SQLite's machine, not in time."""
        store.register_outputs(["mqtt"])
        store.append([an_event(n) for n in range(1, 101)])
        few = steps(store, lambda: store.backlog("mqtt"))
        store.append([an_event(n) for n in range(101, 2101)])
        assert steps(store, lambda: store.backlog("mqtt")) < 1.1 * few
        assert store.backlog("mqtt").depth == 2100

    def test_it_counts_what_waits_after_a_key_that_was_there_and_after_pruning(self, store):
        store.register_outputs(["mqtt"])
        for n in (1, 2, 3):
            store.append([an_event(n), an_event(n, state=EventState.CLEARED)])
            store.append([an_event(n)])
        settle(store, "mqtt", 4)
        assert store.prune(time.time_ns()) == 4
        assert store.backlog("mqtt").depth == len(store.after(store.outputs.cursor("mqtt"), 100)) == 2


class TestDeadLetters:
    def test_they_keep_their_reason(self, store):
        store.register_outputs(["hook"])
        store.append([an_event(1), an_event(2)])
        store.outputs.settle("hook", [Outcome(1, Settled.REJECTED, reason="HTTP 413")], cursor=1)
        ((letter, key),) = store.dead_letters("hook")
        assert (letter.position, key, letter.reason) == (1, an_event(1).key, "HTTP 413")
        assert store.outputs.cursor("hook") == 1

    def test_one_that_is_queued_again_waits_and_is_none_until_it_is_settled_again(self, store):
        store.register_outputs(["hook", "file"])
        store.append([an_event(n) for n in (1, 2, 3)])
        for output in ("hook", "file"):
            settle(store, output, 1, Settled.REJECTED)
            settle(store, output, 2, Settled.FAILED)
            settle(store, output, 3)
        assert store.outputs.queue_again("hook") == 2
        assert store.outputs.queued_again("hook") == [1, 2]
        assert store.backlog("hook").depth == 2
        assert store.dead_letters("hook") == []
        assert len(store.dead_letters("file")) == 2, "only those of that output"
        settle(store, "hook", 1)
        settle(store, "hook", 2, Settled.REJECTED)
        assert store.outputs.queued_again("hook") == []
        assert [letter.position for letter, _ in store.dead_letters("hook")] == [2]
        assert store.backlog("hook").depth == 0
        assert store.outputs.queue_again("hook") == 1

    def test_forty_thousand_of_them_are_no_more_than_sqlite_can_take(self, store):
        """It accepts 32,766 values in one statement; pruning names each dead letter."""
        store.register_outputs(["hook"])
        store.append([an_event(n, state=EventState.CLEARED) for n in (1, 2)])
        settle(store, "hook", 2)
        with sqlite3.connect(store.outputs.path) as file:
            rows = [("hook", n, "rejected", 1, "HTTP 413") for n in range(2, 40_000)]
            file.execute("DELETE FROM outcomes")
            file.executemany("INSERT INTO outcomes VALUES (?, ?, ?, ?, NULL, ?)", rows)
        file.close()
        assert store.prune(time.time_ns()) == 1
        assert len(store.dead_letters("hook")) == 1


class TestLocks:
    """A backup tool can hold the log's lock for a minute, and the outputs must not even notice."""

    def test_a_service_starts_while_the_log_is_locked(self, store, path):
        store.append([an_event(1)])

        def start() -> None:
            starting = EventStore(path)
            starting.register_outputs(["new"])
            assert starting.outputs.cursor("new") == 1
            starting.close()

        with locked(path):
            assert took_s(start) < 1

    def test_outputs_deliver_while_the_log_is_locked(self, store, path):
        store.register_outputs(["mqtt"])
        store.append([an_event(1)])
        with locked(path):
            assert took_s(lambda: settle(store, "mqtt", 1)) < 1
        assert store.backlog("mqtt").depth == 0

    def test_the_log_is_written_while_the_outputs_are_locked(self, store, path):
        store.register_outputs(["mqtt"])
        with locked(store.outputs.path):
            assert took_s(lambda: store.append([an_event(1)])) < 1

    def test_the_outputs_of_one_process_take_turns_and_none_runs_out_of_time(self, store):
        store.register_outputs(["a", "b", "c"])
        store.append([an_event(n) for n in range(1, 61)])

        def drain(output: str) -> None:
            for n in range(1, 61):
                settle(store, output, n)  # raises after 5 s

        threads = [threading.Thread(target=drain, args=(output,)) for output in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [store.outputs.cursor(output) for output in "abc"] == [60] * 3


def old_log(path: Path, version: int) -> None:
    """A log as the version before wrote it: outputs in the log itself; "hook" is owed the events 4 and 5."""
    path.parent.mkdir(parents=True)
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrations.migrate(connection, schema.MIGRATIONS[:version])
    engine.dispose()
    with sqlite3.connect(path) as file:
        for n in range(1, 6):
            event = an_event(n)
            values = (event.key, event.id, event.last_seen_utc_ns, event.last_seen_utc_ns, event_json(event))
            file.execute(
                "INSERT INTO events (line, camera, name, kind, state, boot, is_open, key, event_id, utc_ns,"
                " appended_utc_ns, body)"
                " VALUES ('line1', 'cam1', 'scratch', 'defect', 'confirmed', '', 1, ?, ?, ?, ?, ?)",
                values,
            )
            file.execute("INSERT OR REPLACE INTO counters VALUES ('cam1', 1, 'scratch', ?)", (n,))
        file.execute("INSERT INTO outputs VALUES ('hook', 3, 1), ('gone', 1, 0)")
        file.execute("INSERT INTO deliveries VALUES ('hook', 1, 7, 0.5), ('hook', 3, 8, 0.5)")
        file.execute("INSERT INTO dead_letters VALUES ('hook', 2, 9, 'HTTP 413')")
    file.close()


class TestMigration:
    @pytest.mark.parametrize("version", [1, 2])
    def test_a_log_that_kept_its_outputs_itself_loses_no_cursor(self, path, version):
        old_log(path, version)
        store = EventStore(path)
        self.check(store)
        store.register_outputs(["hook", "new"])
        assert [store.backlog(output).depth for output in ("hook", "new")] == [2, 0]
        store.close()

    def check(self, store: EventStore) -> None:
        assert (store.outputs.cursor("hook"), store.outputs.cursor("gone")) == (3, 1)
        assert [(letter.position, letter.reason) for letter, _ in store.dead_letters("hook")] == [(2, "HTTP 413")]
        assert store.prune(time.time_ns()) == 0
        assert len(store.after(0, 10)) == 5
        with sqlite3.connect(store.path) as file:
            tables = {row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        file.close()
        assert not tables & {"outputs", "deliveries", "dead_letters"}, "an older program must not read an old cursor"

    def test_one_that_is_killed_between_the_two_files_is_repeated(self, path):
        old_log(path, 2)
        script = (
            "import os, signal, sys; from pathlib import Path; from stream_inspect.store import database, events\n"
            "real = database.migrate\n"
            "def migrate(connection, migrations):\n"
            "    real(connection, migrations)\n"
            "    if migrations is events.MIGRATIONS: os.kill(os.getpid(), signal.SIGKILL)\n"
            "database.migrate = migrate\n"
            "events.EventStore(Path(sys.argv[1]))\n"
        )
        killed = subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=False)
        assert killed.returncode == -9
        assert path.with_name("outputs.sqlite").exists(), "killed too early to prove anything"
        with sqlite3.connect(path) as file:
            assert file.execute("SELECT count(*) FROM outputs").fetchone() == (2,)
        file.close()
        store = EventStore(path)
        self.check(store)
        store.close()

    def test_the_migrations_make_the_tables_that_the_program_uses(self, path, tmp_path, store):
        declared = create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
        deliveries_schema.METADATA.create_all(declared)
        declared.dispose()

        def shape(file: Path) -> list[object]:
            connection = sqlite3.connect(file)
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]
            found: list[object] = [names]
            for name in names:
                found.append(connection.execute(f"PRAGMA table_info({name})").fetchall())
                found.append(connection.execute(f"PRAGMA index_info({name})").fetchall())
            connection.close()
            return found

        assert shape(store.outputs.path) == shape(tmp_path / "declared.db")
