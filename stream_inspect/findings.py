"""Findings of a check: the lines of `stream-inspect check`, and the answers of an output's probe."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARN = "warn"
    """The service will run, but not as well as it could."""
    FAIL = "fail"
    """The service will not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. No field holds a secret."""

    level: Level
    item: str
    """What was checked: `camera top`, `alert mqtt`, `ring`."""
    text: str
    """The result."""
    advice: str = ""
    """What to do about it."""


def ok(item: str, text: str) -> Finding:
    """The check passed."""
    return Finding(Level.OK, item, text)


def warn(item: str, text: str, advice: str = "") -> Finding:
    """The service will run, but not as well as it could."""
    return Finding(Level.WARN, item, text, advice)


def fail(item: str, text: str, advice: str = "") -> Finding:
    """The service will not work."""
    return Finding(Level.FAIL, item, text, advice)
