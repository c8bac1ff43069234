"""The folder of one run: sockets, frame rings, ledger, board and metric files, in memory (tmpfs) and gone at the end.

A run holds a lock on its folder for as long as it lives. A folder without one was left behind by a killed run, and the
next start removes it. A second lock, in the state folder, keeps two services from writing the same events.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import IO

from stream_inspect.errors import StreamInspectError
from stream_inspect.store.files import LOCK

_PREFIX = "stream_inspect-"
_BEING_MADE_S = 60.0  # a folder without a lock file may belong to a start that is under way


class RunDirError(StreamInspectError):
    """The folder cannot be made, or another service holds it. The text says what to do."""


def lock_state_dir(state_dir: Path) -> IO[bytes]:
    """Hold a state folder until the returned file is closed. Raises `RunDirError` when a service runs with it."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = _lock(state_dir / LOCK)
    except OSError as error:
        raise RunDirError(f"state_dir {state_dir} is not usable: {error.strerror}") from error
    if lock is None:
        raise RunDirError(f"another stream-inspect runs with state_dir {state_dir}: stop it, or set another state_dir")
    return lock


def is_running(state_dir: Path) -> bool:
    """Whether a service runs with this state folder, as far as its lock can be read."""
    try:
        with (state_dir / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class RunDir:
    """The folder of this run, locked. Use as a context manager."""

    def __init__(self, parent: Path, state_dir: Path) -> None:
        self._state_lock = lock_state_dir(state_dir)
        try:
            remove_abandoned(parent)
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            self._lock = _lock(self.path / LOCK)
            self.metrics.mkdir()
        except OSError as error:
            self._state_lock.close()
            raise RunDirError(f"transport.ring_dir {parent} is not usable: {error.strerror}") from error

    @property
    def ledger(self) -> Path:
        return self.path / "ledger"

    @property
    def heartbeats(self) -> Path:
        return self.path / "board"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics"

    def close(self) -> None:
        """Remove the folder and give up both locks."""
        shutil.rmtree(self.path, ignore_errors=True)
        for lock in (self._lock, self._state_lock):
            if lock is not None:
                lock.close()

    def __enter__(self) -> RunDir:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_abandoned(parent: Path) -> list[Path]:
    """Remove the folders of runs that died without cleaning up; returns what was removed."""
    removed = []
    for folder in parent.glob(_PREFIX + "*"):
        try:
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                continue
            if not (folder / LOCK).exists() and time.time() - status.st_mtime < _BEING_MADE_S:
                continue
            lock = _lock(folder / LOCK)
        except OSError:  # another start has just removed it
            continue
        if lock is None:
            continue
        with lock:
            shutil.rmtree(folder, ignore_errors=True)
        removed.append(folder)
    return removed


def _lock(path: Path) -> IO[bytes] | None:
    """The file, locked for us until it is closed, or None when another process holds it."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
