"""What the folders of clips and pictures hold: the files of each event, oldest event first, and their total size."""

from __future__ import annotations

import heapq
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Kept:
    """The files of one event."""

    name: str
    newest_s: float = 0.0
    """Time of the newest of them, in seconds since 1970."""
    sizes: dict[Path, int] = field(default_factory=dict)


class KeptFiles:
    """A record of the files, not the files themselves. Each call costs the logarithm of the number of events.

    Summing and sorting held the recorder's interpreter for 24 ms at each written file with 100,000 events kept.
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

    def add(self, path: Path) -> None:
        """Take in a file just written, which is the newest whatever the clock says. Raises OSError.

        Where the clock was set back (a dead RTC battery), the file gets the time of the newest one: by its own it would
        be the oldest, and the first to be removed.
        """
        newest_s = self.newest_s or 0.0
        if path.stat().st_mtime < newest_s:
            os.utime(path, (newest_s, newest_s))
        self.note(path)

    def note(self, path: Path) -> None:
        """Take in this file of the event that it is named after, as it is on the disk now. Raises OSError."""
        with suppress(FileNotFoundError):
            status = path.stat()
            kept = self._kept.setdefault(path.stem, Kept(path.stem))
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
