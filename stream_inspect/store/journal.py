"""The journal: an append-only file next to the event log that holds the events on their way into it.

One line an event: the CRC-32 of the JSON in hexadecimal, a space, the JSON. A line is in the kernel once `append`
returns, so that a killed process loses nothing; `sync` puts it on the disk.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from stream_inspect.messages import Event, event_json

_BATCH_BYTES = 1 << 20

_decoder = msgspec.json.Decoder(Event)


class Journal:
    """A queue of events in a file: one thread appends, another one takes from the front.

    The file is emptied when all of it has been taken, so its size is what waits. Every method raises OSError.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal; cut off a last line that was torn by a crash."""
        self._path = path
        self._descriptor: int | None = None
        self._lock = threading.Lock()
        self._front = self._end = 0  # bytes
        self.damaged = 0
        """Lines of the previous run that were torn, or whose checksum is wrong: they hold no event."""
        if path.exists():
            self._open_at_start()

    def append(self, events: Sequence[Event]) -> None:
        """Add all these events, or none."""
        lines = b"".join(_line(event) for event in events)
        with self._lock:
            descriptor = self._opened()
            try:
                written = 0
                while written < len(lines):
                    written += os.pwrite(descriptor, lines[written:], self._end + written)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, self._end)
                raise
            self._end += len(lines)

    def waiting(self) -> list[Event]:
        """All events that have not been taken."""
        return [event for _, event in self._lines(self._read(self._front, self._end), self._front)]

    def batch(self) -> list[tuple[int, Event]]:
        """The events at the front, about a megabyte of them, each with the offset of its end for `take`."""
        front, end = self._front, self._end
        size = _BATCH_BYTES
        while True:
            found = list(self._lines(self._read(front, min(end, front + size)), front))
            if found or front + size >= end:
                return found
            size *= 2  # one line is longer than that

    def take(self, offset: int) -> None:
        """Remove the events up to this offset."""
        with self._lock:
            if offset == self._end:
                os.ftruncate(self._opened(), 0)
                self._front = self._end = 0
            else:
                self._front = offset

    def sync(self) -> None:
        """Put what has been appended on the disk."""
        if self._descriptor is not None:
            os.fdatasync(self._descriptor)

    @property
    def is_empty(self) -> bool:
        """Whether everything has been taken."""
        return self._front == self._end

    def _opened(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._descriptor

    def _open_at_start(self) -> None:
        descriptor = self._opened()
        content = self._read(0, os.fstat(descriptor).st_size)
        lines = content.split(b"\n")
        whole = [line for line in lines[:-1] if _event(line) is not None]
        self.damaged = len(lines) - 1 - len(whole) + bool(lines[-1])
        self._end = len(content) - len(lines[-1])
        os.ftruncate(descriptor, self._end if whole else 0)
        if not whole:
            self._end = 0

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


def _line(event: Event) -> bytes:
    body = event_json(event)  # holds no line break: JSON escapes them
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _event(line: bytes) -> Event | None:
    """The event of a line; None where the checksum is wrong, or the event is of a version not understood."""
    checksum, _, body = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError:
        return None
