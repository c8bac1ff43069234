"""Parts by lane, lot and shift: each counted once, where it entered, whatever is killed in between."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from stream_inspect.config.models import LineConfig
from stream_inspect.decide.shifts import Shifts
from stream_inspect.decide.tallies import Tallies
from stream_inspect.messages import Reason, Verdict
from stream_inspect.store.part_counts import PartCount
from tests.decide.test_line_parts import LEFT, Line, frame

THREE = ["06:00", "14:00", "22:00"]


@pytest.mark.parametrize(
    ("now", "began"),
    [
        ("2026-11-29T05:59+01:00", "2026-11-28T22:00+01:00"),
        ("2026-11-29T06:00+01:00", "2026-11-29T06:00+01:00"),
        ("2026-11-29T23:30+01:00", "2026-11-29T22:00+01:00"),
        # The night in which the clock is set forward, and the one in which 02:30 comes twice.
        ("2026-03-29T05:59+02:00", "2026-03-28T22:00+01:00"),
        ("2026-03-29T06:00+02:00", "2026-03-29T06:00+02:00"),
        ("2026-10-25T02:30+01:00", "2026-10-24T22:00+02:00"),
        ("2026-10-25T05:59+01:00", "2026-10-24T22:00+02:00"),
    ],
)
def test_a_shift_lasts_until_the_next_by_the_local_clock(now: str, began: str) -> None:
    start = Shifts(THREE, "Europe/Berlin").start_of(datetime.fromisoformat(now).timestamp())
    assert start.isoformat(timespec="minutes") == began


def test_the_same_shifts_are_found_in_any_order_of_times() -> None:
    shifts, hours = Shifts(THREE, "Europe/Berlin"), range(0, 24 * 400, 5)
    times = [datetime(2026, 1, 1, tzinfo=UTC).timestamp() + 3600 * hour for hour in hours]
    forward = [shifts.start_of(at) for at in times]
    assert forward == [shifts.start_of(at) for at in reversed(times)][::-1]
    assert all(0 <= at - start.timestamp() <= 9 * 3600 for at, start in zip(times, forward, strict=True))


class Counted:
    """The rows as the service keeps them: each replaces what it held before."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int, int], PartCount] = {}

    def put(self, counts: Sequence[PartCount]) -> None:
        self.rows |= {count.key: count for count in counts}

    @property
    def one(self) -> PartCount:
        (row,) = self.rows.values()
        return row


def sums(row: PartCount) -> tuple[int, ...]:
    return row.entered, row.passed, row.failed, row.undecided, row.on_belt


def test_a_part_is_counted_as_it_enters_and_when_it_has_its_verdict() -> None:
    line, counted = Line(), Counted()
    for number in range(10):
        line.see(number)
        line.judge(number)
    counted.put(line.parts.take_tallies())
    assert sums(counted.one) == (1, 0, 0, 0, 1)
    for number in range(10, LEFT + 1):
        line.see(number)
        line.judge(number)
    counted.put(line.parts.take_tallies())
    assert sums(counted.one) == (1, 1, 0, 0, 0)
    assert (counted.one.line, counted.one.lot, counted.one.shift_utc_s) == ("line1", "1970-01-01", 0), (
        "the lot is the day"
    )


def test_a_killed_process_leaves_no_part_uncounted_and_none_counted_twice(tmp_path: Path) -> None:
    killed, counted = Line(tmp_path / "parts"), Counted()
    for number in range(6):
        killed.see(number)
    killed.parts.save()  # and is killed before the counts are written
    line = Line(tmp_path / "parts")
    line.see(6)
    line.judge(6)
    counted.put(line.parts.take_tallies())
    assert sums(counted.one) == (1, 0, 0, 0, 1), "it is still there, and found again"
    for number in range(7, LEFT + 2):
        line.see(number)
        line.judge(number)
    counted.put(line.parts.take_tallies())
    assert sums(counted.one) == (1, 0, 0, 1, 0)
    assert counted.one.undecided_by == {Reason.RESTARTED: 1}


def line_config(**more: object) -> LineConfig:
    return LineConfig.model_validate({"name": "line1", "parts": {"kind": "background"}, **more})


LOT = {"lot": {"input": "plc", "text": "lot"}}


def test_each_lane_lot_and_shift_has_a_row_and_a_lot_that_returns_continues_its_own() -> None:
    tallies = Tallies(line_config(**LOT, shifts_start=["00:00", "00:01"]))
    for part, (lane, lot, minute) in enumerate(
        [(0, "A", 0), (1, "A", 0), (0, "B", 0), (0, "A", 0), (0, "A", 1), (0, "", 1)], 1
    ):
        tallies.enter(1, part, lane, lot, msgspec.structs.replace(frame(0), capture_utc_ns=minute * 60_000_000_000))
    rows = tallies.take_changed(on_belt=range(100))
    assert [(row.lane, row.lot, row.shift_utc_s, row.entered) for row in rows] == [
        (0, "A", 0, 2), (1, "A", 0, 1), (0, "B", 0, 1), (0, "A", 60, 1), (0, "", 60, 1),
    ]  # fmt: skip
    assert tallies.take_changed(on_belt=range(100)) == [], "nothing has changed"


def test_a_late_defect_counts_once_and_as_an_escape_where_the_part_had_passed() -> None:
    tallies, line = Tallies(line_config()), Line()
    for number in range(LEFT + 1):
        line.see(number)
        line.judge(number)
    passed = line.final[0]
    for part in (1, 2):
        tallies.enter(1, part, 0, "", frame(0))
    tallies.decide(msgspec.structs.replace(passed, part=1))
    tallies.decide(msgspec.structs.replace(passed, part=2, verdict=Verdict.UNDECIDED, reason=Reason.NOT_JUDGED))
    for part in (1, 1, 2):
        tallies.find_late(part)
    (row,) = tallies.take_changed(on_belt=[1, 2])
    assert (row.late_defects, row.escapes) == (2, 1)
    tallies.find_late(1)
    assert tallies.take_changed(on_belt=[]) == []


def test_what_is_kept_for_the_next_process_is_bounded_even_where_each_part_names_a_lot() -> None:
    tallies = Tallies(line_config(**LOT))
    written: list[PartCount] = []
    for part in range(1, 1001):
        tallies.enter(1, part, 0, f"lot {part}", frame(0))
        written += tallies.take_changed(on_belt=range(part - 5, part + 1))
    assert len({row.key for row in written}) == 1000
    assert len(tallies.record.counts) <= 70
