"""What was found out by trying something: the lines of `stream-inspect check`, and what a plug-in's probe answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """It will run, and not as well as it could."""
    FAIL = "fail"
    """It will not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found out. No field holds a secret."""

    level: Level
    item: str
    """What was tried: `camera top`, `alert mqtt`, `ring`."""
    text: str
    """What was found."""
    advice: str = ""
    """What to do about it."""


def ok(item: str, text: str) -> Finding:
    """It works."""
    return Finding(Level.OK, item, text)


def warn(item: str, text: str, advice: str = "") -> Finding:
    """It will run, and not as well as it could."""
    return Finding(Level.WARN, item, text, advice)


def fail(item: str, text: str, advice: str = "") -> Finding:
    """It will not work."""
    return Finding(Level.FAIL, item, text, advice)
