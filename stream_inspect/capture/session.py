"""The number of a camera's connections, kept for ever: (camera, session, seq) must never name two frames."""

from __future__ import annotations

import os
from pathlib import Path


class SessionCounter:
    """Counts in a file of its own, `state_dir/sessions/<camera>`."""

    def __init__(self, state_dir: Path, camera: str) -> None:
        self._path = state_dir / "sessions" / camera

    def next(self) -> int:
        """The next number, from 1; durable before it is returned. Raises OSError, or ValueError on a damaged file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        number = self._last() + 1
        fresh = self._path.with_suffix(".new")
        with fresh.open("w", encoding="ascii") as file:
            file.write(f"{number}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return number

    def _last(self) -> int:
        try:
            text = self._path.read_text(encoding="ascii")
        except FileNotFoundError:
            return 0
        try:
            return int(text)
        except ValueError:
            raise ValueError(
                f"{self._path} should hold the number of the camera's last session and holds {text[:40]!r}: "
                "write a number larger than any session in the event log into it"
            ) from None
