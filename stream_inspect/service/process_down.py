"""When a process of the line counts as down, and why: only the supervisor knows, and its log is not read at night."""

from __future__ import annotations

from collections import deque

from stream_inspect.backoff import Backoff

DOWN_AFTER_S = 3.0
"""A process that runs again sooner, at the first attempt, is not an event: judging has hardly stopped."""
SHORT_TURNS_LIMIT_S = 10.0
"""A process that may be silent for longer than this before it is killed has turns that are long by nature."""
DOWN_AFTER_FAILURES = 2
STEADY_AFTER_S = 20.0
"""After running for this long a process no longer fails again and again: the next failure is the first of a new row."""
OFTEN, OFTEN_WITHIN_S = 4, 600.0
"""So many failures within this time are reported until there are fewer, however long it ran between them: what runs out
of memory every two minutes is not well in between."""
_RESTART_WAITS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Failures:
    """The failures of one process, across its restarts. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._backoff = Backoff(_RESTART_WAITS_S)
        self._times_s: deque[float] = deque(maxlen=OFTEN)
        self._cause = ""

    @property
    def in_a_row(self) -> int:
        """Failures since it last ran steadily."""
        return self._backoff.failures

    def failed(self, now_s: float, cause: str) -> float:
        """Note one more, for this reason; returns how many seconds to wait before the restart."""
        self._cause = cause
        self._times_s.append(now_s)
        return self._backoff.next_s()

    def ran(self, seconds: float) -> bool:
        """It has been running for this long: whether that has just ended a row of failures."""
        if not self.in_a_row or seconds <= STEADY_AFTER_S:
            return False
        self._backoff.reset()
        return True

    def detail(self, process: str, now_s: float, *, running: bool) -> str:
        """Why it counts as down; "" where it does not.

        A process in a crash loop counts as down also in the moments in which it runs.
        """
        if self.in_a_row >= DOWN_AFTER_FAILURES:
            return f"{process} has failed {self.in_a_row} times in a row: {self._cause}"
        if len(self._times_s) == OFTEN and now_s - self._times_s[0] < OFTEN_WITHIN_S:
            return f"{process} has failed {OFTEN} times within {OFTEN_WITHIN_S / 60:.0f} min: {self._cause}"
        if not running and self.in_a_row and now_s - self._times_s[-1] > DOWN_AFTER_S:
            return f"{process} has not been running for {now_s - self._times_s[-1]:.0f} s: {self._cause}"
        return ""


def absent_detail(process: str, absent_s: float) -> str:
    """The same for one that another unit starts, of which only its absence is known."""
    return f"{process} has not been running for {absent_s:.0f} s" if absent_s > DOWN_AFTER_S else ""


def unresponsive_detail(process: str, silence_s: float, limit_s: float) -> str:
    """The same for one that runs and gives no heartbeat, for which it is killed after `limit_s`.

    One with long turns (an inspect worker whose batches are long, or not measured yet) is down halfway to that.
    """
    if silence_s > (limit_s / 2 if limit_s > SHORT_TURNS_LIMIT_S else DOWN_AFTER_S):
        return f"{process} has not responded for {silence_s:.0f} s"
    return ""
