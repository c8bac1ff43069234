"""The dead letters of the outputs: events that were rejected. Works while the service runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime

from stream_inspect.config.models import Config
from stream_inspect.config.problems import did_you_mean
from stream_inspect.errors import UsageError
from stream_inspect.messages import as_sent, event_json
from stream_inspect.service.run_dir import is_running
from stream_inspect.store.events import EventStore, UnreadableEventError
from stream_inspect.store.files import events_database


def refused(config: Config, *, as_json: bool, output: str | None = None) -> Iterator[str]:
    """One line for each dead letter of the configured outputs (or of one), oldest first: when, which and why.

    As JSON each line is the event itself, as it would have been sent. Changes nothing. Raises `UsageError` where there
    is no event log or no such output, `StoreError` where it cannot be read.
    """
    names = _outputs(config, output)
    with closing(_store(config)) as store:
        for name in names:
            for letter, key in store.dead_letters(name):
                if as_json:
                    yield from _event(store, letter.position)
                else:
                    at = datetime.fromtimestamp(letter.utc_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                    yield f"{at}  {name}  {key}  {letter.reason}"


def send_again(config: Config, *, output: str | None = None) -> Iterator[str]:
    """Queue the dead letters of the configured outputs (or of one) again; one line for each output that has any.

    They keep their idempotency keys. The outputs find them within a second while the service runs, otherwise at its
    next start. Raises `UsageError` and `StoreError` as `refused` does.
    """
    names = _outputs(config, output)
    when = "the service sends them now" if is_running(config.state_dir) else "the service sends them when it is started"
    nothing = True
    with closing(_store(config)) as store:
        for name in names:
            if count := store.outputs.queue_again(name):
                nothing = False
                yield f"{name}: {count} {'event' if count == 1 else 'events'} queued again; {when}"
    if nothing:
        yield "nothing to send again: no event was rejected"


def _outputs(config: Config, output: str | None) -> Sequence[str]:
    names = [alert.name for alert in config.alerts]
    if output is None:
        return names
    if output not in names:
        raise UsageError(f"no output {output!r} in the configuration.{did_you_mean(output, names)}")
    return [output]


def _store(config: Config) -> EventStore:
    path = events_database(config.state_dir)
    if not path.exists():
        raise UsageError(f"no event log at {path}: has the service run with this state_dir?")
    return EventStore(path)


def _event(store: EventStore, position: int) -> Iterator[str]:
    """The event at this position; nothing where this version cannot read it."""
    try:
        stored = store.at(position)
    except UnreadableEventError:
        return
    if stored is not None:
        yield event_json(as_sent(stored.event, store.identity)).decode()
