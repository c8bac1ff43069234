"""The parts of each line, for the page: how many there were, and the last verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_inspect.messages import PartsStatus, PartVerdict

SHOWN = 24
"""Verdicts on the page, of each line."""


class Parts:
    """`put` is called from the stage's thread, `known` from the server's.

    The verdicts outlive a restart of the process that gives them: it continues the numbers of the parts.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._known: dict[str, tuple[PartsStatus, dict[int, PartVerdict]]] = {}

    def put(self, status: PartsStatus) -> bool:
        """How a line's parts stand; whether that is news."""
        before, last = self._known.get(status.line, (None, {}))
        if status == before:
            return False
        if before is not None and status.entered < before.entered:
            last = {}  # counting began again
        last = last | {verdict.part: verdict for verdict in status.last}
        self._known[status.line] = status, dict(list(last.items())[-SHOWN:])
        return True

    def known(self) -> list[dict[str, Any]]:
        """Each line whose parts are accounted for, with its sums and its last verdicts, newest first."""
        return [_line(name, *self._known.get(name, (None, {}))) for name in self._lines]


def _line(name: str, status: PartsStatus | None, last: dict[int, PartVerdict]) -> dict[str, Any]:
    return {
        "line": name,
        "counts": status.sums if status is not None else None,
        "last": [_verdict(one) for one in reversed(last.values())],
    }


def _verdict(one: PartVerdict) -> dict[str, Any]:
    confirmed = [found for found in one.defects if found.confirmed]
    return {
        "part": one.part,
        "verdict": str(one.verdict),
        "why": one.why,
        "serial": one.serial,
        "views": one.views,
        "defects": sorted({found.defect for found in confirmed}),
    }
