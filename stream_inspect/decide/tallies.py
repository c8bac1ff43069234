"""The parts of one line by lane, lot and shift: how many entered, had which verdict, and were found defective late."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from stream_inspect.config.models import LineConfig
from stream_inspect.decide.shifts import Shifts
from stream_inspect.messages import FrameHeader, PartVerdict, Verdict
from stream_inspect.store.part_counts import PartCount

_KEPT = 64
"""Rows without a part on the belt that are continued where their lot returns; of an older one, another row is begun."""


class CountLog(Protocol):
    """What keeps the counts; `store/part_counts.py` of the service. It never waits for a disk."""

    def put(self, counts: Sequence[PartCount]) -> None:
        """Take these rows, each in place of what it held before."""

    def finish(self) -> None:
        """Begin to stop: nothing more is counted. Does not wait."""

    def close(self, timeout_s: float) -> None:
        """Stop, within that time. Never raises."""


class TallyRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the next process has to know."""

    counts: dict[int, PartCount] = {}
    """By the first part of each."""
    counted_in: dict[int, int] = {}
    """The row of each part that may still change it, by part."""
    passed: set[int] = set()
    late: set[int] = set()


class Tallies:
    """Every part is counted in the row of the lane, the lot and the shift with which it entered."""

    def __init__(self, line: LineConfig) -> None:
        self._line = line
        self._shifts = Shifts(line.shifts_start, line.time_zone)
        self.record = TallyRecord()
        self._changed: set[int] = set()

    def restore(self, record: TallyRecord) -> None:
        """Continue what another process has counted, and may not have written."""
        self.record = record
        self._changed = set(record.counts)

    def enter(self, run: int, part: int, lane: int, lot: str, frame: FrameHeader) -> None:
        """A part, as long as it is new, has entered in this frame."""
        known = self.record
        if part in known.counted_in:
            return
        shift = self._shifts.start_of(frame.capture_utc_ns / 1e9)
        lot = lot if self._line.lot is not None else f"{shift:%Y-%m-%d}"
        shift_utc_s = round(shift.timestamp())
        place = lane, lot, shift_utc_s
        row = next((one for one in known.counts.values() if (one.lane, one.lot, one.shift_utc_s) == place), None)
        if row is None:
            row = known.counts[part] = PartCount(
                line=self._line.name, run=run, first_part=part, lane=lane, lot=lot, shift_utc_s=shift_utc_s
            )
        row.entered += 1
        known.counted_in[part] = row.first_part
        self._changed.add(row.first_part)

    def lot_of(self, part: int) -> str:
        """The lot that the part was counted in; "" where it is not known any more."""
        row = self._row(part)
        return "" if row is None else row.lot

    def decide(self, verdict: PartVerdict) -> None:
        """A part has its verdict."""
        row = self._row(verdict.part)
        if row is None:
            return
        if verdict.verdict is Verdict.PASS:
            row.passed += 1
            self.record.passed.add(verdict.part)
        elif verdict.verdict is Verdict.FAIL:
            row.failed += 1
        else:
            row.undecided_by[verdict.reason] = row.undecided_by.get(verdict.reason, 0) + 1
        self._changed.add(row.first_part)

    def find_late(self, part: int) -> None:
        """A defect was confirmed on a part that had another verdict than FAIL; it counts once."""
        row = self._row(part)
        if row is None or part in self.record.late:
            return
        self.record.late.add(part)
        row.late_defects += 1
        row.escapes += part in self.record.passed
        self._changed.add(row.first_part)

    def take_changed(self, on_belt: Collection[int]) -> list[PartCount]:
        """The rows that have changed since the last call, as they stand.

        Parts that are not in `on_belt`, the ledger's, are forgotten, and rows without one, but for the latest.
        """
        known = self.record
        changed = [known.counts[first] for first in sorted(self._changed)]
        self._changed.clear()
        known.counted_in = {part: row for part, row in known.counted_in.items() if part in on_belt}
        known.passed &= known.counted_in.keys()
        known.late &= known.counted_in.keys()
        in_use = set(known.counted_in.values())
        for first in sorted(known.counts.keys() - in_use)[:-_KEPT]:
            del known.counts[first]
        return [msgspec.structs.replace(row, undecided_by=dict(row.undecided_by)) for row in changed]

    def _row(self, part: int) -> PartCount | None:
        first = self.record.counted_in.get(part)
        return None if first is None else self.record.counts[first]
