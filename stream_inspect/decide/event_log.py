"""What `decide` needs of the event log; `store/events.py` is the one of the service, `MemoryLog` that of a replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stream_inspect.messages import Event, EventState


class EventLog(Protocol):
    """The durable record of events, which is also the outbox of all alerts."""

    def append(self, events: Sequence[Event]) -> None:
        """Keep these; they are safe when this returns. An event whose key is already there is not kept twice."""

    def last_n(self, camera: str, session: int, name: str) -> int:
        """The highest n ever used for these three, 0 if none."""

    def open_events(self) -> list[Event]:
        """Confirmed events that have not been cleared."""

    def prune(self, older_than_utc_ns: int) -> int:
        """Remove some of the events that were appended before this and that every output has had; returns how many."""


class MemoryLog:
    """An event log in memory, of a replay: `events` is all of it, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._keys: set[str] = set()
        self._last: dict[tuple[str, int, str], int] = {}

    def append(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.key not in self._keys:
                self._keys.add(event.key)
                self.events.append(event)
                prefix, _, n = event.id.rpartition("-")
                session = int(prefix.removesuffix(f"-{event.name}").rpartition("-")[2])
                triple = (event.camera, session, event.name)
                self._last[triple] = max(self._last.get(triple, 0), int(n))

    def last_n(self, camera: str, session: int, name: str) -> int:
        return self._last.get((camera, session, name), 0)

    def open_events(self) -> list[Event]:
        cleared = {event.id for event in self.events if event.state is EventState.CLEARED}
        return [e for e in self.events if e.state is EventState.CONFIRMED and e.id not in cleared]

    def prune(self, older_than_utc_ns: int) -> int:
        """Nothing is old here."""
        return 0
