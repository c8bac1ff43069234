"""Room for a start on a full disk: SQLite opens no database without a few free kilobytes, not even to read it."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from stream_inspect.log import get_logger
from stream_inspect.store.files import events_journal
from stream_inspect.store.journal import release_reserve

ROOM_BYTES = 256 << 10
"""Each database needs an index of its write-ahead log (32 KB), and that log (4 KB a page). A stop removes both."""


def is_full(folder: Path) -> bool:
    """Whether the disk has less room than the databases need to be opened. False where that cannot be found out."""
    with suppress(OSError):
        return shutil.disk_usage(folder).free < ROOM_BYTES
    return False


def make_room(state_dir: Path) -> None:
    """Where the disk is full, take the room for a start from the reserve of the event log's journal.

    Only before a process has the journal open. Does not raise: whether there is room shows when the log is opened.
    """
    if not is_full(state_dir):
        return
    released = 0
    with suppress(OSError):
        released = release_reserve(events_journal(state_dir), ROOM_BYTES)
    get_logger(__name__).warning("disk of state_dir is full", path=str(state_dir), released_bytes=released)
