"""The clock that removal by age goes by: the wall clock, but a reading far off the last one only after a day.

A wall clock that jumps 40 days ahead (a wrong time server, a dead RTC battery) would otherwise make everything old, and
all clips and events would be removed within a minute. A machine that was off for a month looks the same, so a reading
that is more than a day off is accepted once the program has run for a day with it. What is known is kept in a file:
neither a restart nor a machine that is switched off each night begins that day again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from stream_inspect.log import get_logger
from stream_inspect.store.durable import durable_file

DAY_S = 86_400.0
"""Both the largest step that is accepted at once, and how long a larger one waits."""


class _Known(msgspec.Struct, kw_only=True):
    """What the file holds. Times in seconds since 1970."""

    accepted_s: float
    """The last reading that was accepted."""
    doubted_s: float | None = None
    """The last reading more than a day off, while that has not been accepted."""
    doubted_for_s: float = 0.0
    """Running time with readings near `doubted_s`."""


def running_s() -> float:
    """Seconds since the machine was started, those of a suspension included. No setting of the clock changes it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class RetentionClock:
    """Call `now_s` regularly, from one thread: the time between two calls counts as running time.

    `newest_s` returns the time of the newest thing that is kept, if there is one: where `path` holds nothing yet, the
    wall clock is compared with that. Where it cannot be written, the next call writes it again.
    """

    def __init__(
        self,
        path: Path,
        newest_s: Callable[[], float | None],
        *,
        wall_s: Callable[[], float] = time.time,
        running_s: Callable[[], float] = running_s,
    ) -> None:
        self._path, self._newest_s = path, newest_s
        self._wall_s, self._running_s = wall_s, running_s
        self._known: _Known | None = None
        self._called_running_s: float | None = None
        self._log = get_logger(__name__)

    def now_s(self) -> float:
        """The time by which ages are reckoned, in seconds since 1970. While it stands still, nothing gets older."""
        wall_s, running_s = self._wall_s(), self._running_s()
        elapsed_s = 0.0 if self._called_running_s is None else running_s - self._called_running_s
        self._called_running_s = running_s
        if self._known is None:
            self._known = self._load() or _Known(accepted_s=min(wall_s, self._newest_s() or wall_s))
        known = self._known
        was_doubted = known.doubted_s is not None
        if _is_near(wall_s, known.accepted_s + elapsed_s):
            self._accept(wall_s)
        else:
            if known.doubted_s is not None and _is_near(wall_s, known.doubted_s + elapsed_s):
                known.doubted_for_s += elapsed_s
            else:
                known.doubted_for_s = 0.0
            known.doubted_s = wall_s
            if known.doubted_for_s >= DAY_S:
                self._accept(wall_s)
            elif not was_doubted:
                moved_days = round((wall_s - known.accepted_s) / DAY_S, 1)
                self._log.warning("clock moved; nothing is removed by age for a day", moved_days=moved_days)
        if was_doubted and known.doubted_s is None:
            self._log.info("clock accepted; what is too old is removed again")
        self._save()
        return min(wall_s, known.accepted_s)

    def _accept(self, wall_s: float) -> None:
        assert self._known is not None
        self._known.accepted_s, self._known.doubted_s, self._known.doubted_for_s = wall_s, None, 0.0

    def _load(self) -> _Known | None:
        with suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._path.read_bytes(), type=_Known)
        return None

    def _save(self) -> None:
        with suppress(OSError), durable_file(self._path) as file:
            file.write(msgspec.json.encode(self._known))


def _is_near(wall_s: float, expected_s: float) -> bool:
    return abs(wall_s - expected_s) <= DAY_S
