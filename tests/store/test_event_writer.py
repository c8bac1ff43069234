"""The judging loop never waits for a disk, and no event is lost to one that is locked, full or hung, nor to a kill."""

from __future__ import annotations

import functools
import os
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stream_inspect.decide.stage import DecideStage
from stream_inspect.messages import Event, EventState
from stream_inspect.service.chain import judging_chain
from stream_inspect.store.event_writer import MEMORY_EVENTS, RESERVE_BYTES, EventWriter, open_writer
from stream_inspect.store.events import EventStore
from stream_inspect.store.journal import Journal
from stream_inspect.store.retention_clock import RetentionClock
from tests.alerts import events as made
from tests.conftest import MakeDisk
from tests.decide.scenes import condition, config, events, tracked, update
from tests.e2e.test_outage_log import fill

S = 1_000_000_000

an_event = functools.cache(made.an_event)  # the same one for the same arguments


def a_writer(folder: Path, *, reserve_bytes: int = RESERVE_BYTES, is_held: bool = True, **changes) -> EventWriter:
    journal = Journal(folder / "events.journal", reserve_bytes=reserve_bytes)
    held = Journal(held_in(folder)) if is_held else None
    return EventWriter(
        EventStore(folder / "events.sqlite"), journal, held, a_clock(folder), **{"max_age_ns": 10**18, **changes}
    )


def a_clock(folder: Path) -> RetentionClock:
    return RetentionClock(folder / "events.clock", lambda: None)


def held_in(folder: Path) -> Path:
    """Not on a disk that is filled."""
    return folder.with_name(f"{folder.name}.held")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[EventWriter]:
    writer = a_writer(tmp_path)
    writer.open(lambda: None)
    yield writer
    writer.close(5)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """What a backup tool does, or a shell in a transaction."""
    other = sqlite3.connect(folder / "events.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def in_log(folder: Path) -> list[Event]:
    store = EventStore(folder / "events.sqlite")
    found = [event for _, event in store.after(0, 100_000)]
    store.close()
    return found


def until(condition: Callable[[], object], within_s: float) -> bool:
    deadline_s = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return bool(condition())


def test_what_is_written_is_in_the_log_and_announced_in_order(writer, tmp_path):
    said = [an_event(n) for n in range(1, 501)]
    announced: list[Event] = []
    for event in said:
        writer.append([event])
        announced += writer.written()
    assert writer.flush(5)
    announced += writer.written()
    assert announced == said == in_log(tmp_path)
    assert Journal(tmp_path / "events.journal").is_empty


def test_the_loop_is_woken_when_an_event_is_in_the_log(tmp_path):
    woken = threading.Event()
    writer = a_writer(tmp_path)
    writer.open(woken.set)
    writer.append([an_event(1)])
    assert woken.wait(2)
    assert writer.written() == [an_event(1)]
    writer.close(5)


@pytest.mark.slow
def test_judging_goes_on_while_another_program_locks_the_log(tmp_path):
    """Eight seconds: longer than SQLite's own waiting."""
    chain = judging_chain(config(), a_writer(tmp_path))
    chain.open()
    turns_s: list[float] = []
    announced: list[Event] = []

    def turn(call: Callable[[], object]) -> None:
        start_s = time.monotonic()
        announced.extend(events(call()))
        turns_s.append(time.monotonic() - start_s)

    with locked(tmp_path):
        start_s = time.monotonic()
        n = 0
        while time.monotonic() - start_s < 8:
            n += 1
            turn(lambda: chain.process([condition(n % 2 == 1, n)]))  # noqa: B023
            turn(lambda: chain.tick(time.monotonic_ns()))
            time.sleep(0.02)
        assert announced == []
    assert max(turns_s) < 0.05
    assert until(lambda: turn(lambda: chain.tick(time.monotonic_ns())) or len(announced) >= n, 5)
    assert announced == in_log(tmp_path)
    assert len({event.key for event in announced}) == n
    chain.close()


@pytest.mark.slow
def test_what_waits_when_the_process_is_killed_is_in_the_log_after_the_next_open(tmp_path):
    """Killed at once: no thread has had its turn, and the loop's own `append` has returned."""
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.store.test_event_writer import a_writer; from tests.alerts.events import an_event\n"
        "writer = a_writer(Path(sys.argv[1])); writer.open(lambda: None)\n"
        "for n in range(1, 301): writer.append([an_event(n)])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    EventStore(tmp_path / "events.sqlite").close()
    with locked(tmp_path):
        subprocess.run([sys.executable, "-c", script, tmp_path], cwd=Path(__file__).parents[2], check=False)
        assert in_log(tmp_path) == []
        # The next process starts although the log is locked, and knows what waits.
        writer = a_writer(tmp_path)
        assert writer.last_numbers() == {("cam1", 1, "scratch"): 300}
        assert len(writer.open_events()) == 300
        writer.open(lambda: None)
        assert writer.waiting == 300
        assert time.monotonic_ns() - writer.waiting_since_mono_ns < 10 * S
    writer.append([an_event(301)])
    assert writer.flush(60)
    assert [event.key for event in in_log(tmp_path)] == [an_event(n).key for n in range(1, 302)]
    assert writer.written() == [an_event(301)], "outputs read the others from the log"
    writer.close(5)


def test_an_event_that_the_log_knows_as_cleared_is_not_open_because_a_journal_still_holds_it(tmp_path):
    """A power failure can keep the emptying of a journal from the disk, in part or in whole."""
    store = EventStore(tmp_path / "events.sqlite")
    store.append([an_event(1), an_event(1, state=EventState.CLEARED)])
    store.close()
    Journal(tmp_path / "events.journal").append([an_event(1)])
    Journal(held_in(tmp_path)).append([an_event(1), an_event(2)])
    writer = a_writer(tmp_path)
    assert [event.id for event in writer.open_events()] == [an_event(2).id]
    writer.open(lambda: None)
    assert writer.flush(5)
    assert [event.key for event in in_log(tmp_path)] == [
        an_event(1).key,
        an_event(1, state=EventState.CLEARED).key,
        an_event(2).key,
    ]
    writer.close(5)


def test_what_the_log_has_already_is_not_written_twice(tmp_path):
    """A kill between the append and the emptying of the journal."""
    store = EventStore(tmp_path / "events.sqlite")
    store.append([an_event(1), an_event(1, state=EventState.CLEARED)])
    Journal(tmp_path / "events.journal").append([an_event(1), an_event(1, state=EventState.CLEARED), an_event(2)])
    writer = a_writer(tmp_path)
    assert [event.id for event in writer.open_events()] == [an_event(2).id]
    writer.open(lambda: None)
    assert writer.flush(5)
    assert [event.key for event in in_log(tmp_path)] == [
        an_event(1).key,
        an_event(1, state=EventState.CLEARED).key,
        an_event(2).key,
    ]
    assert [event.id for event in store.open_events()] == [an_event(2).id]
    writer.close(5)
    store.close()


def test_on_a_full_disk_the_journal_takes_events_within_its_reserve(make_disk: MakeDisk):
    with capture_logs() as logs:
        disk = make_disk(8 * 1024)
        writer = a_writer(disk)
        writer.open(lambda: None)
        writer.append([an_event(1)])
        assert writer.flush(5)
        ballast = fill(disk)
        turns_s: list[float] = []
        for n in range(2, 1502):
            start_s = time.monotonic()
            writer.append([an_event(n)])
            writer.written()
            turns_s.append(time.monotonic() - start_s)
        assert not writer.flush(1)
        assert statistics.quantiles(turns_s, n=100)[98] < 0.02
        assert until(lambda: not writer._incoming, 60), "all of them are on the disk"
        ballast.unlink()
        assert writer.flush(60)
        assert in_log(disk) == [an_event(n) for n in range(1, 1502)]
        writer.close(5)
    assert of_the_outage(logs) == [
        "cannot write the event log; events wait in its journal",
        "event log writable again",
    ]
    assert logs[-1]["events"] == 1500
    assert 1.0 < logs[-1]["after_s"] < 60


@pytest.mark.slow
def test_where_the_journal_is_full_too_events_wait_in_memory_and_none_is_lost(make_disk: MakeDisk):
    with capture_logs() as logs:
        disk = make_disk(8 * 1024)
        writer = a_writer(disk, reserve_bytes=64 << 10)
        writer.open(lambda: None)
        ballast = fill(disk)
        writer.append([an_event(n) for n in range(1, 1501)])
        assert not writer.flush(1)
        in_memory, limit = writer.in_memory
        assert 1000 < in_memory < 1500 < limit == MEMORY_EVENTS
        ballast.unlink()
        assert writer.flush(60)
        assert writer.in_memory[0] == 0
        assert in_log(disk) == writer.written() == [an_event(n) for n in range(1, 1501)]
        writer.close(5)
    said = of_the_outage(logs)
    assert said[-2:] == [
        "cannot write the event log or its journal; holding events in memory",
        "event log writable again",
    ]
    assert len(said) <= 3


def of_the_outage(said: list[dict]) -> list[str]:
    """What was logged; removing old events, once a minute, fails on a full disk as well."""
    return [line["event"] for line in said if line["event"] != "cannot prune old events"]


def kept_at_a_stop(said: list[dict]) -> tuple[int, int, int]:
    """How many events wait in the journal, in shared memory, and are lost, by the log."""
    parts = ("in the journal", "in shared memory", "events lost")
    return tuple(sum(line["events"] for line in said if part in line["event"]) for part in parts)  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.parametrize("reserve_bytes", [RESERVE_BYTES, 16 << 10])
def test_a_stop_on_a_full_disk_loses_nothing_and_says_where_the_events_are(make_disk: MakeDisk, reserve_bytes: int):
    disk = make_disk(8 * 1024)
    writer = a_writer(disk, reserve_bytes=reserve_bytes)
    writer.open(lambda: None)
    ballast = fill(disk)
    with capture_logs() as said:
        writer.append([an_event(n) for n in range(1, 1001)])
        time.sleep(0.5)
        writer.close(2)
    in_journal, held, lost = kept_at_a_stop(said)
    waiting = [event.key for event in Journal(disk / "events.journal").waiting()]
    in_memory = {event.key for event in Journal(held_in(disk)).waiting()} - set(waiting)
    assert (in_journal, held) == (len(waiting), len(in_memory))
    assert held > 0 if reserve_bytes < RESERVE_BYTES else held == 0
    assert (len(in_log(disk)) + in_journal + held, lost) == (1000, 0)
    ballast.unlink()
    writer = a_writer(disk)
    writer.open(lambda: None)
    assert writer.flush(60)
    assert in_log(disk) == [an_event(n) for n in range(1, 1001)]
    assert writer.written() == []
    writer.close(5)
    assert not held_in(disk).exists()


def test_a_stop_on_a_full_disk_without_shared_memory_says_how_many_events_are_lost(make_disk: MakeDisk):
    disk = make_disk(8 * 1024)
    writer = a_writer(disk, reserve_bytes=16 << 10, is_held=False)
    writer.open(lambda: None)
    fill(disk)
    with capture_logs() as said:
        writer.append([an_event(n) for n in range(1, 1001)])
        time.sleep(0.5)
        writer.close(2)
    in_journal, held, lost = kept_at_a_stop(said)
    assert held == 0 < lost
    assert in_journal == len(Journal(disk / "events.journal").waiting())
    assert len(in_log(disk)) + in_journal + lost == 1000


def test_a_disk_that_is_full_at_the_start_is_warned_of(make_disk: MakeDisk):
    disk = make_disk(8 * 1024)
    EventStore(disk / "events.sqlite").close()
    kept_open = EventStore(disk / "events.sqlite")
    ballast = fill(disk)
    with capture_logs() as said:
        writer = a_writer(disk)
        writer.open(lambda: None)
    assert [line["error"] for line in said if "cannot reserve space" in line["event"]] == [
        "[Errno 28] No space left on device"
    ]
    ballast.unlink()
    writer.append([an_event(1)])
    assert writer.flush(5)
    fill(disk)  # the reserve has been made meanwhile
    writer.append([an_event(n) for n in range(2, 502)])
    assert until(lambda: not writer._incoming, 5)
    writer.close(1)
    kept_open.close()
    assert len(in_log(disk)) + len(Journal(disk / "events.journal").waiting()) >= 501


def test_since_when_events_wait_is_known_at_once_and_long_before_sqlite_gives_up(tmp_path):
    writer = a_writer(tmp_path)
    writer.open(lambda: None)
    time.sleep(0.5)
    assert (writer.waiting, writer.waiting_since_mono_ns) == (0, 0), "nothing waits"
    with locked(tmp_path):
        begun_ns = time.monotonic_ns()
        writer.append([an_event(1)])
        time.sleep(0.2)
        writer.append([an_event(2)])
        assert writer.waiting == 2
        assert abs(writer.waiting_since_mono_ns - begun_ns) < S // 10
    assert writer.flush(60)
    assert (writer.waiting, writer.waiting_since_mono_ns) == (0, 0)
    writer.close(5)


def test_a_stop_while_the_log_is_locked_leaves_the_events_in_the_journal(tmp_path):
    writer = a_writer(tmp_path)
    writer.open(lambda: None)
    with locked(tmp_path), capture_logs() as logs:
        writer.append([an_event(n) for n in range(1, 21)])
        start_s = time.monotonic()
        writer.close(0.3)
        assert time.monotonic() - start_s < 0.5
    (line,) = [line for line in logs if "wait in the journal" in line["event"]]
    assert line["events"] == 20
    writer = a_writer(tmp_path)
    writer.open(lambda: None)
    assert writer.flush(60)
    assert in_log(tmp_path) == [an_event(n) for n in range(1, 21)]
    writer.close(5)


@pytest.mark.parametrize("damage", [lambda path: os.truncate(path, 0), lambda path: path.write_bytes(bytes(4096))])
def test_events_whose_journal_is_damaged_are_counted_as_lost_and_what_follows_is_written(tmp_path, damage):
    """The thread that found none of them looked again and again: at full load, for as long as the service ran."""
    writer = a_writer(tmp_path)
    writer.open(lambda: None)
    with capture_logs() as logs:
        with locked(tmp_path):
            writer.append([an_event(1)])
            time.sleep(0.3)  # this one is in the hands of the thread, which waits for the lock
            writer.append([an_event(n) for n in range(2, 6)])
            assert until(lambda: writer.in_memory[0] == 0, 5)
            damage(tmp_path / "events.journal")
        assert writer.flush(15)
        path = str(tmp_path / "events.journal")  # another test's writer may still run, and its disk be gone
        (line,) = [line for line in logs if "events lost" in line["event"] and line.get("path") == path]
        lost = line["events"]
        assert lost >= 4
        began_s = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - began_s < 0.25
    writer.append([an_event(6)])
    assert writer.flush(5)
    found = in_log(tmp_path)
    assert found[-1] == an_event(6)
    assert len(found) == 6 - lost
    assert writer.written() == found
    writer.close(5)


def test_a_journal_that_cannot_be_written_stops_no_event(tmp_path):
    journal = Journal(tmp_path / "nowhere" / "events.journal")
    writer = EventWriter(EventStore(tmp_path / "events.sqlite"), journal, None, a_clock(tmp_path), max_age_ns=10**18)
    writer.open(lambda: None)
    writer.append([an_event(1), an_event(2)])
    assert writer.flush(5)
    assert writer.written() == in_log(tmp_path) == [an_event(1), an_event(2)]
    writer.close(5)


def test_memory_is_bounded(tmp_path):
    writer = a_writer(tmp_path)  # not open: nothing is taken out
    one = an_event(1)
    writer.append([one] * (MEMORY_EVENTS - 1))
    writer.append([one] * 5)
    assert writer._lost == 4


def test_an_id_that_the_log_would_refuse_never_gets_into_its_way(writer):
    wrong = an_event(2, camera="cam2")
    wrong = type(wrong)(**{f: getattr(wrong, f) for f in wrong.__struct_fields__} | {"id": "cam2-x"})
    with pytest.raises(ValueError, match="cam2-x"):
        writer.append([wrong])


def test_events_are_kept_as_long_as_their_clips(tmp_path):
    """Also where no output is configured: nobody else would remove them."""
    store = EventStore(tmp_path / "events.sqlite")
    store.append([an_event(n, state=EventState.CLEARED) for n in (1, 2, 3)] + [an_event(4)])
    with sqlite3.connect(tmp_path / "events.sqlite") as file:
        file.execute("UPDATE events SET appended_utc_ns = ? WHERE position < 3", (time.time_ns() - 31 * 86_400 * S,))
    file.close()
    writer = a_writer(tmp_path, max_age_ns=30 * 86_400 * S, prune_every_s=0.2)
    writer.open(lambda: None)
    assert until(lambda: len(store.recent(10)) == 2, 5)
    with sqlite3.connect(tmp_path / "events.sqlite") as file:
        file.execute("UPDATE events SET appended_utc_ns = ?", (time.time_ns() - 31 * 86_400 * S,))
    file.close()
    assert until(lambda: len(store.recent(10)) == 1, 5), "the open one stays"
    writer.close(5)
    store.close()


def test_more_than_is_pruned_at_once_is_pruned_without_waiting_for_the_next_minute(tmp_path, monkeypatch):
    """Ten parts a second that all are kept are more than one batch a minute removes."""
    for module in ("events", "event_writer"):
        monkeypatch.setattr(f"stream_inspect.store.{module}.PRUNE_ROWS", 2)
    monkeypatch.setattr("stream_inspect.store.event_writer.PRUNE_NEXT_S", 0.01)
    store = EventStore(tmp_path / "events.sqlite")
    store.append([an_event(n, state=EventState.CLEARED) for n in range(1, 8)])
    with sqlite3.connect(tmp_path / "events.sqlite") as file:
        file.execute("UPDATE events SET appended_utc_ns = 0")
    file.close()
    writer = a_writer(tmp_path, max_age_ns=30 * 86_400 * S)
    writer.open(lambda: None)
    assert until(lambda: store.recent(10) == [], 5)
    writer.close(5)
    store.close()


def test_a_clock_that_jumps_ahead_removes_no_event(tmp_path, monkeypatch):
    writer = open_writer(tmp_path, memory_dir=tmp_path, max_age_ns=30 * 86_400 * S)
    writer._prune_every_s = 0.1
    writer.open(lambda: None)
    writer.append([an_event(1), an_event(1, state=EventState.CLEARED)])
    assert writer.flush(5)
    assert until(lambda: (tmp_path / "events.clock").exists(), 5)
    ahead_s = time.time() + 40 * 86_400
    monkeypatch.setattr(writer._clock, "_wall_s", lambda: ahead_s)
    written_s = (tmp_path / "events.clock").stat().st_mtime
    assert until(lambda: (tmp_path / "events.clock").stat().st_mtime > written_s + 0.3, 5), "it has been looked at"
    assert len(in_log(tmp_path)) == 2
    writer.close(5)


def test_a_new_life_clears_what_was_open_and_uses_no_number_twice(tmp_path):
    def life() -> tuple[DecideStage, EventWriter]:
        writer = a_writer(tmp_path)
        stage = DecideStage(config(), writer)
        stage.open()
        return stage, writer

    first, log = life()
    list(first.process([tracked(0, update(seq=0)), tracked(1, update(seq=1))]))
    assert log.flush(5)
    (open_event,) = events(first.tick(0))
    second, log = life()
    assert log.flush(5)
    (cleared,) = events(second.tick(0))
    assert (cleared.id, cleared.state, cleared.reason) == (open_event.id, "cleared", "interrupted")
    list(second.process([tracked(2, update(seq=2)), tracked(3, update(seq=3))]))
    (again,) = events(second.finish())[:1]
    assert again.id == "top-3-scratch-2"
    first.close()
    second.close()
