"""The store of clips and pictures: writes them durably, applies retention by size and age, and detects a full disk.

All file work is done in one thread, so that a slow or hanging disk delays no frame. When the disk is full (or fails),
recording stops: `blocked_reason` says why, and new items are rejected. It resumes when there is enough free space.
"""

from __future__ import annotations

import errno
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from stream_inspect import log
from stream_inspect.stopping import OUTPUT_CLOSE_S
from stream_inspect.store.durable import durable_file, remove_leftovers, sync_folder

GB = 1_000_000_000
_WAITING_MAX = 64
"""Items queued and not yet written; more are rejected, so that a slow disk cannot use up the memory."""
_LOOK_EVERY_S = 1.0
_RETENTION_EVERY_S = 60.0
_ROOM_AGAIN = 1.05
"""Recording resumes at this much more free space than it needs, so that it does not flap."""
_CLOSE_WITHIN_S = OUTPUT_CLOSE_S * 2 / 3


@dataclass(frozen=True, slots=True)
class Limits:
    """What retention keeps."""

    max_age_s: float
    max_bytes: int
    min_free_bytes: int


@dataclass(frozen=True, slots=True)
class Item:
    """The files to write for one event, in order, each with a function that writes into the open file."""

    name: str
    size_hint_bytes: int
    files: tuple[tuple[Path, Callable[[BinaryIO], object]], ...]
    done: Callable[[str], None]
    """Called with the outcome, in the store's thread: "written", "disk_full", "disk_failed", "not_made"."""


@dataclass(slots=True)
class _Kept:
    """The files of one event."""

    newest_s: float = 0.0
    sizes: dict[Path, int] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(self.sizes.values())


class MediaStore:
    """Folders of files named <event>.<suffix>. `enqueue` and `blocked_reason` are for the stage's thread."""

    def __init__(self, folders: Iterable[Path], limits: Limits, look_every_s: float = _LOOK_EVERY_S) -> None:
        self._folders = tuple(folders)
        self._limits = limits
        self._look_every_s = look_every_s
        self._log = log.get_logger(__name__)
        self._waiting: queue.Queue[Item | None] = queue.Queue(_WAITING_MAX)
        self._kept: dict[str, _Kept] = {}
        self._blocked_reason = ""
        self._needed_bytes = 0
        self._next_retention_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="media-store", daemon=True)

    @property
    def blocked_reason(self) -> str:
        """Why recording is stopped; "" while it runs."""
        return self._blocked_reason

    def open(self) -> None:
        """Create the folders and start the thread. A bad disk does not raise: it sets `blocked_reason`."""
        self._check_disk()
        self._thread.start()

    def enqueue(self, item: Item) -> str:
        """Queue an item for writing. Returns "", or why it was rejected: "disk_full", "disk_slow"."""
        if self._blocked_reason:
            return "disk_full"
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            return "disk_slow"
        return ""

    def close(self) -> bool:
        """Write what is queued, for 0.4 s at most; returns whether all of it was written."""
        self._stopping.set()
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        if self._thread.is_alive():
            self._thread.join(_CLOSE_WITHIN_S)
        return self._waiting.empty() and not self._thread.is_alive()

    # --- in the store's own thread ---

    def _run(self) -> None:
        self._rescan()
        while True:
            try:
                item = self._waiting.get(timeout=self._look_every_s)
            except queue.Empty:
                if self._stopping.is_set():
                    return
                self._check_disk()
                self._apply_retention_when_due()
                continue
            if item is None:
                return
            self._check_disk()
            item.done(self._write(item))
            self._apply_retention_when_due()

    def _write(self, item: Item) -> str:
        if self._blocked_reason:
            return "disk_full"
        try:
            for path, write in item.files:
                with durable_file(path) as file:
                    write(file)
                self._note(path)
        except OSError as error:
            self._stop(error, item.size_hint_bytes)
            return "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "disk_failed"
        except Exception:  # one bad item (a bug of the muxer, say) must not end recording for all others
            self._log.exception("cannot write the media of an event", event_id=item.name)
            return "not_made"
        self._keep_within_size()
        return "written"

    def _stop(self, error: OSError, needed_bytes: int) -> None:
        self._needed_bytes = needed_bytes
        self._blocked_reason = f"cannot write to {self._folders[0].parent}: {error.strerror or error}"
        self._log.error("recording stopped", error=self._blocked_reason)

    def _check_disk(self) -> None:
        """Stop recording when free space is too low; resume when there is enough and a test write succeeds."""
        try:
            for folder in self._folders:
                if not folder.is_dir():
                    folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._folders[0]).free
        except OSError as error:
            if not self._blocked_reason:
                self._stop(error, 0)
            return
        if not self._blocked_reason:
            if free < self._limits.min_free_bytes:
                self._blocked_reason = (
                    f"{free / GB:.2f} GB free in {self._folders[0].parent}, less than recorder.min_free_gb "
                    f"({self._limits.min_free_bytes / GB:g}): free some space"
                )
                self._needed_bytes = 0
                self._log.error("recording stopped", error=self._blocked_reason)
            return
        if free < max(self._limits.min_free_bytes, self._needed_bytes) * _ROOM_AGAIN or not self._probe():
            return
        self._rescan()  # files were removed by hand, or the disk was replaced and holds other files
        self._blocked_reason = ""
        self._log.info("recording resumed", free_gb=round(free / GB, 2))

    def _probe(self) -> bool:
        path = self._folders[0] / ".probe"
        try:
            with durable_file(path) as file:
                file.write(bytes(4096))
            path.unlink()
        except OSError:
            return False
        return True

    def _rescan(self) -> None:
        self._kept.clear()
        with suppress(OSError):
            for folder in self._folders:
                remove_leftovers(folder)
                for path in folder.glob("[!.]*"):
                    self._note(path)
        self._apply_retention()

    def _note(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            status = path.stat()
            kept = self._kept.setdefault(path.stem, _Kept())
            kept.newest_s = max(kept.newest_s, status.st_mtime)
            kept.sizes[path] = status.st_size

    def _apply_retention_when_due(self) -> None:
        if time.monotonic() >= self._next_retention_s:
            self._apply_retention()

    def _apply_retention(self) -> None:
        self._next_retention_s = time.monotonic() + _RETENTION_EVERY_S
        oldest_s = time.time() - self._limits.max_age_s
        for name in [name for name, kept in self._kept.items() if kept.newest_s < oldest_s]:
            self._remove(name)
        self._keep_within_size()

    def _keep_within_size(self) -> None:
        total = sum(kept.size_bytes for kept in self._kept.values())
        if total <= self._limits.max_bytes:
            return
        for name in sorted(self._kept, key=lambda name: self._kept[name].newest_s):
            if total <= self._limits.max_bytes:
                break
            total -= self._kept[name].size_bytes
            self._remove(name)
        for folder in self._folders:
            with suppress(OSError):
                sync_folder(folder)

    def _remove(self, name: str) -> None:
        for path in self._kept.pop(name).sizes:
            with suppress(OSError):
                os.unlink(path)
