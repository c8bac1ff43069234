"""What the folders of clips and pictures hold: the files of each event, oldest event first, and their total size."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Kept:
    """The files of one event."""

    name: str
    newest_s: float = 0.0
    """Time of the newest of them, in seconds since 1970."""
    sizes: dict[str, int] = field(default_factory=dict)
    """In bytes, by path."""


class KeptFiles:
    """A record of the files, not the files themselves. Each call costs the logarithm of the number of events.

    Summing and sorting held the recorder's interpreter for 24 ms at each written file with 100,000 events kept.

    Paths of events' files are text, here and in the store: with a `Path` for each, an event took twice the memory, and
    Python's table of interned strings, in which a `Path` puts its name, grew by a megabyte after some thousand of them.
    """

    def __init__(self) -> None:
        self.total_bytes = 0
        self.newest_s: float | None = None
        """Time of the newest file seen so far."""
        self._kept: dict[str, Kept] = {}
        self._by_age: list[tuple[float, str]] = []  # a heap; an event of which a newer file was seen is in it twice

    def __len__(self) -> int:
        """How many events have files."""
        return len(self._kept)

    def clear(self) -> None:
        """Forget all of them."""
        self.total_bytes, self.newest_s = 0, None
        self._kept.clear()
        self._by_age.clear()

    def add(self, path: str) -> None:
        """Take in a file just written, which is the newest whatever the clock says. Raises OSError.

        Where the clock was set back (a dead RTC battery), the file gets the time of the newest one: by its own it would
        be the oldest, and the first to be removed.
        """
        status, newest_s = os.stat(path), self.newest_s or 0.0
        if status.st_mtime < newest_s:
            os.utime(path, (newest_s, newest_s))
            status = os.stat(path)
        self.note(path, status)

    def note(self, path: str, status: os.stat_result) -> None:
        """Take in this file, as it is on the disk now, of the event that it is named after."""
        name = os.path.splitext(os.path.basename(path))[0]
        kept = self._kept.setdefault(name, Kept(name))
        self.total_bytes += status.st_size - kept.sizes.get(path, 0)
        kept.sizes[path] = status.st_size
        if status.st_mtime > kept.newest_s:
            kept.newest_s = status.st_mtime
            heapq.heappush(self._by_age, (kept.newest_s, kept.name))
        self.newest_s = max(self.newest_s or 0.0, status.st_mtime)

    def oldest(self) -> Kept | None:
        """The event whose newest file is the oldest."""
        while self._by_age:
            newest_s, name = self._by_age[0]
            if (kept := self._kept.get(name)) is not None and kept.newest_s == newest_s:
                return kept
            heapq.heappop(self._by_age)
        return None

    def forget(self, kept: Kept) -> None:
        """Its files are removed."""
        self.total_bytes -= sum(kept.sizes.values())
        del self._kept[kept.name]


def files_in(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each file of this folder with its status, hidden ones aside; none where there is no folder. Raises OSError."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            if not entry.name.startswith("."):
                with suppress(FileNotFoundError):  # removed meanwhile
                    yield entry.path, entry.stat()
