"""Alerts as JSON lines in a file: each on disk before it counts as sent.

A path that cannot be opened or written as it is (permissions, a folder in its place, a read-only disk) waits for a
person (`OutputRefusedError`); a disk that is full or fails may pass (`AlertError`). No event is rejected.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import ClassVar

from stream_inspect.alerts.alert import AlertError, OutputRefusedError
from stream_inspect.config.outputs.file import FileAlertConfig
from stream_inspect.findings import Finding, fail, ok
from stream_inspect.log import get_logger
from stream_inspect.messages import Event, event_json
from stream_inspect.store.durable import sync_folder
from stream_inspect.store.writable import unwritable

_CHUNK_BYTES = 64 * 1024
_FOR_A_PERSON = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP,
    errno.EFBIG,
}  # fmt: skip


class FileAlert:
    """Appends events to a file that others may read, rotate or delete meanwhile."""

    acknowledges: ClassVar[bool] = True

    def __init__(self, config: FileAlertConfig, *, line: str, state_dir: Path) -> None:
        """A relative path lies in `state_dir`."""
        self._path = state_dir / config.path
        self._handle: int | None = None
        self._room_bytes = 0  # what the last line needed
        self._log = get_logger(__name__, output=config.name, line=line)

    def open(self) -> None:
        """Open the file, making it (and its folder) if needed, and repair a last line that a crash left incomplete."""
        self.close()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._repair(self._handle)
            sync_folder(self._path.parent)
        except OSError as error:
            raise self._error("open", error) from error

    def send(self, event: Event) -> None:
        """Write one line and wait until it is on disk."""
        line = event_json(event) + b"\n"
        self._room_bytes = len(line)
        try:
            handle = self._opened()
            written = os.write(handle, line)
            os.fsync(handle)
        except OSError as error:
            raise self._error("write", error) from error
        if written != len(line):
            # What was written of it is removed when the file is opened again.
            raise AlertError(f"cannot write {self._path}: only {written} of {len(line)} bytes; is the disk full?")

    def check(self) -> None:
        """Nothing to check: there is no connection."""

    def works_again(self) -> bool:
        """Raises `AlertError` where the file cannot be opened, the disk has no room for a line, or it fails."""
        try:
            handle = self._opened()
            os.fsync(handle)
            disk = os.fstatvfs(handle)
            if disk.f_bavail * disk.f_frsize < self._room_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._error("write", error) from error
        return True

    def close(self) -> None:
        """Close the file; everything in it is on disk already."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    @staticmethod
    def probe(config: FileAlertConfig) -> list[Finding]:
        """Whether the file can be written. `config.path` is absolute, as in every configuration that was loaded."""
        reason = "is a folder" if config.path.is_dir() else unwritable(config.path.parent)
        if reason:
            return [fail(config.name, f"{config.path}: {reason}")]
        return [ok(config.name, f"{config.path} can be written")]

    def _opened(self) -> int:
        """The file that the path names now. Raises OSError, `AlertError`."""
        if self._handle is None or self._moved_away(self._handle):
            self.open()
        assert self._handle is not None
        return self._handle

    def _error(self, doing: str, error: OSError) -> AlertError:
        kind = OutputRefusedError if error.errno in _FOR_A_PERSON else AlertError
        return kind(f"cannot {doing} {self._path}: {error.strerror}")

    def _moved_away(self, handle: int) -> bool:
        """Whether the path no longer names the open file: log rotation, or it was deleted."""
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        return not os.path.samestat(os.fstat(handle), there)

    def _repair(self, handle: int) -> None:
        """Leave the file ending in a newline.

        An incomplete last line was never acknowledged, so its event is sent again: the line is removed. A whole one
        that lacks only its newline gets it.
        """
        size = os.fstat(handle).st_size
        start = _last_line_start(handle, size)
        if start == size:
            return
        tail = os.pread(handle, size - start, start)
        if _is_json(tail):
            os.write(handle, b"\n")
        else:
            os.ftruncate(handle, start)
            self._log.warning("removed an incomplete last line", path=str(self._path), bytes=size - start)
        os.fsync(handle)


def _last_line_start(handle: int, size: int) -> int:
    """Where the text after the last newline begins; `size` when there is none."""
    end = size
    while end > 0:
        begin = max(0, end - _CHUNK_BYTES)
        newline = os.pread(handle, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
