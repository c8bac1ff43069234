"""Files that are either whole and on the disk, or not there: temporary name, fsync, rename, fsync of the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_TEMPORARY = ".part"


@contextmanager
def durable_file(path: Path | str) -> Iterator[BinaryIO]:
    """A file to write; it appears as `path` when the block has ended well, and leaves nothing when it has not.

    Raises OSError (a full disk included), from the block or from the fsyncs.
    """
    with whole_file(path) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    sync_folder(os.path.dirname(path))


@contextmanager
def whole_file(path: Path | str) -> Iterator[BinaryIO]:
    """The same without a wait for the disk: a kill leaves it whole or absent, a power cut perhaps empty."""
    temporary = f"{path}{_TEMPORARY}"
    try:
        with open(temporary, "wb") as file:
            yield file
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def sync_folder(folder: Path | str) -> None:
    """Make renames and removals in it last. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> int:
    """Remove what a killed writer has left half written; returns how many files."""
    removed = 0
    for path in folder.glob(f"*{_TEMPORARY}"):
        with suppress(OSError):
            path.unlink()
            removed += 1
    return removed
