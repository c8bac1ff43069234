"""The folder of one run: sockets, frame rings, ledger, heartbeats and metric files. In memory, removed at the end.

A run holds a lock on its folder until it ends. An unlocked folder is left over from a killed run, and the
next start removes it. A second lock, in the state folder, keeps two services from writing the same events.

Its `records` outlive a kill of the whole service: the next run with the same state folder takes them over, and so
continues the sums of parts, and their places as far as they are known. A restart of the computer ends them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from stream_inspect.errors import StreamInspectError
from stream_inspect.store.files import LOCK

_PREFIX = "stream_inspect-"
_STATE = "state"
"""The file with the path of the state folder."""
_BEING_MADE_S = 60.0  # a folder without a lock file may belong to a run that is just starting


class RunDirError(StreamInspectError):
    """The folder cannot be created, or another service uses it. The text says what to do."""


def ledger_path(run_dir: Path) -> Path:
    """The ledger of a run."""
    return run_dir / "ledger"


def records_path(run_dir: Path) -> Path:
    """The folder of what the next process run of a stage continues from, and the next run after a kill."""
    return run_dir / "records"


def adopted_path(run_dir: Path) -> Path:
    """What a run has adopted of a changed configuration file."""
    return run_dir / "adopted.json"


def heartbeats_path(run_dir: Path) -> Path:
    """The heartbeat table of a run."""
    return run_dir / "heartbeats"


def last_error_path(run_dir: Path, row: str) -> Path:
    """Where the process of this row leaves the error that ends it."""
    return run_dir / f"{row}.error"


def metrics_path(run_dir: Path) -> Path:
    """The folder of the metric files of a run's processes."""
    return run_dir / "metrics"


def lock_state_dir(state_dir: Path) -> IO[bytes]:
    """Lock a state folder until the returned file is closed. Raises `RunDirError` if another service has locked it."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = lock_file(state_dir / LOCK)
    except OSError as error:
        raise RunDirError(f"cannot use state_dir {state_dir}: {error.strerror}") from error
    if lock is None:
        raise RunDirError(
            f"another stream-inspect is running with state_dir {state_dir}: stop it, or set another state_dir"
        )
    return lock


def is_running(state_dir: Path) -> bool:
    """Whether a service runs with this state folder, as far as its lock can be read."""
    return is_locked(state_dir / LOCK)


class RunDir:
    """The folder of this run, locked. Use as a context manager."""

    def __init__(self, parent: Path, state_dir: Path) -> None:
        self._state_lock = lock_state_dir(state_dir)
        try:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            self._lock = lock_file(self.path / LOCK)
            (self.path / _STATE).write_bytes(os.fsencode(state_dir.resolve()))
            remove_abandoned(parent, heir=self.path)
            metrics_path(self.path).mkdir()
            records_path(self.path).mkdir(exist_ok=True)
        except OSError as error:
            self._state_lock.close()
            raise RunDirError(f"cannot use transport.ring_dir {parent}: {error.strerror}") from error

    def close(self) -> None:
        """Remove the folder and release both locks."""
        shutil.rmtree(self.path, ignore_errors=True)
        for lock in (self._lock, self._state_lock):
            if lock is not None:
                lock.close()

    def __enter__(self) -> RunDir:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_abandoned(parent: Path, heir: Path | None = None) -> list[Path]:
    """Remove the folders of runs that were killed; returns what was removed.

    `heir` is the folder of a run, which takes over the records of a killed one with the same state folder.
    """
    removed = []
    for folder in parent.glob(_PREFIX + "*"):
        try:
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                continue
            if not (folder / LOCK).exists() and time.time() - status.st_mtime < _BEING_MADE_S:
                continue
            lock = lock_file(folder / LOCK)
        except OSError:  # another start has just removed it
            continue
        if lock is None:
            continue
        with lock:
            if heir is not None:
                _take_over(folder, heir)
            shutil.rmtree(folder, ignore_errors=True)
        removed.append(folder)
    return removed


def _take_over(folder: Path, heir: Path) -> None:
    """Move the records of a killed run to the next one."""
    with suppress(OSError):  # without records, counting begins again
        if (folder / _STATE).read_bytes() == (heir / _STATE).read_bytes():
            records_path(folder).rename(records_path(heir))


def lock_file(path: Path) -> IO[bytes] | None:
    """This file, locked until it is closed or we die, or None if another process has locked it. Raises OSError."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def is_locked(path: Path) -> bool:
    """Whether a process has locked this file, as far as it can be read. It is locked, shared, while we look."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
