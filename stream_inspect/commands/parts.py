"""What a line made: how many parts by lot and shift, and the parts whose verdicts are in the event log."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TextIO
from zoneinfo import ZoneInfo

from stream_inspect.config.models import Config
from stream_inspect.errors import UsageError
from stream_inspect.messages import Event, Reason
from stream_inspect.store.events import EventStore, UnreadableEventError
from stream_inspect.store.files import events_database, part_counts
from stream_inspect.store.part_counts import PartCount, PartCountStore

Row = Sequence[str | int]

_UNDECIDED = [reason for reason in Reason if reason not in (Reason.ENOUGH_VIEWS, Reason.DEFECT)]
COUNT_COLUMNS = (
    "line", "lane", "lot", "shift_start", "entered", "passed", "failed", "undecided", "on_belt", "late_defects",
    "escapes", *(f"undecided_{reason}" for reason in _UNDECIDED),
)  # fmt: skip
PART_COLUMNS = (
    "id", "line", "run", "part", "lane", "serial", "lot", "verdict", "reason", "why", "views", "defects", "decided_utc",
    "trigger_utc", "gate_utc",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet calculates where a cell begins with it."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
"""A carriage return would begin another row, and its first cell."""
_READ_AT_ONCE = 500


def counts(config: Config, *, since: str | None = None, until: str | None = None) -> Iterator[Row]:
    """The headers, then a row for each line, lane, lot and shift, the earliest shift first.

    `since` and `until` (a date, or date and time, by the clock of the line) are of the beginning of the shift. Raises
    `UsageError` for what is neither, and where nothing was counted yet; `StoreError` where the file cannot be read.
    """
    _check(since, until)
    path = part_counts(config.state_dir)
    if not path.exists():
        raise UsageError(f"no counts at {path}: parts are counted while the service runs with a line under `lines`")
    with closing(PartCountStore(path)) as store:
        rows = _together(store.read())
    yield COUNT_COLUMNS
    for row in rows:
        zone = _zone(config, row.line)
        if _is_within(row.shift_utc_s, since, until, zone):
            yield _count_row(row, zone)


def parts(config: Config, *, since: str | None = None, until: str | None = None) -> Iterator[Row]:
    """The headers, then a row for each part in the event log, in order of their verdicts.

    Those that passed are among them only where an output asks for PASS. `since` and `until` are of the verdict. Raises
    `UsageError` and `StoreError` as `counts` does.
    """
    _check(since, until)
    path = events_database(config.state_dir)
    if not path.exists():
        raise UsageError(f"no event log at {path}: has the service run with this state_dir?")
    with closing(EventStore(path)) as store:
        yield PART_COLUMNS
        for event in _events(store):
            if event.part is not None:
                zone = _zone(config, event.line)
                if _is_within(event.last_seen_utc_ns / 1e9, since, until, zone):
                    yield _part_row(event)


def write_csv(file: TextIO, rows: Iterator[Row]) -> int:
    """Write them as CSV; returns how many there are below the headers.

    A spreadsheet must not take a serial number for a formula: text that begins like one gets an apostrophe before it,
    and a control character becomes a space.
    """
    writer = csv.writer(file, lineterminator="\n")
    written = -1
    for row in rows:
        writer.writerow([_safe(cell) for cell in row])
        written += 1
    return written


def _safe(cell: str | int) -> str | int:
    if not isinstance(cell, str):
        return cell
    text = _CONTROL.sub(" ", cell)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _together(counts: Sequence[PartCount]) -> list[PartCount]:
    """The rows of one lane, lot and shift as one, whatever runs they are of."""
    found: dict[tuple[str, int, int, str], PartCount] = {}
    for one in counts:
        place = one.line, one.shift_utc_s, one.lane, one.lot
        if (whole := found.get(place)) is None:
            found[place] = one
            continue
        for name in ("entered", "passed", "failed", "late_defects", "escapes"):
            setattr(whole, name, getattr(whole, name) + getattr(one, name))
        for reason, parts in one.undecided_by.items():
            whole.undecided_by[reason] = whole.undecided_by.get(reason, 0) + parts
    return list(found.values())


def _count_row(row: PartCount, zone: ZoneInfo) -> Row:
    start = datetime.fromtimestamp(row.shift_utc_s, zone).isoformat(timespec="minutes")
    sums = row.entered, row.passed, row.failed, row.undecided, row.on_belt, row.late_defects, row.escapes
    return [row.line, row.lane, row.lot, start, *sums, *(row.undecided_by.get(reason, 0) for reason in _UNDECIDED)]


def _events(store: EventStore) -> Iterator[Event]:
    cursor = 0
    while True:
        try:
            found = store.after(cursor, _READ_AT_ONCE)
        except UnreadableEventError as error:
            cursor = error.position
            continue
        yield from (event for _, event in found)
        if not found:
            return
        cursor = found[-1][0]


def _part_row(event: Event) -> Row:
    part = event.part
    assert part is not None
    defects = "; ".join(f"{one.defect} {one.score:.2f}" for one in part.defects if one.confirmed)
    times = [_time(ns) for ns in (event.last_seen_utc_ns, part.trigger_utc_ns, part.gate_utc_ns)]
    head = event.id, event.line, part.run, part.number, part.lane, part.serial, part.lot
    return [*head, str(part.verdict), str(part.reason), event.reason, event.views, defects, *times]


def _time(utc_ns: int | None) -> str:
    if utc_ns is None:
        return ""
    return datetime.fromtimestamp(utc_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _zone(config: Config, line: str) -> ZoneInfo:
    """The time zone of a line; UTC of one that is configured no more."""
    known = config.parts_of(line)
    return ZoneInfo("UTC" if known is None else known.time_zone)


def _check(since: str | None, until: str | None) -> None:
    """Raises `UsageError` where one of these is not a time."""
    _is_within(0.0, since, until, ZoneInfo("UTC"))


def _is_within(utc_s: float, since: str | None, until: str | None, zone: ZoneInfo) -> bool:
    first = -math.inf if since is None else _moment(since, "--since", zone)
    end = math.inf if until is None else _moment(until, "--until", zone)
    return first <= utc_s < end


def _moment(text: str, option: str, zone: ZoneInfo) -> float:
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option}: {text!r} is not a date, such as 2026-11-29, or date and time, such as 2026-11-29T06:00"
        ) from None
    return (given if given.tzinfo else given.replace(tzinfo=zone)).timestamp()
