"""The shelf of clips and pictures: writes them durably, keeps them within size and age, and notices a full disk.

All file work is done in one thread, so that a slow or hanging disk delays no frame. When the disk is full (or fails)
recording stops: `trouble` says why, and what is offered meanwhile is refused. It begins again by itself when there is
room.
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
"""Files offered and not yet written; more are refused, so that a slow disk cannot eat the memory."""
_LOOK_EVERY_S = 1.0
_TIDY_EVERY_S = 60.0
_ROOM_AGAIN = 1.05
"""Recording begins again at this much more room than it needs, so that it does not flap."""
_CLOSE_WITHIN_S = OUTPUT_CLOSE_S * 2 / 3


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be kept."""

    max_age_s: float
    max_bytes: int
    min_free_bytes: int


@dataclass(frozen=True, slots=True)
class Item:
    """What is to be written for one event: files in order, each by a function that is given the open file."""

    name: str
    size_hint_bytes: int
    files: tuple[tuple[Path, Callable[[BinaryIO], object]], ...]
    done: Callable[[str], None]
    """Told the outcome, in the shelf's thread: "written", "disk_full", "disk_failed", "not_made"."""


@dataclass(slots=True)
class _Kept:
    """The files of one event."""

    newest_s: float = 0.0
    sizes: dict[Path, int] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(self.sizes.values())


class MediaStore:
    """Two folders of files named <event>.<suffix>. `enqueue` and `trouble` are for the stage's thread."""

    def __init__(self, folders: Iterable[Path], limits: Limits, look_every_s: float = _LOOK_EVERY_S) -> None:
        self._folders = tuple(folders)
        self._limits = limits
        self._look_every_s = look_every_s
        self._logger = log.get_logger("recorder")
        self._waiting: queue.Queue[Item | None] = queue.Queue(_WAITING_MAX)
        self._kept: dict[str, _Kept] = {}
        self._trouble = ""
        self._needed_bytes = 0
        self._next_tidy_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shelf", daemon=True)

    @property
    def trouble(self) -> str:
        """Why nothing is recorded at the moment, or nothing."""
        return self._trouble

    def open(self) -> None:
        """Make the folders and start the thread. A bad disk does not raise: it is `trouble`."""
        self._check_disk()
        self._thread.start()

    def enqueue(self, item: Item) -> str:
        """Take an item to be written: "" when taken, else the reason it is not ("disk_full", "disk_slow")."""
        if self._trouble:
            return "disk_full"
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            return "disk_slow"
        return ""

    def close(self) -> bool:
        """Write what is waiting, for a short while; says whether all of it was written."""
        self._stopping.set()
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        if self._thread.is_alive():
            self._thread.join(_CLOSE_WITHIN_S)
        return self._waiting.empty() and not self._thread.is_alive()

    # --- in the shelf's own thread ---

    def _run(self) -> None:
        self._rescan()
        while True:
            try:
                item = self._waiting.get(timeout=self._look_every_s)
            except queue.Empty:
                if self._stopping.is_set():
                    return
                self._check_disk()
                self._tidy_sometimes()
                continue
            if item is None:
                return
            self._check_disk()
            item.done(self._write(item))
            self._tidy_sometimes()

    def _write(self, item: Item) -> str:
        if self._trouble:
            return "disk_full"
        try:
            for path, write in item.files:
                with durable_file(path) as file:
                    write(file)
                self._note(path)
        except OSError as error:
            self._stop(error, item.size_hint_bytes)
            return "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "disk_failed"
        except Exception:  # one that cannot be made (a fault of the muxer, say) must not end recording for all others
            self._logger.exception("a file of an event cannot be made", event_id=item.name)
            return "not_made"
        self._keep_within_size()
        return "written"

    def _stop(self, error: OSError, needed_bytes: int) -> None:
        self._needed_bytes = needed_bytes
        self._trouble = f"cannot write to {self._folders[0].parent}: {error.strerror or error}"
        self._logger.error("recording stopped", reason=self._trouble)

    def _check_disk(self) -> None:
        """Stop recording when the disk has too little room; begin again when it has and a write goes through."""
        try:
            for folder in self._folders:
                if not folder.is_dir():
                    folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._folders[0]).free
        except OSError as error:
            if not self._trouble:
                self._stop(error, 0)
            return
        if not self._trouble:
            if free < self._limits.min_free_bytes:
                self._trouble = (
                    f"{free / GB:.2f} GB left in {self._folders[0].parent}, recorder.min_free_gb is "
                    f"{self._limits.min_free_bytes / GB:g}: make room"
                )
                self._needed_bytes = 0
                self._logger.error("recording stopped", reason=self._trouble)
            return
        if free < max(self._limits.min_free_bytes, self._needed_bytes) * _ROOM_AGAIN or not self._probe():
            return
        self._rescan()  # somebody has made room by hand, or the disk that has come back holds other files
        self._trouble = ""
        self._logger.info("recording again", free_gb=round(free / GB, 2))

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

    def _tidy_sometimes(self) -> None:
        if time.monotonic() >= self._next_tidy_s:
            self._apply_retention()

    def _apply_retention(self) -> None:
        self._next_tidy_s = time.monotonic() + _TIDY_EVERY_S
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
