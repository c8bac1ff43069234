"""The parts of one line, from what its frames show to their verdicts.

Belt sights come at once, results later and sometimes first: a result whose frame's sight has not come waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from stream_inspect import metrics
from stream_inspect.belt.geometry import BeltBox, BeltView
from stream_inspect.belt.lanes import Lane, lane_at
from stream_inspect.boxes import share_in_polygon
from stream_inspect.config.models import BeltConfig, CameraConfig, LineConfig
from stream_inspect.decide.belt_coverage import CoverageRecord
from stream_inspect.decide.belt_times import BeltTimes
from stream_inspect.decide.defect_spots import DefectSpots
from stream_inspect.decide.line_watch import LineWatch
from stream_inspect.decide.part_views import CameraWindow, View
from stream_inspect.decide.parts import Binding, LaneCounts, LedgerRecord, LineLayout, PartsLedger
from stream_inspect.decide.parts_in_picture import is_sight_of
from stream_inspect.decide.shown_parts import ShownParts
from stream_inspect.decide.tallies import Tallies, TallyRecord
from stream_inspect.log import get_logger
from stream_inspect.messages import (
    Box,
    Condition,
    Corners,
    FrameHeader,
    FrameOrder,
    Interval,
    Missed,
    PartDefect,
    PartSight,
    PartsSeen,
    PartsStatus,
    PartVerdict,
    Reason,
    Tracked,
    TrackUpdate,
    What,
)
from stream_inspect.store.part_counts import PartCount

_MOST_CLIPPED = 0.3
"""Share of a part's pixels as dark or as bright as can be, above which the view is over-exposed."""
_IN_REGION = 0.9
_MOST_WAITING = 4096
"""Frames whose sight or whose result is waited for, for each line."""
_JUDGED_KEPT = 32
"""Judged frames of each camera: a part that came in counts in the second that shows it, and others in the third."""

_FrameKey = tuple[str, FrameOrder]
"""A camera, and the place of a frame among its frames."""
_Value = TypeVar("_Value")


class LineRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the next process continues from."""

    run: int
    untaken: list[PartVerdict]
    tallies: TallyRecord
    ledger: bytes
    """A `LedgerRecord`."""
    belts: dict[str, CoverageRecord]


class LineParts:
    """Notes in, verdicts out. See `PartsLedger` for what a verdict waits for.

    `record` is a file in memory that outlives the process: the next one continues the sums and the places. Parts that
    were in a picture meanwhile are undecided, for what was seen on them may be lost; all parts are, where the odometer
    does not continue. Parts are numbered from 1 in each run of the line, that is from one record to the next;
    `next_run` gives a number that no run had before.
    """

    def __init__(
        self,
        line: LineConfig,
        cameras: Sequence[CameraConfig],
        record: Path | None = None,
        next_run: Callable[[], int] = lambda: 1,
        confirm_hits: int = 2,
    ) -> None:
        """`confirm_hits` judged frames that show a defect at one place of a part confirm it, as in one track."""
        self._line = line
        self.cameras = cameras
        self._record = record
        self._next_run = next_run
        self._run = 1
        self._before: LineRecord | None = None
        """Of the process before this one, until the ledger is made."""
        self._untaken: list[PartVerdict] = []
        self._times = BeltTimes()
        self._tallies = Tallies(line)
        self._cameras = {camera.name: camera for camera in cameras}
        self._in_pictures = line.parts.kind in ("background", "prompt")
        """Whether each camera finds the parts itself; otherwise they are the line's, and every picture has them."""
        self._by_result = line.parts.kind == "prompt"
        """Whether the parts in a frame are known with its result, and no sooner."""
        self._judged: dict[str, deque[PartsSeen]] = {}
        """Of each camera, the last judged frames: a part counts from its second sight on, and the first is a view."""
        self._lanes = [Lane(number, lane.from_mm, lane.to_mm) for number, lane in enumerate(line.lanes)]
        self.shown = ShownParts(line.name, self._lanes)
        self._windows: dict[str, CameraWindow] = {}
        self._views: dict[str, BeltView] = {}
        self._ledger: PartsLedger | None = None
        """None until a picture's size is known."""
        self._confirm_hits = confirm_hits
        self._spots = DefectSpots()
        """By part, where it looked defective."""
        self._ids: dict[tuple[str, int], int] = {}
        """The part that a track lies on, by (camera, track)."""
        self._missed: set[str] = set()
        """Cameras of which no frame has been placed since the ledger of another process was taken over."""
        self._entered = 0
        """Parts that had entered when the record was written."""
        self._watch = LineWatch(line.name)
        self._log = get_logger(__name__, stage="decide", line=line.name)
        self._seen: dict[_FrameKey, PartsSeen] = {}
        """Due frames whose result has not come."""
        self._early: dict[_FrameKey, tuple[Tracked, frozenset[int]] | Missed] = {}
        """Results whose sight has not come."""

    def open(self) -> None:
        """Read what the process before this one left, or begin a run."""
        self._before = self._left()
        if self._before is None:
            self._run = self._next_run()
        else:
            self._run, self._untaken = self._before.run, self._before.untaken
            self._tallies.restore(self._before.tallies)

    def see(self, seen: PartsSeen) -> None:
        """What a captured frame shows of the belt."""
        self._times.captured(seen.frame)
        ledger = self._ledger_for(seen.frame)
        camera = seen.frame.id.camera
        if seen.by_result and seen.origin_ns != ledger.origin_ns:
            return  # of a frame from before the odometer was lost
        if seen.odometer_mm is not None:
            self._continue(ledger, seen, seen.odometer_mm)
        for change in seen.changes:
            part = ledger.place(camera if self._in_pictures else self._line.parts.kind, change)
            if part is None:
                continue
            self._tallies.enter(self._run, part, change.lane, seen.lot, seen.frame)
            if change.what is What.ENTERED:
                self._note_earlier_views(part, camera)
        if seen.odometer_mm is None:
            self._lose_belt(ledger)
        elif not seen.by_result:
            self._times.reads(seen.odometer_mm, seen.frame.capture_mono_ns)
            ledger.frame(camera, seen.odometer_mm, seen.frame.due)
            self._watch.frame(seen.frame, seen.odometer_mm, self._windows[camera])
        key = camera, seen.frame.id.order
        if seen.frame.due is not None and seen.odometer_mm is not None:
            _put(self._seen, key, seen)
        early = self._early.pop(key, None)
        if isinstance(early, Missed):
            self.missed(early)
        elif early is not None:
            self.judged(*early)
        self._show(seen)

    def judged(self, tracked: Tracked, confirmed: Collection[int]) -> None:
        """A judged frame; `confirmed` are the tracks in it whose defect is confirmed."""
        frame = tracked.frame
        key = frame.id.camera, frame.id.order
        seen = self._seen.get(key)
        if seen is None or seen.by_result is not self._by_result:
            _put(self._early, key, (tracked, frozenset(confirmed)))
            return
        del self._seen[key]
        assert self._ledger is not None
        assert seen.odometer_mm is not None
        assert frame.due is not None
        if seen.origin_ns != self._ledger.origin_ns:
            return  # where it showed a part is not known any more
        self._note_views(self._ledger.parts_in(frame.id.camera, seen.odometer_mm), seen)
        if self._by_result:
            self._judged.setdefault(frame.id.camera, deque(maxlen=_JUDGED_KEPT)).append(seen)
        for update in tracked.tracks:
            if update.seen and not update.doubtful:
                self._found(seen, update, is_confirmed=update.track in confirmed)
        for update in tracked.ended:
            self._ids.pop((frame.id.camera, update.track), None)
        self._ledger.report(frame.id.camera, frame.due, judged=True)
        self._watch.report(frame, judged=True)

    def missed(self, missed: Missed) -> None:
        """A due frame that will not be judged."""
        frame = missed.frame
        key = frame.id.camera, frame.id.order
        if self._seen.pop(key, None) is None or self._ledger is None or frame.due is None:
            _put(self._early, key, missed)
            return
        self._ledger.report(frame.id.camera, frame.due, judged=False)
        self._watch.report(frame, judged=False)

    def end(self) -> None:
        """The recording is over: what has no verdict gets none by being waited for."""
        if self._ledger is not None:
            self._ledger.settle()
            self._ledger.lose_belt(Reason.ENDED)
            self._note_verdicts(self._ledger)

    def take(self) -> list[PartVerdict]:
        """The verdicts that were given since the last call."""
        if self._ledger is not None:
            self._ledger.settle()
            self._note_verdicts(self._ledger)
        if self._untaken or self._has_entered():
            self.save()  # first: a process that is killed here gives them once more, rather than not at all
        taken, self._untaken = self._untaken, []
        for verdict in taken:
            self.shown.note(verdict)
            self._watch.verdict(verdict)
        return taken

    def status(self) -> PartsStatus:
        """How the parts of all lanes stand."""
        return self.shown.status(list(self.counts().values()))

    def conditions(self, now_ns: int) -> list[Condition]:
        """What the belt and its parts lack, as it stands at this time."""
        return self._watch.conditions(now_ns)

    def save(self) -> None:
        """Keep what the next process has to know."""
        if self._ledger is None or self._record is None:
            return
        self._entered = self._ledger.entered
        written = self._record.with_suffix(".new")
        record = LineRecord(
            run=self._run,
            untaken=self._untaken,
            tallies=self._tallies.record,
            ledger=self._ledger.record(),
            belts=self._watch.records(),
        )
        written.write_bytes(msgspec.msgpack.encode(record))
        written.replace(self._record)

    def counts(self) -> dict[int, LaneCounts]:
        """The sums of each lane as they stand."""
        return {} if self._ledger is None else self._ledger.counts()

    def take_tallies(self) -> list[PartCount]:
        """The counts by lot and shift that have changed since the last call."""
        return [] if self._ledger is None else self._tallies.take_changed(self._ledger.known)

    def export(self) -> None:
        """Put the sums into the metrics."""
        self._watch.export()
        for lane, counts in self.counts().items():
            sums = {
                "in": counts.entered,
                "pass": counts.passed,
                "fail": counts.failed,
                "undecided": counts.undecided,
                "on_belt": counts.on_belt,
                "late_defect": counts.late_defects,
                "escape": counts.escapes,
            }
            for state, count in sums.items():
                metrics.PARTS.labels(self._line.name, str(lane), state).set(count)
            for reason, parts in counts.undecided_by.items():
                metrics.PARTS_UNDECIDED.labels(self._line.name, str(lane), reason).set(parts)
            metrics.PARTS_RESIDUAL.labels(self._line.name, str(lane)).set(counts.residual)

    # --- inside --------------------------------------------------------------------------------------------------

    def _show(self, seen: PartsSeen) -> None:
        assert self._ledger is not None
        camera = seen.frame.id.camera
        ids = [] if seen.odometer_mm is None else self._ledger.parts_in(camera, seen.odometer_mm)
        parts = [self._ledger.part(part) for part in ids]
        self.shown.see(seen, self._views[camera], self._windows[camera], parts)

    def _ledger_for(self, frame: FrameHeader) -> PartsLedger:
        """The ledger, which knows the stretch of the line that this camera sees.

        A camera that has sent no frame yet is taken to see as much as the first one that has: parts are counted at
        once, and cannot pass before it sends.
        """
        name = frame.id.camera
        view = self._views.get(name)
        if view is None or self._ledger is None:
            view = self._views[name] = BeltView(self._belt(name), frame.width_px, frame.height_px)
            for camera in self._cameras:
                if camera == name or camera not in self._windows:
                    offset_mm = self._belt(camera).offset_mm
                    self._windows[camera] = CameraWindow(offset_mm, view.length_mm, self._line.views)
        if self._ledger is None:
            layout = LineLayout(self._windows, name=self._line.name, gate_mm=self._line.gate_mm)
            self._ledger = self._restored(layout) or PartsLedger(layout)
        return self._ledger

    def _restored(self, layout: LineLayout) -> PartsLedger | None:
        """The ledger of the process before this one; None where there was none."""
        if self._before is None:
            return None
        before, self._before = self._before, None
        self._missed, self._watch = set(self._cameras), LineWatch(self._line.name, before.belts)
        return PartsLedger.restore(layout, before.ledger)

    def _left(self) -> LineRecord | None:
        if self._record is None or not self._record.exists():
            return None
        try:
            record = msgspec.msgpack.decode(self._record.read_bytes(), type=LineRecord)
            msgspec.msgpack.decode(record.ledger, type=LedgerRecord)
        except msgspec.DecodeError as error:
            self._log.warning("parts of the process before are not known; counting begins again", error=str(error))
            return None
        return record

    def _note_verdicts(self, ledger: PartsLedger) -> None:
        """Take the ledger's verdicts while it is known where the belt is, and so when it brings each part where."""
        for verdict in ledger.take():
            self._untaken.append(self._timed(verdict))
            if verdict.is_first:
                self._tallies.decide(verdict)

    def _timed(self, verdict: PartVerdict) -> PartVerdict:
        trigger_mm, gate_mm = self._line.trigger_mm, self._line.gate_mm
        if trigger_mm is None:
            first = self._windows[self.cameras[0].name]
            trigger_mm = first.offset_mm + first.length_mm / 2
        centre_mm, times = verdict.along.centre, self._times
        return msgspec.structs.replace(
            verdict,
            run=self._run,
            lot=self._tallies.lot_of(verdict.part),
            decided_mono_ns=times.mono_ns,
            decided_utc_ns=times.utc_ns,
            trigger_utc_ns=times.passes_utc_ns(centre_mm + trigger_mm),
            gate_utc_ns=None if gate_mm is None else times.passes_utc_ns(centre_mm + gate_mm),
        )

    def _has_entered(self) -> bool:
        """Whether a part has, since the record was written."""
        return self._ledger is not None and self._ledger.entered > self._entered

    def _continue(self, ledger: PartsLedger, seen: PartsSeen, odometer_mm: float) -> None:
        """See whether the places of the ledger are of this odometer's zero, and note what a restart has missed."""
        if ledger.origin_ns not in (None, seen.origin_ns):
            self._lose_belt(ledger)
        ledger.origin_ns = seen.origin_ns
        camera = seen.frame.id.camera
        if camera in self._missed:
            self._missed.remove(camera)
            ledger.miss(odometer_mm - self._belt(camera).offset_mm)

    def _lose_belt(self, ledger: PartsLedger) -> None:
        """The odometer does not continue."""
        ledger.lose_belt(Reason.RESTARTED if self._missed else Reason.ODOMETER_UNKNOWN)
        self._note_verdicts(ledger)
        self._times.interrupt()
        self._ids.clear()
        self._judged.clear()
        self._watch.lose_belt()
        self._spots.clear()

    def _belt(self, camera: str) -> BeltConfig:
        belt = self._cameras[camera].belt
        assert belt is not None
        return belt

    def _placed(self, frame: FrameHeader, outline_px: Box | Corners, odometer_mm: float) -> BeltBox:
        """Where a box, or a shape with these corners, lies on the line."""
        camera = frame.id.camera
        return self._views[camera].belt_from_px(outline_px, odometer_mm - self._belt(camera).offset_mm)

    def _note_views(self, parts: Sequence[int], seen: PartsSeen) -> None:
        """Note what a judged frame shows of these parts, which are due in it."""
        frame, at_mm = seen.frame, seen.odometer_mm
        assert self._ledger is not None
        assert at_mm is not None
        assert frame.due is not None
        boxes = [(sight, self._placed(frame, sight.outline_px, at_mm)) for sight in seen.sights]
        for part in parts:
            self._ledger.view(part, frame.id.camera, frame.due, at_mm, self._view(part, frame, at_mm, boxes))

    def _note_earlier_views(self, part: int, camera: str) -> None:
        """Note the judged frames that showed a part before it was known to be one."""
        assert self._ledger is not None
        for seen in self._judged.get(camera, ()):
            if seen.odometer_mm is not None and part in self._ledger.parts_in(camera, seen.odometer_mm):
                self._note_views([part], seen)

    def _view(self, part: int, frame: FrameHeader, odometer_mm: float, boxes: list[tuple[PartSight, BeltBox]]) -> View:
        """What a judged frame shows of a part that is due in it."""
        assert self._ledger is not None
        along, lane = self._ledger.place_of(part)
        if not self._in_pictures:
            return self._view_at(frame, along, odometer_mm)
        for sight, placed in boxes:
            if not is_sight_of(placed, along, lane, self._lanes):
                continue
            if sight.clipped_share > _MOST_CLIPPED:
                return View.OVER_EXPOSED
            return self._view_of(frame, sight.box_xyxy_px)
        return View.NOT_FOUND

    def _view_at(self, frame: FrameHeader, along: Interval, odometer_mm: float) -> View:
        """As `_view`, of a part whose place across the belt is not known: its middle line is taken."""
        view, belt = self._views[frame.id.camera], self._belt(frame.id.camera)
        middle_mm = (self._lanes[0].low_mm + self._lanes[0].high_mm) / 2 if self._lanes else view.width_mm / 2
        across = Interval(middle_mm - view.mm_per_px, middle_mm + view.mm_per_px)
        return self._view_of(frame, view.px_from_belt(BeltBox(along, across), odometer_mm - belt.offset_mm))

    def _view_of(self, frame: FrameHeader, box_xyxy_px: Box) -> View:
        """Whether a part in this box is in the region."""
        region_px = self._cameras[frame.id.camera].region_in(frame.width_px, frame.height_px)
        if region_px is not None and share_in_polygon(box_xyxy_px, region_px) < _IN_REGION:
            return View.OUTSIDE_REGION
        return View.USABLE

    def _part_with(self, placed: BeltBox, seen: PartsSeen) -> int | None:
        """The part that a defect in this judged frame lies on; where parts of a lane overlap, the one around it."""
        assert self._ledger is not None
        assert seen.odometer_mm is not None
        along_mm, across_mm = placed.along.centre, placed.across.centre
        parts = self._ledger.parts_at(lane_at(self._lanes, across_mm), along_mm)
        if len(parts) < 2:
            return parts[0] if parts else None
        boxes = [self._placed(seen.frame, sight.outline_px, seen.odometer_mm) for sight in seen.sights]
        around = [
            box.along
            for box in boxes
            if box.along.low <= along_mm <= box.along.high and box.across.low <= across_mm <= box.across.high
        ]
        places = {part: self._ledger.place_of(part)[0] for part in parts}

        def likeness(part: int) -> float:
            known = places[part]
            return max((known.shared(box) / max(known.length, box.length) for box in around), default=0.0)

        return max(parts, key=likeness)

    def _found(self, seen: PartsSeen, update: TrackUpdate, *, is_confirmed: bool) -> None:
        """A defect was seen: note it at the part that it lies on. A track is confirmed for one part alone."""
        assert self._ledger is not None
        assert seen.odometer_mm is not None
        frame = seen.frame
        placed = self._placed(frame, update.box_xyxy_px, seen.odometer_mm)
        key = frame.id.camera, update.track
        part = self._part_with(placed, seen)
        part = self._ids.get(key) if part is None else part
        if part is None:
            return
        of_track = self._ids.setdefault(key, part) == part
        hits = self._spots.see(part, frame.id, placed)
        bound = self._ledger.defect(
            part,
            PartDefect(
                camera=frame.id.camera,
                track=update.track,
                defect=update.defect,
                score=update.score,
                confirmed=(is_confirmed and of_track) or hits >= self._confirm_hits,
            ),
        )
        if bound is Binding.LATE:
            self._tallies.find_late(part)


def _put(waiting: dict[_FrameKey, _Value], key: _FrameKey, value: _Value) -> None:
    """Keep it; the oldest is forgotten where there are too many."""
    waiting[key] = value
    if len(waiting) > _MOST_WAITING:
        del waiting[next(iter(waiting))]
