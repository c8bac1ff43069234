"""Names of files as other programs give them: with colons, in another encoding, numbered without zeros."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

_LISTED = 5
_NUMBER = re.compile(r"([0-9]+)")


def printable(name: str | Path) -> str:
    """The name as text that can be written anywhere: bytes that are not UTF-8 appear as `\\xfc`.

    Python keeps such bytes as lone surrogates, which no JSON, no database and no UTF-8 terminal accepts.
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def listed(names: Sequence[str]) -> str:
    """The first few of these names, and how many more there are."""
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def ffmpeg_url(path: Path) -> str:
    """The file as FFmpeg is to open it: of a name such as `10:22:33.mp4` it takes the part before the colon for a
    protocol."""
    return f"file:{path}"


def in_number_order(path: Path) -> tuple[list[str | int], str]:
    """A key that sorts names as people number them: `frame_2` before `frame_10`, and `frame_02` next to `frame_2`."""
    parts: list[str | int] = list(_NUMBER.split(path.name))
    parts[1::2] = [int(part) for part in parts[1::2]]
    return parts, path.name
