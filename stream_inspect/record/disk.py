"""Why the disk under some folders cannot be written, found without waiting for the next file that fails on it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from stream_inspect.store.durable import durable_file

GB = 1_000_000_000
_ROOM_AGAIN = 1.05
"""A disk counts as writable again with this much more free space than it needs, so that it does not alternate."""
_PROBE_BYTES = 4096
_PICTURE_BYTES = 100_000
"""With less free space than a small picture takes the disk is full, whatever is configured."""


class Stop(NamedTuple):
    """Why nothing can be written."""

    cause: str
    """disk_full, disk_failed, disk_slow or disk_unmounted."""
    text: str
    """What is wrong, where, and what to do."""


class Disk:
    """The folders are created where they are missing. Every call may wait for the disk, for as long as that hangs."""

    def __init__(self, folders: Iterable[Path], min_free_bytes: int) -> None:
        self._folders = tuple(folders)
        self._state_dir = self._folders[0].parent
        self._min_free_bytes = min_free_bytes
        self._mount: Path | None = None
        self._device = 0
        """Of the file system that is mounted there."""

    def problem(self, *, stopped_at_bytes: int | None = None) -> Stop | None:
        """Why the folders cannot be written, as far as reading shows it.

        `stopped_at_bytes`: writing is stopped, by a file of this size, which the disk must have room for now.
        """
        if unmounted := self._unmounted():
            return unmounted
        try:
            for folder in self._folders:
                if not folder.is_dir():
                    self._make(folder)
            status = os.statvfs(self._folders[0])
        except OSError as error:
            return self._unmounted() or self.failure(error)
        if self._mount is None:
            self._mount = _mount_of(self._folders[0].resolve())
            self._device = self._mount.stat().st_dev
        if status.f_flag & os.ST_RDONLY:
            return self.failure(OSError(errno.EROFS, os.strerror(errno.EROFS)))
        for folder in self._folders:
            if not os.access(folder, os.W_OK | os.X_OK):
                return self.failure(PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        return self._too_full(status.f_bavail * status.f_frsize, stopped_at_bytes)

    def _unmounted(self) -> Stop | None:
        if self._mount is None or os.path.ismount(self._mount):
            return None
        # Its mount point is an ordinary folder now: what is written there fills another disk, unseen.
        return Stop("disk_unmounted", f"{self._mount} is not mounted any more: mount the disk of {self._state_dir}")

    def _make(self, folder: Path) -> None:
        """Create the folder, on the disk that it was on: it may be unmounted between any two calls."""
        if self._mount is None:
            folder.mkdir(parents=True, exist_ok=True)
            return
        root = os.open(self._mount, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if os.fstat(root).st_dev == self._device:
                below = folder.resolve().relative_to(self._mount)
                Path(f"/proc/self/fd/{root}", below).mkdir(parents=True, exist_ok=True)
        finally:
            os.close(root)

    def _too_full(self, free_bytes: int, stopped_at_bytes: int | None) -> Stop | None:
        free = f"{self._state_dir} has {free_bytes / GB:.2f} GB free"
        if stopped_at_bytes is not None:
            needed_bytes = max(self._min_free_bytes, stopped_at_bytes, _PICTURE_BYTES) * _ROOM_AGAIN
            return Stop("disk_full", f"{free}, too little: free some space") if free_bytes < needed_bytes else None
        if free_bytes < self._min_free_bytes:
            limit = f"less than recorder.min_free_gb ({self._min_free_bytes / GB:g})"
            return Stop("disk_full", f"{free}, {limit}: free some space")
        if free_bytes < _PICTURE_BYTES:
            return self.failure(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        return None

    def probe(self, size_bytes: int = 0) -> Stop | None:
        """Why a file of about this size cannot be written, by writing one and removing it."""
        for folder in self._folders:
            path = folder / ".probe"
            try:
                with durable_file(path) as file:
                    file.write(bytes(_PROBE_BYTES))
                    file.flush()
                    os.posix_fallocate(file.fileno(), 0, max(size_bytes, _PROBE_BYTES))
                path.unlink()
            except OSError as error:
                return self.failure(error)
        return None

    def failure(self, error: OSError) -> Stop:
        """The error of a write, as a reason to stop."""
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        cause = error.strerror or str(error)
        return Stop("disk_full" if is_full else "disk_failed", f"cannot write to {self._state_dir}: {cause}")


def _mount_of(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if os.path.ismount(path))
