"""A service whose disk is full starts: what it needs for that was reserved while there was room."""

from __future__ import annotations

import pytest

from stream_inspect.store.database import StoreError
from stream_inspect.store.event_writer import open_writer
from stream_inspect.store.events import EventStore
from stream_inspect.store.files import events_database
from stream_inspect.store.room import make_room
from tests.alerts.events import an_event
from tests.e2e.test_outage_log import fill


def test_a_log_that_was_closed_opens_on_a_full_disk(tmp_path, make_disk):
    """SQLite removes two files of a database that is closed, and cannot make them again."""
    disk = make_disk(8 << 10)
    writer = open_writer(disk, memory_dir=tmp_path, max_age_ns=10**18)
    writer.open(lambda: None)
    writer.append([an_event(1)])
    assert writer.flush(30)
    writer.close(10)
    store = EventStore(events_database(disk))
    store.register_outputs(["hook"])
    store.close()
    fill(disk)
    with pytest.raises(StoreError, match=r"disk is full\. Free some space"):
        EventStore(events_database(disk)).register_outputs(["hook"])
    make_room(disk)
    store = EventStore(events_database(disk))
    store.register_outputs(["hook", "new"])
    assert len(store.after(0, 10)) == 1
    store.close()
    writer = open_writer(disk, memory_dir=tmp_path, max_age_ns=10**18)
    writer.open(lambda: None)
    fill(disk)
    events = [an_event(n) for n in range(2, 102)]
    writer.append(events)
    writer.close(10)
    (disk / "ballast").unlink()
    writer = open_writer(disk, memory_dir=tmp_path, max_age_ns=10**18)
    writer.open(lambda: None)
    assert writer.flush(30)
    writer.close(10)
    store = EventStore(events_database(disk))
    assert len(store.after(0, 1000)) == 101, "the rest of the reserve took them"
    store.close()
