"""The file, whose receiver is a folder."""

from __future__ import annotations

import contextlib
from pathlib import Path

from stream_inspect.config.outputs.file import FileAlertConfig
from tests.alerts.rigs import Rig


class FileRig(Rig):
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "out"
        self._path = self._folder / "events.jsonl"
        super().__init__(FileAlertConfig(kind="file", path=self._path), folder)

    def payloads(self) -> list[bytes]:
        return self._path.read_bytes().splitlines() if self._path.exists() else []

    def take_away(self) -> None:
        """The folder is gone, and something in its place keeps it from being made again."""
        if self._folder.exists():
            self._folder.rename(self._folder.with_name("away"))
        self._folder.write_text("")

    def bring_back(self) -> None:
        self._folder.unlink()
        with contextlib.suppress(FileNotFoundError):
            self._folder.with_name("away").rename(self._folder)


RIGS = {"file": FileRig}
