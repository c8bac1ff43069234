"""What is reported of a plant input: that it cannot be read, that readings of it were lost."""

from __future__ import annotations

from stream_inspect.levels import Levels
from stream_inspect.messages import ConditionKind, Output

SILENT_AFTER_S = 1.0
"""A connection that is made again at once is not reported."""
LOST_FOR_S = 2.0
"""Readings that were lost are reported for this long after the last one."""


class InputWatch:
    """The condition `input_silent` of one input; its source is the input's name. Times are monotonic ns."""

    def __init__(self, name: str) -> None:
        self._levels = Levels(name)
        self._error_since_ns: int | None = None
        self._lost = 0
        self._lost_ns: int | None = None

    def update(self, error: str, lost: int, now_mono_ns: int) -> None:
        """How it stands now: why it cannot be read, if so, and how many of its readings were lost since the start."""
        if not error:
            self._error_since_ns = None
        elif self._error_since_ns is None:
            self._error_since_ns = now_mono_ns
        if lost > self._lost:
            self._lost, self._lost_ns = lost, now_mono_ns
        detail = ""
        if self._error_since_ns is not None and now_mono_ns - self._error_since_ns >= SILENT_AFTER_S * 1e9:
            detail = error
        elif self._lost_ns is not None and now_mono_ns - self._lost_ns < LOST_FOR_S * 1e9:
            detail = f"readings lost, {lost} since the start: they arrive faster than they are taken"
        self._levels.set(ConditionKind.INPUT_SILENT, bool(detail), detail)

    def due(self, now_mono_ns: int) -> list[Output]:
        """The level, when it has changed or has to be repeated."""
        return self._levels.due(now_mono_ns)
