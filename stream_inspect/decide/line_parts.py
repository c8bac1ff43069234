"""The parts of one line, from what its frames show to their verdicts.

Belt sights come at once, results later and sometimes first: a result whose frame's sight has not come waits for it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from stream_inspect import metrics
from stream_inspect.belt.geometry import BeltBox, BeltView
from stream_inspect.belt.lanes import Lane, lane_at
from stream_inspect.boxes import share_in_polygon
from stream_inspect.config.models import BeltConfig, CameraConfig, LineConfig
from stream_inspect.decide.part_views import CameraWindow, View
from stream_inspect.decide.parts import LaneCounts, LineLayout, PartsLedger
from stream_inspect.decide.parts_in_picture import is_sight_of
from stream_inspect.decide.shown_parts import ShownParts
from stream_inspect.log import get_logger
from stream_inspect.messages import (
    Box,
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
)

_MOST_CLIPPED = 0.3
"""Share of a part's pixels as dark or as bright as can be, above which the view is over-exposed."""
_IN_REGION = 0.9
_MOST_WAITING = 4096
"""Frames whose sight or whose result is waited for, for each line."""

_FrameKey = tuple[str, FrameOrder]
"""A camera, and the place of a frame among its frames."""
_Value = TypeVar("_Value")


class LineParts:
    """Notes in, verdicts out. See `PartsLedger` for what a verdict waits for.

    `record` is a file in memory that outlives the process: the next one continues the sums, and what was on the belt
    is undecided, for where it went meanwhile is not known.
    """

    def __init__(self, line: LineConfig, cameras: Sequence[CameraConfig], record: Path | None = None) -> None:
        self._line = line
        self.cameras = cameras
        self._record = record
        self._cameras = {camera.name: camera for camera in cameras}
        self._in_pictures = line.parts.kind == "background"
        """Whether each camera finds the parts itself; otherwise they are the line's, and every picture has them."""
        self._lanes = [Lane(number, lane.from_mm, lane.to_mm) for number, lane in enumerate(line.lanes)]
        self.shown = ShownParts(line.name, self._lanes)
        self._windows: dict[str, CameraWindow] = {}
        self._views: dict[str, BeltView] = {}
        self._ledger: PartsLedger | None = None
        """None until a picture's size is known."""
        self._ids: dict[tuple[str, int], int] = {}
        """The part that a track lies on, by (camera, track)."""
        self._log = get_logger(__name__, stage="decide", line=line.name)
        self._seen: dict[_FrameKey, PartsSeen] = {}
        """Due frames whose result has not come."""
        self._early: dict[_FrameKey, tuple[Tracked, frozenset[int]] | Missed] = {}
        """Results whose sight has not come."""

    def see(self, seen: PartsSeen) -> None:
        """What a captured frame shows of the belt."""
        ledger = self._ledger_for(seen.frame)
        camera = seen.frame.id.camera
        for change in seen.changes:
            ledger.place(camera if self._in_pictures else self._line.parts.kind, change)
        if seen.odometer_mm is None:
            ledger.lose_belt()
            self._ids.clear()
        else:
            ledger.frame(camera, seen.odometer_mm, seen.frame.due)
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
        seen = self._seen.pop(key, None)
        if seen is None or self._ledger is None or seen.odometer_mm is None or frame.due is None:
            _put(self._early, key, (tracked, frozenset(confirmed)))
            return
        boxes = [(sight, self._placed(frame, sight.box_xyxy_px, seen.odometer_mm)) for sight in seen.sights]
        for part in self._ledger.parts_in(frame.id.camera, seen.odometer_mm):
            view = self._view(part, frame, seen.odometer_mm, boxes)
            self._ledger.view(part, frame.id.camera, frame.due, seen.odometer_mm, view)
        for update in tracked.tracks:
            if update.seen and not update.doubtful:
                self._found(frame, update, seen.odometer_mm, is_confirmed=update.track in confirmed)
        for update in tracked.ended:
            self._ids.pop((frame.id.camera, update.track), None)
        self._ledger.report(frame.id.camera, frame.due, judged=True)

    def missed(self, missed: Missed) -> None:
        """A due frame that will not be judged."""
        frame = missed.frame
        key = frame.id.camera, frame.id.order
        if self._seen.pop(key, None) is None or self._ledger is None or frame.due is None:
            _put(self._early, key, missed)
            return
        self._ledger.report(frame.id.camera, frame.due, judged=False)

    def end(self) -> None:
        """The recording is over: what has no verdict gets none by being waited for."""
        if self._ledger is not None:
            self._ledger.settle()
            self._ledger.lose_belt(Reason.ENDED)

    def take(self) -> list[PartVerdict]:
        """The verdicts that were given since the last call."""
        if self._ledger is None:
            return []
        self._ledger.settle()
        if self._ledger.has_verdicts:
            self.save()  # first: a process that is killed here gives them once more, rather than not at all
        taken = self._ledger.take()
        for verdict in taken:
            self.shown.note(verdict)
        return taken

    def status(self) -> PartsStatus:
        """How the parts of all lanes stand."""
        return self.shown.status(list(self.counts().values()))

    def save(self) -> None:
        """Keep what the next process has to know."""
        if self._ledger is None or self._record is None:
            return
        written = self._record.with_suffix(".new")
        written.write_bytes(self._ledger.record())
        written.replace(self._record)

    def counts(self) -> dict[int, LaneCounts]:
        """The sums of each lane as they stand."""
        return {} if self._ledger is None else self._ledger.counts()

    def export(self) -> None:
        """Put the sums into the metrics."""
        for lane, counts in self.counts().items():
            sums = {
                "in": counts.entered,
                "pass": counts.passed,
                "fail": counts.failed,
                "undecided": counts.undecided,
                "on_belt": counts.on_belt,
                "late_defect": counts.late_defects,
            }
            for state, count in sums.items():
                metrics.PARTS.labels(self._line.name, str(lane), state).set(count)
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
        if self._record is None or not self._record.exists():
            return None
        try:
            ledger = PartsLedger.restore(layout, self._record.read_bytes())
        except msgspec.DecodeError as error:
            self._log.warning("parts of the process before are not known; counting begins again", error=str(error))
            return None
        ledger.lose_belt(Reason.RESTARTED)
        return ledger

    def _belt(self, camera: str) -> BeltConfig:
        belt = self._cameras[camera].belt
        assert belt is not None
        return belt

    def _placed(self, frame: FrameHeader, box_xyxy_px: Box, odometer_mm: float) -> BeltBox:
        """Where a box lies on the line."""
        camera = frame.id.camera
        return self._views[camera].belt_from_px(box_xyxy_px, odometer_mm - self._belt(camera).offset_mm)

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

    def _found(self, frame: FrameHeader, update: TrackUpdate, odometer_mm: float, *, is_confirmed: bool) -> None:
        """A defect was seen: note it at the part that it lies on."""
        assert self._ledger is not None
        key = frame.id.camera, update.track
        if key not in self._ids:
            placed = self._placed(frame, update.box_xyxy_px, odometer_mm)
            part = self._ledger.part_at(lane_at(self._lanes, placed.across.centre), placed.along.centre)
            if part is None:
                return
            self._ids[key] = part
        self._ledger.defect(
            self._ids[key],
            PartDefect(
                camera=frame.id.camera,
                track=update.track,
                defect=update.defect,
                score=update.score,
                confirmed=is_confirmed,
            ),
        )


def _put(waiting: dict[_FrameKey, _Value], key: _FrameKey, value: _Value) -> None:
    """Keep it; the oldest is forgotten where there are too many."""
    waiting[key] = value
    if len(waiting) > _MOST_WAITING:
        del waiting[next(iter(waiting))]
