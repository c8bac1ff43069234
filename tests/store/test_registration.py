"""Each start compares the record of deliveries with the event log: nothing that is owed disappears in silence."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stream_inspect.alerts.outbox import Outbox
from stream_inspect.messages import EventState
from stream_inspect.store.database import StoreError
from stream_inspect.store.deliveries import Outcome
from stream_inspect.store.deliveries_schema import Settled
from stream_inspect.store.events import EventStore
from tests.alerts.events import an_event
from tests.alerts.test_outbox import KeepingAlert, all_steps
from tests.store.test_deliveries import locked
from tests.store.test_events import settle


def registered(path: Path, *outputs: str) -> tuple[EventStore, list[dict[str, object]]]:
    """A start of the service, with what it logs at a warning's level or above."""
    store = EventStore(path)
    with capture_logs() as logs:
        store.register_outputs(outputs)
    return store, [line for line in logs if line["log_level"] in ("warning", "error")]


def sent_by(store: EventStore, output: str) -> list[str]:
    alert = KeepingAlert()
    all_steps(Outbox(output, alert, store))
    return [event.key.partition(":")[2] for event in alert.sent]


def move_away(path: Path) -> Path:
    """As the advice says. The program has closed it, so that all of it is in the one file."""
    kept = path.with_suffix(".kept")
    path.rename(kept)
    return kept


class TestAnotherLog:
    def test_what_a_new_log_takes_is_sent_though_the_old_one_had_more(self, path):
        store, _ = registered(path, "hook")
        store.append([an_event(n) for n in range(1, 51)])
        settle(store, "hook", 40, Settled.REJECTED)
        settle(store, "hook", 50)
        store.close()
        move_away(path)
        store, logs = registered(path, "hook")
        assert [line["event"] for line in logs] == [
            "another event log than before; what the earlier one owed is not sent"
        ]
        assert logs[0]["log_level"] == "error"
        store.append([an_event(n, camera="cam2") for n in (1, 2)])
        assert store.backlog("hook").depth == 2
        assert store.dead_letters("hook") == [], "the old one's have none of these events"
        assert sent_by(store, "hook") == [an_event(n, camera="cam2").key for n in (1, 2)]
        store.close()

    def test_one_that_was_replaced_before_its_identity_was_recorded_is_found_by_a_cursor_behind_its_end(self, path):
        """A state folder of the version before, in which this has happened already."""
        store, _ = registered(path, "hook")
        store.append([an_event(n) for n in range(1, 51)])
        settle(store, "hook", 50)
        with sqlite3.connect(store.outputs.path) as file:
            file.execute("DROP TABLE log")
            file.execute("PRAGMA user_version = 1")
        file.close()
        store.close()
        move_away(path)
        store = EventStore(path)
        store.append([an_event(1)])
        store.close()
        store, logs = registered(path, "hook")
        assert len(logs) == 1
        assert sent_by(store, "hook") == [an_event(1).key]
        store.close()

    def test_one_that_is_repaired_and_put_back_is_owed_whole(self, path):
        store, _ = registered(path, "hook")
        store.append([an_event(n) for n in (1, 2)])
        store.close()
        kept = move_away(path)
        registered(path, "hook")[0].close()
        path.unlink()
        kept.rename(path)
        store, logs = registered(path, "hook")
        assert logs[0]["events_owed_by_this_one"] == 2
        assert sent_by(store, "hook") == [an_event(n).key for n in (1, 2)]
        store.close()

    def test_an_older_copy_of_the_same_log_is_owed_nothing_that_was_sent_and_all_that_comes(self, path):
        store, _ = registered(path, "hook")
        store.append([an_event(n) for n in (1, 2)])
        store.close()
        copy = path.read_bytes()
        store, _ = registered(path, "hook")
        store.append([an_event(n) for n in range(3, 9)])
        settle(store, "hook", 2, Settled.REJECTED)
        settle(store, "hook", 7, Settled.REJECTED)
        settle(store, "hook", 8)
        store.close()
        path.write_bytes(copy)
        store, logs = registered(path, "hook")
        assert [line["event"] for line in logs] == ["older copy of the event log; what came after it is gone"]
        store.append([an_event(9)])
        assert sent_by(store, "hook") == [an_event(9).key]
        assert [key for _, key in store.dead_letters("hook")] == [an_event(2).key]
        store.close()

    def test_the_same_log_costs_nothing_and_logs_nothing(self, path):
        store, _ = registered(path, "hook")
        store.append([an_event(1), an_event(2)])
        settle(store, "hook", 1)
        store.close()
        store, logs = registered(path, "hook")
        assert logs == []
        assert sent_by(store, "hook") == [an_event(2).key]
        store.close()

    def test_a_record_of_the_version_before_keeps_its_cursors(self, path):
        store, _ = registered(path, "hook")
        store.append([an_event(1), an_event(2), an_event(3)])
        store.outputs.settle("hook", [Outcome(1, Settled.REJECTED), Outcome(3, Settled.DELIVERED)], cursor=1)
        with sqlite3.connect(store.outputs.path) as file:
            file.execute("DROP TABLE log")
            file.execute("PRAGMA user_version = 1")
        file.close()
        store.close()
        store, logs = registered(path, "hook")
        assert logs == []
        assert store.backlog("hook").depth == 1
        assert len(store.dead_letters("hook")) == 1
        assert sent_by(store, "hook") == [an_event(2).key]
        store.close()


class TestAnotherRecord:
    def test_one_that_was_moved_away_is_an_error(self, path):
        store, logs = registered(path, "hook")
        assert logs == [], "a state folder that is new"
        store.append([an_event(n) for n in range(1, 31)])
        store.close()
        move_away(store.outputs.path)
        store, logs = registered(path, "hook")
        assert [line["event"] for line in logs] == ["record of deliveries is new; what waited for outputs is not sent"]
        assert logs[0]["events_in_the_log"] == 30
        assert store.backlog("hook").depth == 0, "a month of old alarms helps no one"
        store.close()

    def test_one_that_is_damaged_says_what_its_loss_costs(self, path):
        path.parent.mkdir(parents=True)
        path.with_name("outputs.sqlite").write_bytes(b"not a database at all, for sure" * 400)
        store = EventStore(path)
        with pytest.raises(StoreError, match=r"record of deliveries.*recover.*wait for outputs now are not sent"):
            store.register_outputs(["hook"])
        store.close()


class TestOtherOutputs:
    def test_one_that_is_renamed_with_a_backlog_is_a_warning_with_how_much_it_is(self, path):
        store, _ = registered(path, "hook", "file")
        store.append([an_event(n) for n in range(1, 6)])
        store.outputs.settle("hook", [Outcome(1, Settled.DELIVERED), Outcome(3, Settled.DELIVERED)], cursor=1)
        settle(store, "file", 5)
        store.close()
        store, logs = registered(path, "hook2")
        assert [(line["event"], line["output"], line["events"]) for line in logs] == [
            ("output no longer configured; its events wait for its return", "hook", 3)
        ]
        store.close()
        store, logs = registered(path, "hook2")
        assert logs == [], "once"
        store.close()

    def test_one_that_returns_after_pruning_says_how_many_are_gone_and_counts_what_waits(self, path):
        store, _ = registered(path, "hook")
        store.append([an_event(n, state=EventState.CLEARED) for n in range(1, 6)])
        settle(store, "hook", 1)
        store.close()
        store, _ = registered(path)
        assert store.prune(time.time_ns()) == 5
        store.append([an_event(6), an_event(7)])
        store.close()
        store, logs = registered(path, "hook")
        assert [(line["event"], line["output"], line["events"]) for line in logs] == [
            ("output returned after its events were pruned", "hook", 4)
        ]
        assert store.backlog("hook").depth == 2
        assert sent_by(store, "hook") == [an_event(6).key, an_event(7).key]
        assert store.backlog("hook").depth == 0
        store.close()

    def test_the_same_where_an_old_event_was_kept_because_it_is_open(self, path):
        store, _ = registered(path, "hook")
        store.append([an_event(1), *(an_event(n, state=EventState.CLEARED) for n in range(2, 6))])
        store.close()
        store, _ = registered(path)
        assert store.prune(time.time_ns()) == 4
        store.append([an_event(6)])
        store.close()
        store, _ = registered(path, "hook")
        assert store.backlog("hook").depth == 1
        assert sent_by(store, "hook") == [an_event(6).key]
        assert store.backlog("hook").depth == 0
        store.close()


class TestALockedRecord:
    """A backup tool can hold the lock of the record of deliveries, too."""

    def test_a_service_whose_outputs_are_the_same_starts_all_the_same(self, path):
        store, _ = registered(path, "hook")
        store.append([an_event(1)])
        store.close()
        with locked(path.with_name("outputs.sqlite")):  # a writer would raise after five seconds
            store, _ = registered(path, "hook")
            assert store.backlog("hook").depth == 1
            store.close()
