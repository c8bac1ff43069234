"""What `decide` needs of the event log; `store/event_writer.py` of the service, `MemoryLog` of a replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from stream_inspect.messages import Event, EventState, counted_as


class EventLog(Protocol):
    """The durable record of events, which is also the outbox of all alerts. Once open, it never waits for a disk."""

    @property
    def waiting(self) -> int:
        """Events taken and not written yet."""

    @property
    def in_memory(self) -> tuple[int, int]:
        """Those of them that are in no file of the state folder, and how many that may be."""

    @property
    def waiting_since_mono_ns(self) -> int:
        """Since when none of those that wait has been written; 0 while none wait."""

    def open_events(self) -> list[Event]:
        """Confirmed events that have not been cleared. Call it before `open`."""

    def last_numbers(self) -> dict[tuple[str, int, str], int]:
        """The highest n ever used for each (camera or line, session or run, name). Call it before `open`."""

    def open(self, on_written: Callable[[], None]) -> None:
        """Start writing. `on_written` is called, by any thread, when `written` has something."""

    def append(self, events: Sequence[Event]) -> None:
        """Take these, to be written in order. An event whose key is already there is not kept twice."""

    def written(self) -> list[Event]:
        """What has been written since the last call, in order: these events are safe."""

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is written; False when it is not within that time."""

    def close(self, timeout_s: float) -> None:
        """Stop writing, within that time. Never raises."""


class MemoryLog:
    """An event log in memory, of a replay: `events` is all of it, in order. What is appended is written at once."""

    waiting = 0
    in_memory = (0, 0)
    waiting_since_mono_ns = 0

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._keys: set[str] = set()
        self._last: dict[tuple[str, int, str], int] = {}
        self._written: list[Event] = []

    def open_events(self) -> list[Event]:
        cleared = {event.id for event in self.events if event.state is EventState.CLEARED}
        return [e for e in self.events if e.state is EventState.CONFIRMED and e.id not in cleared]

    def last_numbers(self) -> dict[tuple[str, int, str], int]:
        return dict(self._last)

    def open(self, on_written: Callable[[], None]) -> None:
        """Wakes no one: `written` has the events as soon as `append` returns."""

    def append(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.key not in self._keys:
                self._keys.add(event.key)
                self.events.append(event)
                self._written.append(event)
                whose, name = counted_as(event)
                prefix, _, n = event.id.rpartition("-")
                session = int(prefix.removesuffix(f"-{name}").rpartition("-")[2])
                triple = (whose, session, name)
                self._last[triple] = max(self._last.get(triple, 0), int(n))

    def written(self) -> list[Event]:
        events, self._written = self._written, []
        return events

    def flush(self, timeout_s: float) -> bool:
        return True

    def close(self, timeout_s: float) -> None:
        """Nothing to close."""
