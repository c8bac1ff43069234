"""The ledger of one line's parts: whatever enters gets one verdict, and the sum closes at every moment.

    entered = passed + failed + undecided + on_belt        (on_belt: not decided yet)

All places are in line coordinates (`messages/parts.py`), so the ledger needs no tracker to know where a part is: a
frame of a camera shows the parts that lie in its window at the odometer's reading of its capture. Several finders may
find one part; they are joined by lane and place.

A part is decided as soon as a defect on it is confirmed; otherwise when it has left every camera and each due frame
that shows it has been reported, as judged or not; at the latest when it reaches its deadline at the gate. The ledger
reads no clock and keeps no file. The order of use for a batch of messages: take the notes, `settle`, keep `record()`,
then send what `take` gives, so that a killed process sends a verdict twice rather than not at all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from stream_inspect.decide.part_verdict import REASON_OF_DOUBT, Part
from stream_inspect.decide.part_views import CameraWindow, View
from stream_inspect.messages import Doubt, Interval, PartChange, PartDefect, PartVerdict, Reason, Verdict, What

_SAME_PART = 0.35
"""Share of the shorter of two stretches in one lane that both cover, from which on they are one part: boxes of
neighbours overlap by a tenth."""
_GAP_MOST = 256
"""Due frames that may be missing in a row; a longer gap in their numbers is another run of the camera."""

_LATER_DOUBTS = (Doubt.TWO_TRIGGERS, Doubt.STATIC)
"""What becomes known of a part that has entered without a doubt; the others are of a finder's own beginning."""
_WAITING_FEW = 32
"""Due frames in flight that are nothing unusual."""


@dataclass(frozen=True, slots=True)
class LineLayout:
    """Where a line's cameras and its gate are.

    A part is due at the gate when its leading edge is `margin_mm` from it. Frames captured within the last `judging_mm`
    before that are not waited for. Without a gate, parts are due `kept_mm` beyond the last camera. `joined_mm` is how
    far two finders may place one part apart. `kept_mm` is how far below everything a part is remembered, so that a belt
    that runs backwards and a late defect find it.
    """

    cameras: Mapping[str, CameraWindow]
    name: str = "line1"
    gate_mm: float | None = None
    margin_mm: float = 0.0
    judging_mm: float = 0.0
    joined_mm: float = 10.0
    kept_mm: float = 1000.0

    @property
    def end_mm(self) -> float:
        """The last place at which anything happens."""
        ends = [camera.offset_mm + camera.length_mm for camera in self.cameras.values()]
        return max([*ends, self.gate_mm if self.gate_mm is not None else -math.inf])

    def deadline_mm(self, along: Interval) -> float:
        """The odometer's reading by which the part is to be decided."""
        if self.gate_mm is not None:
            return along.low + self.gate_mm - self.margin_mm
        return along.high + self.end_mm + self.kept_mm


class Binding(StrEnum):
    """What a defect has done to its part."""

    NOTED = "noted"  # not confirmed so far
    FAILED = "failed"  # the part has failed by it
    ADDED = "added"  # one more defect of a part that had failed
    LATE = "late"  # the part had its verdict, and it was not FAIL: an escape if it was PASS
    UNKNOWN = "unknown"  # the part is not known any more


class LaneCounts(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The parts of one lane. `late_defects` are parts with a defect confirmed too late, `escapes` those that passed."""

    entered: int = 0
    passed: int = 0
    failed: int = 0
    undecided: int = 0
    on_belt: int = 0
    late_defects: int = 0
    escapes: int = 0
    undecided_by: dict[Reason, int] = {}

    @property
    def residual(self) -> int:
        """Parts that are not accounted for: zero."""
        return self.entered - self.passed - self.failed - self.undecided - self.on_belt


class CameraReports(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The place of one camera's newest frame, and its due frames that are neither judged nor missed."""

    odometer_mm: float | None = None
    last_due: int | None = None
    waiting: dict[int, float] = {}
    """The odometer's reading at the capture of each due frame that is waited for."""


class LedgerRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All that a ledger knows."""

    parts: list[Part]
    counts: dict[int, LaneCounts]
    cameras: dict[str, CameraReports]
    untaken: list[PartVerdict]
    next_id: int
    origin_ns: int | None
    odometer_mm: float | None
    forgotten_mm: float
    restarted_mm: float


class PartsLedger:
    """See the top of this file. Ids count from `next_id`; a restored ledger continues them."""

    def __init__(self, line: LineLayout, next_id: int = 1) -> None:
        self._line = line
        self._cameras = {name: CameraReports() for name in line.cameras}
        self._parts: dict[int, Part] = {}
        self._by_number: dict[tuple[str, int], int] = {}
        self._counts: dict[int, LaneCounts] = {}
        self._untaken: list[PartVerdict] = []
        self._next_id = next_id
        self._odometer_mm: float | None = None
        self._forgotten_mm = -math.inf
        """No part farther downstream is known any more: each has had its verdict."""
        self._restarted_mm = -math.inf
        """What is seen of parts that begin farther downstream may have been lost with another process."""
        self.origin_ns: int | None = None
        """When the odometer's zero was set that all places count from; None while there are none."""

    # --- notes ---------------------------------------------------------------------------------------------------

    def place(self, finder: str, change: PartChange) -> int | None:
        """What a finder reports of a part: the part's id, which it has in common with that of any other finder.

        None for a part that lies where all parts have had their verdicts and are forgotten, and for one that may be the
        other end of a known part: it is placed when it is seen whole or has left.
        """
        known = self._by_number.get((finder, change.number))
        part = self._parts.get(known) if known is not None else self._same_part(finder, change)
        if part is None:
            if known is not None or self._is_forgotten(change.along) or self._may_be_rest(change):
                return None
            part = self._enter(change)
        elif change.along.whole or not part.along.whole:
            part.along = change.along
        part.numbers[finder] = change.number
        self._by_number[finder, change.number] = part.id
        part.serial = part.serial or change.serial
        if change.doubt in _LATER_DOUBTS and part.verdict is None:
            part.doubt = part.doubt or REASON_OF_DOUBT[change.doubt]
        return part.id

    def frame(self, camera: str, odometer_mm: float, due: int | None = None) -> None:
        """A camera has captured a frame at this reading, `due` being its number if it is to be judged.

        It is noted after what the finder has found in the frame, and before any result of it. Numbers that were skipped
        are of frames whose notes were lost: they are waited for too.
        """
        reports = self._cameras[camera]
        if due is not None and (reports.last_due is None or due > reports.last_due):
            first = due if reports.last_due is None else reports.last_due + 1
            if due - first > _GAP_MOST:
                first = due
            reports.waiting.update(dict.fromkeys(range(first, due + 1), odometer_mm))
            reports.last_due = due
        reports.odometer_mm = odometer_mm
        self.advance(odometer_mm)

    def miss(self, upstream_mm: float) -> None:
        """Results of frames that show the line up to this place may have been lost, as with a killed process.

        Whatever begins farther downstream cannot pass, for a defect may have been seen on it; what enters later can.
        """
        self._restarted_mm = max(self._restarted_mm, upstream_mm)
        for part in self._parts.values():
            if part.verdict is None and self._may_have_been_missed(part.along):
                part.doubt = part.doubt or Reason.RESTARTED

    def advance(self, odometer_mm: float) -> None:
        """The belt is here now."""
        self._odometer_mm = odometer_mm

    def view(self, part_id: int, camera: str, due: int, odometer_mm: float, view: View) -> None:
        """What a judged frame, captured at this reading, shows of a part; whether it is cut is known by its place.

        All views of a frame are noted before its `report`.
        """
        part = self._parts.get(part_id)
        if part is not None:
            part.see(camera, due, view, odometer_mm, self._line.cameras[camera])

    def report(self, camera: str, due: int, *, judged: bool) -> None:
        """A due frame was judged, or will not be. Reported twice, it is the same."""
        odometer_mm = self._cameras[camera].waiting.pop(due, None)
        if odometer_mm is not None and not judged:
            for part_id in self.parts_in(camera, odometer_mm):
                self.view(part_id, camera, due, odometer_mm, View.NOT_JUDGED)

    def defect(self, part_id: int, found: PartDefect) -> Binding:
        """A sight of a defect on a part. A confirmed one fails it at once."""
        part = self._parts.get(part_id)
        if part is None:
            return Binding.UNKNOWN
        part.find(found)
        if not found.confirmed:
            return Binding.NOTED
        if part.verdict is None:
            part.decide(self._line.cameras)
            self._give(part)
            return Binding.FAILED
        if part.verdict is Verdict.FAIL:
            return Binding.ADDED
        if not part.is_late:
            part.is_late = True
            counts = self._counts[part.lane]
            counts.late_defects += 1
            counts.escapes += part.verdict is Verdict.PASS
        return Binding.LATE

    def lose_belt(self, reason: Reason = Reason.ODOMETER_UNKNOWN) -> None:
        """The odometer does not continue: places mean nothing any more, and what has no verdict is undecided."""
        for part in self._parts.values():
            if part.verdict is None:
                part.doubt = part.doubt or reason
                part.decide(self._line.cameras)
                self._give(part, is_final=True)
            elif not part.is_finished:
                self._untaken.append(self._verdict_of(part, is_first=False, is_final=True))
        self._parts.clear()
        self._by_number.clear()
        self._cameras = {name: CameraReports(last_due=was.last_due) for name, was in self._cameras.items()}
        self._odometer_mm, self._forgotten_mm, self._restarted_mm = None, -math.inf, -math.inf
        self.origin_ns = None

    # --- verdicts ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Decide what can be decided by what is noted, and forget what the belt will not bring back."""
        for part in list(self._parts.values()):
            is_over = self._is_complete(part) or self._is_out_of_reach(part)
            if part.verdict is None:
                self._decide(part, is_over=is_over)
            elif is_over and not part.is_finished:
                part.is_finished = True
                self._untaken.append(self._verdict_of(part, is_first=False, is_final=True))
            if part.is_finished and self._is_out_of_reach(part):
                self._forget(part)
        self._forget_lost_frames()

    @property
    def entered(self) -> int:
        """Parts that have entered, in all lanes."""
        return sum(counts.entered for counts in self._counts.values())

    def take(self) -> list[PartVerdict]:
        """The verdicts that were given since the last call, in order."""
        taken, self._untaken = self._untaken, []
        return taken

    # --- questions -----------------------------------------------------------------------------------------------

    @property
    def known(self) -> Collection[int]:
        """The parts that are not forgotten."""
        return self._parts.keys()

    def parts_in(self, camera: str, odometer_mm: float) -> list[int]:
        """The parts in a camera's picture at this reading."""
        window = self._line.cameras[camera]
        return [part.id for part in self._parts.values() if window.shows(part.along, odometer_mm)]

    def part(self, part_id: int) -> Part:
        """What is known of a part. Raises KeyError for one that is not known any more."""
        return self._parts[part_id]

    def place_of(self, part_id: int) -> tuple[Interval, int]:
        """Where a part lies, and its lane. Raises KeyError for one that is not known any more."""
        part = self._parts[part_id]
        return part.along, part.lane

    def parts_at(self, lane: int, s_mm: float) -> list[int]:
        """The parts of this lane that hold a place, the one whose middle is nearest first."""
        slack_mm = self._line.joined_mm
        holders = [
            part
            for part in self._parts.values()
            if part.lane == lane and part.along.low - slack_mm <= s_mm <= part.along.high + slack_mm
        ]
        return [part.id for part in sorted(holders, key=lambda part: abs(part.along.centre - s_mm))]

    def counts(self) -> dict[int, LaneCounts]:
        """The sums of each lane as they stand."""
        on_belt = Counter(part.lane for part in self._parts.values() if part.verdict is None)
        return {
            lane: msgspec.structs.replace(counts, on_belt=on_belt[lane], undecided_by=dict(counts.undecided_by))
            for lane, counts in self._counts.items()
        }

    # --- restarts ------------------------------------------------------------------------------------------------

    def record(self) -> bytes:
        """All that is known, for `restore`: a `LedgerRecord` as MessagePack."""
        return msgspec.msgpack.encode(
            LedgerRecord(
                parts=list(self._parts.values()),
                counts=self._counts,
                cameras=self._cameras,
                untaken=self._untaken,
                next_id=self._next_id,
                origin_ns=self.origin_ns,
                odometer_mm=self._odometer_mm,
                forgotten_mm=self._forgotten_mm,
                restarted_mm=self._restarted_mm,
            )
        )

    @classmethod
    def restore(cls, line: LineLayout, record: bytes) -> PartsLedger:
        """The ledger of a killed process: `miss` and `lose_belt` note what was lost with it.

        Finders number their parts from the start again: what they find is joined with what is known, by place. Due
        frames that were waited for are given up, for their results may be lost. Raises
        `msgspec.DecodeError` for what is not a record, or that of another version.
        """
        known = msgspec.msgpack.decode(record, type=LedgerRecord)
        ledger = cls(line, known.next_id)
        ledger._parts = {part.id: part for part in known.parts}
        ledger._counts = known.counts
        ledger._untaken = known.untaken
        ledger.origin_ns, ledger._odometer_mm = known.origin_ns, known.odometer_mm
        ledger._forgotten_mm, ledger._restarted_mm = known.forgotten_mm, known.restarted_mm
        for part in known.parts:
            part.numbers = {}
        return ledger

    # --- inside --------------------------------------------------------------------------------------------------

    def _same_part(self, finder: str, change: PartChange) -> Part | None:
        """The known part of another finder that lies where this one does.

        What a finder has not followed from its entry may also be a part that it knew before an outage.
        """
        if change.doubt is Doubt.NOT_SEEN:
            return None  # it is a stretch of belt: what is known to lie on it does not become as long
        seen, is_followed = change.along, change.doubt is None
        near: list[tuple[float, Part]] = []
        for part in self._parts.values():
            if part.lane == change.lane and not (is_followed and finder in part.numbers):
                off_mm = abs(part.along.offset_to(seen))
                shared = part.along.shared(seen) / max(1e-6, min(part.along.length, seen.length))
                is_rest = _face(part.along, seen) and part.along.shared(seen) > 0
                is_near = off_mm <= self._line.joined_mm and part.along.comparable(seen)
                if shared >= _SAME_PART or is_near or is_rest:
                    near.append((off_mm, part))
        return min(near, key=lambda pair: pair[0], default=(0.0, None))[1]

    def _may_be_rest(self, change: PartChange) -> bool:
        """Whether it may be the leading end of a part whose trailing end alone is known, as after an outage."""
        if change.what is What.LEFT or not change.along.high_cut:
            return False
        longest_mm = max(window.length_mm for window in self._line.cameras.values())
        return any(
            part.lane == change.lane
            and part.along.low_cut
            and 0 <= part.along.low - change.along.high < longest_mm - change.along.length
            for part in self._parts.values()
        )

    def _enter(self, change: PartChange) -> Part:
        doubt = None if change.doubt is None else REASON_OF_DOUBT[change.doubt]
        if self._may_have_been_missed(change.along):
            doubt = Reason.RESTARTED
        part = Part(id=self._next_id, lane=change.lane, along=change.along, serial=change.serial, doubt=doubt)
        self._next_id += 1
        self._parts[part.id] = part
        self._counts.setdefault(part.lane, LaneCounts()).entered += 1
        return part

    def _waits_for(self, part: Part, before_mm: float = math.inf) -> dict[str, int]:
        """How many due frames of each camera show the part, were captured before this reading, and are not reported."""
        waits = {
            name: sum(
                at_mm < before_mm and self._line.cameras[name].shows(part.along, at_mm)
                for at_mm in reports.waiting.values()
            )
            for name, reports in self._cameras.items()
        }
        return {name: count for name, count in waits.items() if count}

    def _is_complete(self, part: Part) -> bool:
        """Whether it has left every camera, and each due frame that shows it is reported."""
        for name, reports in self._cameras.items():
            at_mm = reports.odometer_mm
            if at_mm is None or not self._line.cameras[name].left_by(part.along, at_mm):
                return False
        return not self._waits_for(part)

    def _is_out_of_reach(self, part: Part) -> bool:
        """Whether it is so far below everything that nothing more is waited for."""
        end_mm = part.along.high + self._line.end_mm + self._line.kept_mm
        return self._odometer_mm is not None and self._odometer_mm >= end_mm

    def _may_have_been_missed(self, along: Interval) -> bool:
        return along.low < self._restarted_mm

    def _is_forgotten(self, along: Interval) -> bool:
        return along.high <= self._forgotten_mm + self._line.joined_mm

    def _decide(self, part: Part, *, is_over: bool) -> None:
        deadline_mm = self._line.deadline_mm(part.along)
        is_due = self._odometer_mm is not None and self._odometer_mm >= deadline_mm
        if not (is_over or is_due):
            return
        waits = self._waits_for(part, deadline_mm - self._line.judging_mm)
        if waits:
            part.decide_late(waits)
        else:
            part.decide(self._line.cameras)
        self._give(part, is_final=is_over)

    def _give(self, part: Part, *, is_final: bool = False) -> None:
        part.is_finished = is_final
        counts = self._counts[part.lane]
        if part.verdict is Verdict.PASS:
            counts.passed += 1
        elif part.verdict is Verdict.FAIL:
            counts.failed += 1
        elif part.reason is not None:
            counts.undecided += 1
            counts.undecided_by[part.reason] = counts.undecided_by.get(part.reason, 0) + 1
        self._untaken.append(self._verdict_of(part, is_first=True, is_final=is_final))

    def _verdict_of(self, part: Part, *, is_first: bool, is_final: bool) -> PartVerdict:
        if part.verdict is None or part.reason is None:
            raise ValueError(f"part {part.id} has no verdict")
        return PartVerdict(
            line=self._line.name,
            part=part.id,
            lane=part.lane,
            serial=part.serial,
            along=part.along,
            verdict=part.verdict,
            reason=part.reason,
            why=part.why,
            views=sum(counts[View.USABLE] for counts in part.counts(self._line.cameras).values()),
            defects=list(part.defects),
            is_first=is_first,
            is_final=is_final,
        )

    def _forget(self, part: Part) -> None:
        del self._parts[part.id]
        self._by_number = {number: known for number, known in self._by_number.items() if known != part.id}
        self._forgotten_mm = max(self._forgotten_mm, part.along.high)

    def _forget_lost_frames(self) -> None:
        """Due frames that were never reported wait until the belt has carried away all that they showed."""
        for reports in self._cameras.values():
            if len(reports.waiting) > _WAITING_FEW and self._odometer_mm is not None:
                far_mm = self._line.end_mm + self._line.kept_mm
                low, high = self._odometer_mm - far_mm, self._odometer_mm + far_mm
                reports.waiting = {due: at for due, at in reports.waiting.items() if low <= at <= high}


def _face(one: Interval, other: Interval) -> bool:
    """Whether two stretches are cut where they face each other, as the two ends of one part are."""
    lower, upper = (one, other) if one.low < other.low else (other, one)
    return lower.high_cut and upper.low_cut
