"""Which outputs are configured, and whether their cursors are positions of this event log.

Decided at each start, before the first event is appended. A file that a person has moved away, restored from a backup,
or a name that was changed in the configuration must not make events that are owed disappear in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from stream_inspect.log import get_logger
from stream_inspect.store.deliveries_schema import IS_QUEUED_AGAIN, LOG, OUTCOMES, OUTPUTS, count_outcomes


class LogView(Protocol):
    """What has to be known of the event log."""

    identity: str

    def extent(self) -> tuple[int, int]:
        """The positions of the first event that the log holds, and of the last one that it ever held."""

    def whole_after(self, cursor: int) -> int:
        """The lowest position, not below this one, behind which no event has been pruned."""


@dataclass(slots=True)
class Registration:
    """What a registration changes, and what of it a person has to know."""

    identity: str
    first: int
    end: int
    """Of the event log, see `LogView.extent`."""
    active: dict[str, int] = field(default_factory=dict)
    """The cursors of the configured outputs, where they are new, return or have moved."""
    inactive: dict[str, int] = field(default_factory=dict)
    """Those of outputs that are not configured, likewise."""
    is_new_identity: bool = False
    is_first: bool = False
    """No output was known, though the log is not new."""
    is_other_log: bool = False
    is_older_copy: bool = False
    """Of the same log: it ends before a cursor."""
    left: dict[str, int] = field(default_factory=dict)
    """Outputs that are configured no more, and how many events each is still owed."""
    pruned: dict[str, int] = field(default_factory=dict)
    """Outputs that are configured again, and how many events each was owed that the log no longer holds."""

    @property
    def changes(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.is_new_identity or self.active or self.inactive or self.is_other_log or self.is_older_copy)

    def log(self, path: Path) -> None:
        """Log what a person has to know; `path` is the event log's."""
        log = get_logger(__name__)
        if self.is_other_log:
            log.error(
                "another event log than before; what the earlier one owed is not sent",
                path=str(path),
                events_owed_by_this_one=self.end + 1 - self.first,
            )
        if self.is_older_copy:
            log.error("older copy of the event log; what came after it is gone", path=str(path), last_position=self.end)
        if self.is_first:
            log.error(
                "record of deliveries is new; what waited for outputs is not sent",
                outputs=sorted(self.active),
                events_in_the_log=self.end + 1 - self.first,
            )
        for output, events in self.left.items():
            log.warning("output no longer configured; its events wait for its return", output=output, events=events)
        for output, events in self.pruned.items():
            log.warning("output returned after its events were pruned", output=output, events=events)


def plan(connection: Connection, outputs: Sequence[str], log: LogView) -> Registration:
    """What is to be changed, so that these outputs are the configured ones. A new one is owed what comes from now on.

    One that is named no more keeps its cursor, but no longer keeps old events from being pruned. Where the cursors are
    of another log, each output is owed all that this one holds; events that were sent already keep their keys.
    """
    known = {row.output: (row.position, row.is_active) for row in connection.execute(select(OUTPUTS))}
    identity = connection.execute(select(LOG.c.identity)).scalar_one_or_none()
    first, end = log.extent()  # after the cursors, which follow the log
    found = Registration(log.identity, first, end, is_new_identity=identity != log.identity)
    is_beyond = any(position > end for position, _ in known.values())
    # A record of an older version does not say of which log it is.
    found.is_other_log = identity != log.identity and bool(known) and (identity is not None or is_beyond)
    found.is_older_copy = identity == log.identity and is_beyond
    found.is_first = identity is None and not known and bool(outputs) and end > 0
    for output in {**dict.fromkeys(outputs), **known}:
        position, was_active = known.get(output, (end, False))
        is_active = output in outputs
        cursor = first - 1 if found.is_other_log and output in known else min(position, end)
        if is_active and not was_active and output in known:
            whole = log.whole_after(cursor)
            if pruned := whole - cursor - _settled(connection, output, cursor, whole):
                found.pruned[output] = pruned
            cursor = whole
        if was_active and not is_active and not found.is_other_log:
            again = count_outcomes(connection, OUTCOMES.c.output == output, IS_QUEUED_AGAIN)
            owed = end - cursor - _settled(connection, output, cursor, end) + again
            if owed:
                found.left[output] = owed
        if (cursor, is_active) != known.get(output):
            (found.active if is_active else found.inactive)[output] = cursor
    return found


def apply(connection: Connection, planned: Registration) -> None:
    """Write it."""
    if planned.is_other_log:
        connection.execute(delete(OUTCOMES))
    connection.execute(
        delete(OUTCOMES).where((OUTCOMES.c.position < planned.first) | (OUTCOMES.c.position > planned.end))
    )
    if planned.is_new_identity:
        connection.execute(delete(LOG))
        connection.execute(insert(LOG).values(identity=planned.identity))
    for cursors, is_active in ((planned.active, True), (planned.inactive, False)):
        for output, position in cursors.items():
            row = {"position": position, "is_active": is_active}
            connection.execute(
                insert(OUTPUTS).values(output=output, **row).on_conflict_do_update(index_elements=["output"], set_=row)
            )


def _settled(connection: Connection, output: str, cursor: int, end: int) -> int:
    """How many events between are settled, one by one."""
    of_these = (OUTCOMES.c.output == output, OUTCOMES.c.position > cursor, OUTCOMES.c.position <= end)
    return count_outcomes(connection, *of_these)
