"""The journal: what it took is there after a crash, and nothing else is."""

from __future__ import annotations

import functools
import os
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from stream_inspect.store.journal import Journal, release_reserve
from tests.alerts import events as made
from tests.e2e.test_outage_log import fill

an_event = functools.cache(made.an_event)  # the same one for the same arguments


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.journal"


@pytest.mark.parametrize("reserve_bytes", [0, 1000, 1 << 16])
def test_events_come_out_as_they_went_in_and_the_file_is_empty_when_all_are_taken(path, reserve_bytes):
    """Also where the reserve ends in the middle of an event."""
    journal = Journal(path, reserve_bytes=reserve_bytes)
    events = [an_event(n) for n in range(1, 4)]
    journal.append(events[:1])
    journal.append(events[1:])
    batch = journal.batch(100)
    assert [event for _, event in batch] == events
    journal.take(batch[1][0])
    assert journal.waiting() == events[2:]
    journal.take(batch[2][0])
    assert journal.is_empty
    assert path.read_bytes() == bytes(reserve_bytes)
    journal.append(events)
    assert [event for _, event in journal.batch(100)] == events


@pytest.mark.parametrize("reserve_bytes", [0, 1000, 1 << 16])
def test_the_next_run_finds_what_was_not_taken(path, reserve_bytes):
    Journal(path, reserve_bytes=reserve_bytes).append([an_event(1), an_event(2)])
    journal = Journal(path, reserve_bytes=reserve_bytes)
    assert (journal.waiting(), journal.damaged) == ([an_event(1), an_event(2)], 0)


def test_what_was_taken_does_not_come_back_behind_what_a_kill_tore(path):
    """The file is written again from its front: a torn line there must not end at an old one."""
    journal = Journal(path, reserve_bytes=1 << 16)
    journal.append([an_event(n) for n in range(1, 6)])
    journal.take(journal.batch(100)[-1][0])
    journal.append([an_event(6)])
    content = path.read_bytes()
    line = content.rstrip(b"\0")
    path.write_bytes(line[:-40] + bytes(len(content) - len(line) + 40))
    after = Journal(path, reserve_bytes=1 << 16)
    assert (after.waiting(), after.damaged) == ([], 1)
    assert path.read_bytes() == bytes(1 << 16)


def test_a_full_disk_takes_events_up_to_the_reserve_and_no_part_of_one(make_disk):
    disk = make_disk(256)
    journal = Journal(disk / "events.journal", reserve_bytes=64 << 10)
    fill(disk)
    taken = 0
    with suppress(OSError):
        while True:
            journal.append([an_event(taken + 1)])
            taken += 1
    assert taken > 50
    assert journal.waiting() == [an_event(n) for n in range(1, taken + 1)]
    after = Journal(disk / "events.journal", reserve_bytes=64 << 10)
    assert (len(after.waiting()), after.damaged) == (taken, 0)


def test_a_reserve_that_the_disk_has_no_room_for_takes_none_of_it(make_disk):
    disk = make_disk(64)
    journal = Journal(disk / "events.journal", reserve_bytes=1 << 20)
    assert "No space left" in journal.reserve_error
    (disk / "other").write_bytes(bytes(60 << 10))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_journal_of_another_user_is_refused(path):
    path.touch()
    os.chown(path, 12345, 12345)
    with pytest.raises(PermissionError, match="belongs to another user"):
        Journal(path)


def test_a_damaged_end_is_cut_off_so_that_the_journal_becomes_empty(path):
    journal = Journal(path)
    journal.append([an_event(1), an_event(2)])
    path.write_bytes(path.read_bytes().replace(b"scratch-2", b"scratch-7", 1))
    journal = Journal(path)
    assert journal.damaged == 1
    journal.take(journal.batch(100)[-1][0])
    assert journal.is_empty


@pytest.mark.parametrize("cut", [1, 40, 300])
def test_a_torn_last_line_is_cut_off_and_counted(path, cut):
    Journal(path).append([an_event(1), an_event(2)])
    path.write_bytes(path.read_bytes()[:-cut])
    journal = Journal(path)
    assert (journal.waiting(), journal.damaged) == ([an_event(1)], 1)
    journal.append([an_event(3)])
    assert Journal(path).waiting() == [an_event(1), an_event(3)]


def test_a_line_with_a_wrong_checksum_is_counted_and_the_others_are_kept(path):
    Journal(path).append([an_event(1), an_event(2)])
    path.write_bytes(path.read_bytes().replace(b"scratch-1", b"scratch-7", 1))
    journal = Journal(path)
    assert (journal.waiting(), journal.damaged) == ([an_event(2)], 1)


def test_an_event_longer_than_a_batch_comes_out_too(path, monkeypatch):
    monkeypatch.setattr("stream_inspect.store.journal._BATCH_BYTES", 64)
    journal = Journal(path)
    journal.append([an_event(1), an_event(2)])
    batch = journal.batch(100)
    assert batch[0][1] == an_event(1)
    journal.take(batch[-1][0])
    assert journal.is_empty == (len(batch) == 2)


def test_a_reserve_that_was_released_in_part_is_kept_where_there_is_no_room_for_the_rest(make_disk):
    disk = make_disk(256)
    path = disk / "events.journal"
    Journal(path, reserve_bytes=64 << 10).append([an_event(1)])
    fill(disk)
    assert release_reserve(path, 16 << 10) == 16 << 10
    (disk / "other").write_bytes(bytes(16 << 10))
    journal = Journal(path, reserve_bytes=64 << 10)
    assert journal.reserve_error
    assert path.stat().st_size == 48 << 10
    journal.take(journal.batch(10)[-1][0])
    journal.append([an_event(2), an_event(3)])
    assert Journal(path, reserve_bytes=64 << 10).waiting() == [an_event(2), an_event(3)]


def test_no_event_is_released_with_the_reserve(path):
    journal = Journal(path, reserve_bytes=8 << 10)
    events = [an_event(n) for n in range(1, 6)]
    journal.append(events)
    while release_reserve(path, 1 << 10):
        assert Journal(path).waiting() == events


def test_whole_events_of_another_version_are_kept_in_a_file_and_not_erased(path):
    """A service that is updated, or set back, while events wait."""
    body = b'{"type":"Event","of":"another version"}'
    foreign = b"%08x %s\n" % (zlib.crc32(body), body)
    Journal(path, reserve_bytes=1 << 16).append([an_event(1)])
    content = path.read_bytes().rstrip(b"\0")
    path.write_bytes(foreign + content + foreign + b"00000000 {}\n")
    journal = Journal(path, reserve_bytes=1 << 16)
    assert (journal.waiting(), journal.unreadable, journal.damaged) == ([an_event(1)], 2, 1)
    journal.take(journal.batch(10)[-1][0])
    assert path.read_bytes() == bytes(1 << 16)
    assert journal.unreadable_path.read_bytes() == 2 * foreign
    assert Journal(path).unreadable == 0
    elsewhere = path.with_name("elsewhere")
    path.write_bytes(foreign)
    assert Journal(path, unreadable_path=elsewhere).unreadable == 1
    assert elsewhere.read_bytes() == foreign
