"""The journal: what it took is there after a crash, and nothing else is."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from stream_inspect.store.journal import Journal
from tests.alerts import events as made

an_event = functools.cache(made.an_event)  # the same one for the same arguments


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.journal"


def test_events_come_out_as_they_went_in_and_the_file_is_empty_when_all_are_taken(path):
    journal = Journal(path)
    events = [an_event(n) for n in range(1, 4)]
    journal.append(events[:1])
    journal.append(events[1:])
    batch = journal.batch()
    assert [event for _, event in batch] == events
    journal.take(batch[1][0])
    assert journal.waiting() == events[2:]
    journal.take(batch[2][0])
    assert journal.is_empty
    assert path.read_bytes() == b""
    journal.append(events)
    assert [event for _, event in journal.batch()] == events


def test_the_next_run_finds_what_was_not_taken(path):
    Journal(path).append([an_event(1), an_event(2)])
    assert Journal(path).waiting() == [an_event(1), an_event(2)]


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
    batch = journal.batch()
    assert batch[0][1] == an_event(1)
    journal.take(batch[-1][0])
    assert journal.is_empty == (len(batch) == 2)
