"""The store of clips and pictures: writes them durably, within retention, and follows whether the disk can be written.

All file work is done in one thread, so that a slow or hanging disk delays no frame. While the disk is full, fails,
hangs or is unmounted, `stopped` says why; except while it only hangs, new items are rejected. It resumes when a file as
large as the one that failed can be written.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stream_inspect import log
from stream_inspect.backoff import Backoff, doubling_s
from stream_inspect.record.disk import Disk, Stop
from stream_inspect.record.kept_files import KeptFiles, files_in
from stream_inspect.record.retention import Limits, Retention
from stream_inspect.stopping import RECORDER_CLOSE_S
from stream_inspect.store.durable import durable_file, remove_leftovers, whole_file
from stream_inspect.store.retention_clock import RetentionClock

_WAITING_MAX = 64
"""Items queued and not yet written; more are rejected, so that a slow disk cannot use up the memory."""
_LOOK_EVERY_S = 1.0
_PROBE_EVERY_S = 10.0
"""A file is written this often while there is nothing to write: a disk that fails is found before an event needs it."""
_RETENTION_EVERY_S = 60.0
_HANGS_AFTER_S = 5.0
_RESUME_LONGEST_S = 60.0
"""A disk that lets a probe pass and then fails again is tried at most this rarely, so that recording does not alternate
between stopped and resumed each second."""
_CLOSE_WITHIN_S = RECORDER_CLOSE_S * 0.53
_OPEN_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Item:
    """The files to write for one event, in order, each with a function that writes into the open file."""

    name: str
    size_hint_bytes: int
    files: tuple[tuple[str, Callable[[BinaryIO], object]], ...]
    done: Callable[[str], None]
    """Called with the outcome, in the store's thread: "written", "not_made", or the cause of a `Stop`."""
    note: tuple[str, Callable[[BinaryIO], object]] | None = None
    """A small file to write first, without waiting for the disk: it survives a kill, and perhaps not a power cut."""


class MediaStore:
    """Folders of files named <event>.<suffix>. `enqueue` and `stopped` are for the stage's thread."""

    def __init__(
        self, folders: Iterable[Path], limits: Limits, *, clock_path: Path, look_every_s: float = _LOOK_EVERY_S
    ) -> None:
        self._folders = tuple(folders)
        self._look_every_s = look_every_s
        self._log = log.get_logger(__name__)
        self._waiting: queue.Queue[Item | None] = queue.Queue(_WAITING_MAX)
        self._disk = Disk(self._folders, limits.min_free_bytes)
        self._kept = KeptFiles()
        clock = RetentionClock(clock_path, lambda: self._kept.newest_s)
        self._retention = Retention(self._folders, limits, self._kept, clock)
        self._retention_at_mono_s = 0.0
        self._stop: Stop | None = None
        self._failed_bytes = 0
        self._resume_waits = Backoff(doubling_s(look_every_s, _RESUME_LONGEST_S))
        self._resume_at_mono_s = self._resumed_mono_s = self._probe_at_mono_s = 0.0
        self._writing: Item | None = None
        self._busy_since_mono_s: float | None = None
        self._hangs = False
        self._looked = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="media-store", daemon=True)

    @property
    def stopped(self) -> Stop | None:
        """Why recording is stopped; None while it runs."""
        since_s = self._busy_since_mono_s
        if since_s is None:
            self._hangs = False
        elif time.monotonic() - since_s > _HANGS_AFTER_S:
            self._hangs = True
        if self._stop is None and self._hangs:
            where = self._folders[0].parent
            return Stop("disk_slow", f"{where} did not answer for {_HANGS_AFTER_S:.0f} s: check the disk")
        return self._stop

    @property
    def rejects(self) -> Stop | None:
        """Why new items are rejected; None while they are taken."""
        return self._stop

    def open(self) -> None:
        """Start the thread, which creates the folders. A bad disk does not raise: `stopped` says what is wrong."""
        self._thread.start()
        self._looked.wait(_OPEN_WITHIN_S)

    @property
    def queued(self) -> tuple[int, int]:
        """Files that wait to be written, and how many there may be."""
        return self._waiting.qsize(), self._waiting.maxsize

    def enqueue(self, item: Item, wait_s: float = 0.0) -> str:
        """Queue an item for writing. Returns "", or why it was rejected: the cause of the `Stop`, or "disk_slow".

        "disk_slow" says that the queue was full, for `wait_s`.
        """
        if stop := self._stop:
            return stop.cause
        try:
            self._waiting.put(item, block=wait_s > 0, timeout=wait_s or None)
        except queue.Full:
            return "disk_slow"
        return ""

    def close(self) -> list[Item]:
        """Write what is queued, for `_CLOSE_WITHIN_S` at most; returns the items that were not written."""
        self._stopping.set()
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        if self._thread.is_alive():
            self._thread.join(_CLOSE_WITHIN_S)
        unwritten = [self._writing] if self._thread.is_alive() else []
        with suppress(queue.Empty):
            while True:
                unwritten.append(self._waiting.get_nowait())
        return [item for item in unwritten if item is not None]

    # --- in the store's own thread ---

    def _run(self) -> None:
        self._works()
        self._look()
        self._looked.set()
        self._rescan()
        while True:
            try:
                item = self._next()
            except queue.Empty:
                if self._stopping.is_set():
                    return
                self._look()
            else:
                if item is None:
                    return
                self._works()
                self._writing = item
                outcome = self._write(item)
                self._writing = None
                item.done(outcome)
            self._apply_retention_when_due()

    def _next(self) -> Item | None:
        with suppress(queue.Empty):
            return self._waiting.get_nowait()
        self._busy_since_mono_s = None
        return self._waiting.get(timeout=self._look_every_s)

    def _works(self) -> None:
        """The disk has answered; it is given work again."""
        self._busy_since_mono_s = time.monotonic()

    def _write(self, item: Item) -> str:
        if self._stop is None and (stop := self._disk.problem()):
            self._stop_at(stop, 0)
        if self._stop is not None:
            return self._stop.cause
        try:
            if item.note is not None:
                path, write = item.note
                with whole_file(path) as file:
                    write(file)
                self._kept.add(path)
            for path, write in item.files:
                with durable_file(path) as file:
                    write(file)
                self._kept.add(path)
        except OSError as error:
            stop = self._disk.failure(error)
            self._stop_at(stop, item.size_hint_bytes)
            return stop.cause
        except Exception:  # one bad item (a bug of the muxer, say) must not end recording for all others
            self._log.exception("cannot write the media of an event", event_id=item.name)
            return "not_made"
        self._probe_at_mono_s = time.monotonic() + _PROBE_EVERY_S
        self._retention.keep_within_size()
        return "written"

    def _look(self) -> None:
        """Stop recording when the disk cannot be written; resume when it can."""
        self._works()
        now_s = time.monotonic()
        if self._stop is None:
            stop = self._disk.problem()
            if stop is None and now_s >= self._probe_at_mono_s:
                self._probe_at_mono_s = now_s + _PROBE_EVERY_S
                stop = self._disk.probe()
            if stop is not None:
                self._stop_at(stop, 0)
            return
        stop = self._disk.problem(stopped_at_bytes=self._failed_bytes)
        if stop is None and now_s < self._resume_at_mono_s:
            return
        stop = stop or self._disk.probe(self._failed_bytes)
        if stop is None:
            self._rescan()  # files were removed by hand, or the disk was replaced and holds other files
            self._stop, self._resumed_mono_s = None, time.monotonic()
        elif stop.cause != self._stop.cause:
            self._stop = stop

    def _stop_at(self, stop: Stop, failed_bytes: int) -> None:
        """Stop recording: a file of this size could not be written."""
        now_s = time.monotonic()
        if now_s - self._resumed_mono_s > _RESUME_LONGEST_S:
            self._resume_waits.reset()
        self._resume_at_mono_s = now_s + self._resume_waits.next_s()
        self._stop, self._failed_bytes = stop, failed_bytes

    def _rescan(self) -> None:
        self._kept.clear()
        with suppress(OSError):
            for folder in self._folders:
                remove_leftovers(folder)
                for path, status in files_in(folder):
                    self._works()
                    self._kept.note(path, status)
        self._retention_at_mono_s = 0.0

    def _apply_retention_when_due(self) -> None:
        """Not while the disk fails: one that cannot be read may look empty, and one that is unmounted is another one.

        While it is full all the more: what is too old makes room.
        """
        now_s = time.monotonic()
        is_sound = self._stop is None or self._stop.cause == "disk_full"
        if is_sound and now_s >= self._retention_at_mono_s:
            self._retention_at_mono_s = now_s + _RETENTION_EVERY_S
            self._retention.apply()
