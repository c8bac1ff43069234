"""Whether recording works: the condition, and the lines of the log, which follow the disk and so each other.

An outage has a line when it begins, one when its cause changes, and one when it ends, with how many events it has cost.
The single events are logged as debug meanwhile; outside of an outage each is a warning of its own.
"""

from __future__ import annotations

import threading
import time

from stream_inspect import log
from stream_inspect.levels import Levels
from stream_inspect.messages import ConditionKind, Output
from stream_inspect.record.disk import Stop


class RecordingState:
    """`not_recorded` may be called by any thread, the rest by the stage's."""

    def __init__(self) -> None:
        self._levels = Levels("recorder")
        self._stop: Stop | None = None
        self._since_mono_s = 0.0
        self._events = 0
        self._counting = threading.Lock()
        self._log = log.get_logger(__name__)

    def follow(self, stop: Stop | None) -> None:
        """Take in why recording is stopped; None: it works."""
        if stop is not None and (self._stop is None or stop.cause != self._stop.cause):
            if self._stop is None:
                self._since_mono_s = time.monotonic()
            self._log.error("recording stopped", cause=stop.cause, error=stop.text)
        elif stop is None and self._stop is not None:
            self._log.info("recording resumed", after_s=self._after_s(), events_not_recorded=self._take_count())
        self._stop = stop
        self._levels.set(ConditionKind.RECORDING_STOPPED, stop is not None, stop.text if stop else "recording")

    def due(self, now_mono_ns: int) -> list[Output]:
        """The condition, where it has to be sent now."""
        return self._levels.due(now_mono_ns)

    def not_recorded(self, what: str, event_id: str, cause: str, error: Exception | None = None) -> None:
        """An event has no clip or no picture."""
        details = {"error": str(error)} if error else {}
        if cause.startswith("disk_") and (self._stop is not None or cause != "disk_slow"):
            with self._counting:
                self._events += what.startswith("event clip")
            self._log.debug(what, event_id=event_id, cause=cause, **details)
        else:
            self._log.warning(what, event_id=event_id, cause=cause, **details)

    def close(self) -> None:
        """Log what an outage has cost that has not ended."""
        if self._stop is not None:
            self._log.warning("recording is still stopped", after_s=self._after_s(), events_not_recorded=self._events)

    def _after_s(self) -> float:
        return round(time.monotonic() - self._since_mono_s, 1)

    def _take_count(self) -> int:
        with self._counting:
            events, self._events = self._events, 0
        return events
