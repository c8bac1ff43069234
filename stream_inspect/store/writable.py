"""Whether a folder, there already or not, can be written to."""

from __future__ import annotations

import tempfile
from pathlib import Path


def unwritable(folder: Path) -> str:
    """Why nothing can be written to a folder (or to where it will be made), or nothing. Leaves nothing behind."""
    there = existing(folder)
    if not there.is_dir():
        return f"{there} is not a folder"
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return f"cannot be written: {error.strerror}"
    return ""


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
