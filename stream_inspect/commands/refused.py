"""The dead letters of the outputs: events that were permanently rejected. Works while the service runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from stream_inspect.config.models import Config
from stream_inspect.errors import UsageError
from stream_inspect.messages import as_sent, event_json
from stream_inspect.store.events import EventStore, UnreadableEventError
from stream_inspect.store.files import events_database


def refused(config: Config, *, as_json: bool) -> Iterator[str]:
    """One line for each event that a configured output permanently rejected, oldest first: when, which and why.

    As JSON each line is the event itself, as it would have been sent. Changes nothing. Raises `UsageError` where there
    is no event log, `StoreError` where it cannot be read.
    """
    path = events_database(config.state_dir)
    if not path.exists():
        raise UsageError(f"no event log at {path}: has the service run with this state_dir?")
    store = EventStore(path)
    try:
        for output in config.alerts:
            for letter, key in store.dead_letters(output.name):
                if as_json:
                    yield from _event(store, letter.position)
                else:
                    at = datetime.fromtimestamp(letter.utc_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                    yield f"{at}  {output.name}  {key}  {letter.reason}"
    finally:
        store.close()


def _event(store: EventStore, position: int) -> Iterator[str]:
    """The event at this position; nothing where this version cannot read it."""
    try:
        for found, event in store.after(position - 1, limit=1):
            if found == position:
                yield event_json(as_sent(event, store.identity)).decode()
    except UnreadableEventError:
        return
