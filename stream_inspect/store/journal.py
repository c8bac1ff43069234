"""The journal: a file that holds the events on their way into the event log, next to it or in shared memory.

One line an event: the CRC-32 of the JSON in hexadecimal, a space, the JSON. A line is in the kernel once `append`
returns, so that a killed process loses nothing; `sync` puts it on the disk. Behind the last line there are zeros: the
journal can reserve its space when it is opened, so that it takes events on a disk that is full by then.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec

from stream_inspect.messages import Event, event_json
from stream_inspect.store.durable import sync_folder

_BATCH_BYTES = 1 << 20

_decoder = msgspec.json.Decoder(Event)


class Journal:
    """A queue of events in a file: one thread appends, another one takes from the front.

    When all of it has been taken, it starts again at the front of the file, and what is longer than the reserve is cut
    off. Methods that write or read raise OSError.
    """

    def __init__(self, path: Path, *, reserve_bytes: int = 0, unreadable_path: Path | None = None) -> None:
        """Open the journal, with what the previous run left in it; cut off a last line that was torn by a crash.

        Events that another version wrote and this one does not understand go to `unreadable_path`, by default next to
        the journal. Raises OSError where a journal exists that cannot be read.
        """
        self.path = path
        self.unreadable_path = unreadable_path or path.with_name(f"{path.name}.unreadable")
        self._descriptor: int | None = None
        self._lock = threading.Lock()
        self._front = self._end = 0  # bytes
        self._reserve_bytes = reserve_bytes
        self._reserved = 0
        """So much of the file is kept when it is emptied; less than wanted where the disk had no room for it."""
        self.reserve_error = ""
        """Why the reserve could not be had; tried again whenever the journal is empty."""
        self.damaged = 0
        """Lines of the previous run that were torn, or whose checksum is wrong: they hold no event."""
        self.unreadable = 0
        """Whole events of the previous run that were not understood."""
        if path.exists():
            self._recover()
        self._reserve()

    def append(self, events: Sequence[Event]) -> None:
        """Add all these events, or none."""
        lines = b"".join(_line(event) for event in events)
        with self._lock:
            descriptor = self._opened()
            try:
                _write(descriptor, lines, self._end)
            except OSError:
                with suppress(OSError):
                    self._wipe(self._end, self._end + len(lines))
                raise
            self._end += len(lines)

    def waiting(self) -> list[Event]:
        """All events that have not been taken."""
        return [event for _, event in self._lines(self._read(self._front, self._end), self._front)]

    def batch(self, limit: int) -> list[tuple[int, Event]]:
        """Up to `limit` events at the front, about a megabyte at most, each with the offset of its end for `take`."""
        front, end = self._front, self._end
        size = _BATCH_BYTES
        while True:
            found = list(islice(self._lines(self._read(front, min(end, front + size)), front), limit))
            if found or front + size >= end:
                return found
            size *= 2  # one line is longer than that

    def take(self, offset: int) -> None:
        """Remove the events up to this offset. Does not raise: what a failing disk keeps is read again at a start."""
        with self._lock:
            self._front = offset
            if self._front == self._end:
                with suppress(OSError):
                    self._wipe(0, self._end)
                    self._front = self._end = 0
                    if self._reserved < self._reserve_bytes:
                        self._reserve()

    def clear(self) -> None:
        """Remove all events. Does not raise, as `take`."""
        self.take(self._end)

    def remove(self) -> None:
        """Close the file and remove it. Does not raise."""
        with self._lock, suppress(OSError):
            self.path.unlink(missing_ok=True)
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def sync(self) -> None:
        """Put what has been appended on the disk."""
        if self._descriptor is not None:
            os.fdatasync(self._descriptor)

    @property
    def end(self) -> int:
        """The offset behind the last event, for `take`."""
        return self._end

    @property
    def is_empty(self) -> bool:
        """Whether everything has been taken."""
        return self._front == self._end

    def _opened(self) -> int:
        if self._descriptor is None:
            is_new = not self.path.exists()
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self.path, flags, 0o600)
            # Any user may make files in /dev/shm: theirs are not our events.
            if os.fstat(descriptor).st_uid not in (os.geteuid(), self.path.parent.stat().st_uid):
                os.close(descriptor)
                raise PermissionError(f"{self.path} belongs to another user: remove it")
            self._descriptor = descriptor
            if is_new:
                sync_folder(self.path.parent)
        return self._descriptor

    def _reserve(self) -> None:
        if not self._reserve_bytes:
            return
        try:
            descriptor = self._opened()
            try:
                os.posix_fallocate(descriptor, 0, self._reserve_bytes)
            except OSError:
                # The part that there was room for: the log needs it more.
                os.ftruncate(descriptor, max(self._reserved, self._end))
                raise
        except OSError as error:
            self.reserve_error = str(error)
        else:
            self._reserved, self.reserve_error = self._reserve_bytes, ""

    def _wipe(self, front: int, end: int) -> None:
        """Remove what lies between; the file keeps its reserve."""
        kept = self._reserved
        descriptor = self._opened()
        if front < kept:
            _write(descriptor, bytes(min(end, kept) - front), front)
        if end > kept:
            os.ftruncate(descriptor, max(front, kept))

    def _recover(self) -> None:
        size = os.fstat(self._opened()).st_size
        content = self._read(0, size).rstrip(b"\0")
        *lines, torn = content.split(b"\n")
        found = list(self._lines(content, 0))
        foreign = [line for line in lines if _event(line) is None and _body(line) is not None]
        if foreign:
            self._keep_unreadable(foreign)
        self.unreadable = len(foreign)
        self.damaged = len(lines) - len(found) - len(foreign) + bool(torn)
        self._end = found[-1][0] if found else 0
        self._reserved = min(self._reserve_bytes, size)
        with suppress(OSError):  # what cannot be removed is overwritten, or found damaged once more
            self._wipe(self._end, len(content))

    def _keep_unreadable(self, lines: Sequence[bytes]) -> None:
        """Raises OSError: without them in another file they must not be removed from this one."""
        with self.unreadable_path.open("ab") as file:
            file.write(b"".join(line.lstrip(b"\0") + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self.path.parent)

    def _read(self, front: int, end: int) -> bytes:
        if self._descriptor is None:
            return b""
        parts = []
        while front < end and (part := os.pread(self._descriptor, end - front, front)):
            parts.append(part)
            front += len(part)
        return b"".join(parts)

    @staticmethod
    def _lines(content: bytes, offset: int) -> Iterator[tuple[int, Event]]:
        """The events of whole lines; damaged lines are passed over."""
        for line in content.split(b"\n")[:-1]:
            offset += len(line) + 1
            if (event := _event(line)) is not None:
                yield offset, event


def release_reserve(path: Path, size: int) -> int:
    """Cut off up to `size` bytes of the zeros at the end of a journal that no process has open; returns how many.

    Raises OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        end = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, size, max(0, end - size))
        released = len(tail) - len(tail.rstrip(b"\0"))
        os.ftruncate(descriptor, end - released)
        return released
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes, offset: int) -> None:
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, content[written:], offset + written)


def _line(event: Event) -> bytes:
    body = event_json(event)  # holds no line break: JSON escapes them
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _body(line: bytes) -> bytes | None:
    """The JSON of a line; None where the checksum is wrong."""
    # Zeros in front: a page that a power failure kept from the disk, or the reserve of a file that was then extended.
    checksum, _, body = line.lstrip(b"\0").partition(b" ")
    return body if checksum == b"%08x" % zlib.crc32(body) else None


def _event(line: bytes) -> Event | None:
    """The event of a line; None where the checksum is wrong, or the event is of a version not understood."""
    body = _body(line)
    try:
        return None if body is None else _decoder.decode(body)
    except msgspec.DecodeError:
        return None
