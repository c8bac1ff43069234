"""The track stage: one tracker a camera, fed with the judged frames of that camera in order."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from stream_inspect import metrics, registry
from stream_inspect.config.models import CameraConfig, TrackConfig
from stream_inspect.levels import Levels
from stream_inspect.log import get_logger
from stream_inspect.messages import (
    AnyMessage,
    BeltSight,
    ConditionKind,
    FrameHeader,
    Inspection,
    Missed,
    Output,
    PlantReadings,
    Tracked,
    TrackUpdate,
)
from stream_inspect.track.line_belt import LineBelt
from stream_inspect.track.part_conditions import PartConditions, level, static_level
from stream_inspect.track.reorder import LIMIT_S, MOST_WAITING, Reorder
from stream_inspect.track.stills import StillTracks
from stream_inspect.track.tracker import Tracker, TrackerFrame
from stream_inspect.transport.ledger import CameraLedger, Ledger

_SILENT_S = 5 * LIMIT_S
"""No judged frame for at least this long, and none that waits for an earlier one: what was tracked is not followed any
more, so its tracks end."""
_SILENT_INTERVALS = 3
"""And for this many intervals between judged frames: a slow model or a low rate is not silence."""
_INTERVALS_KNOWN = 5

_TRACKS_BITS = 32
"""Track numbers of one process run. Above them stands the number of the run, of at most 20 bits: JavaScript, which
reads events too, keeps whole numbers of up to 53 bits exact."""


class _CameraTracks:
    """The tracker of one camera, and the session and picture size that it works in."""

    def __init__(
        self,
        camera: CameraConfig,
        track: TrackConfig,
        first: int,
        ledger: CameraLedger | None,
        belt: LineBelt | None,
    ) -> None:
        """`first` is added to every number that the tracker, which counts from 1, gives to a track."""
        self._first = first
        self._belt = belt
        self._sampled_ns = 1e9 / camera.sampling.rate_hz
        self._intervals_ns: deque[int] = deque(maxlen=_INTERVALS_KNOWN)
        kind = ("belt" if camera.belt else "iou") if track.kind == "auto" else track.kind
        self.tracker: Tracker = registry.load("tracker", kind)(camera, track)
        self.ledger = ledger
        self.reorder = Reorder(ledger.any_in_flight) if ledger else Reorder()
        self.has_belt = camera.belt is not None
        self.last: FrameHeader | None = None
        self.arrived_ns: int | None = None
        self.busy = False
        """Whether tracks may be live."""

    def arrived(self, now_ns: int) -> None:
        """A judged frame has arrived."""
        if self.arrived_ns is not None:
            self._intervals_ns.append(now_ns - self.arrived_ns)
        self.arrived_ns = now_ns

    def is_silent(self, now_ns: int) -> bool:
        """Whether frames have been missing for so much longer than usual that tracks cannot be continued."""
        if self.arrived_ns is None or self.reorder.waits_since_ns() is not None:
            return False
        # The median: one outage does not make the next one look like a slow rate.
        usual_ns = statistics.median(self._intervals_ns) if self._intervals_ns else 0.0
        limit_ns = max(_SILENT_S * 1e9, _SILENT_INTERVALS * max(self._sampled_ns, usual_ns))
        return now_ns - self.arrived_ns > limit_ns

    def follow(self, inspection: Inspection) -> Tracked:
        """Update the tracker with the next judged frame."""
        frame = inspection.frame
        ended: list[TrackUpdate] = []
        if self.last is not None and not _continues(self.last, frame):
            ended = self._numbered(self.tracker.reset())
        self.last = frame
        belt_mm = self._belt.measured_mm(frame.capture_mono_ns) if self._belt is not None else None
        known = TrackerFrame(frame.id.pts_s, frame.width_px, frame.height_px, belt_mm)
        live, now_ended = map(self._numbered, self.tracker.update(known, inspection.detections))
        self.busy = bool(live)
        return Tracked(
            frame=frame,
            tracks=live,
            ended=ended + now_ended,
            model_hash=inspection.model_hash,
            prompts_hash=inspection.prompts_hash,
        )

    def end(self) -> Tracked | None:
        """End what is live, at the last judged frame."""
        if self.last is None or not self.busy:
            return None
        self.busy = False
        return Tracked(frame=self.last, tracks=[], ended=self._numbered(self.tracker.reset()))

    def _numbered(self, updates: list[TrackUpdate]) -> list[TrackUpdate]:
        if not self._first:
            return updates
        return [msgspec.structs.replace(update, track=self._first + update.track) for update in updates]


class TrackStage:
    """Inspections in, `Tracked` out; sights and readings of a belt whose parts are accounted for in, `PartsSeen` out.

    `clock` gives the nanoseconds that ticks are in. `process_run` is the number of this process run, 0 where there is
    only one: no two give a track the same number. `ledger` is the run's, which knows what is still being judged, and is
    where results that come too late are counted; a replay has none.
    """

    wake_fd: int | None = None

    def __init__(
        self,
        cameras: Sequence[CameraConfig],
        track: TrackConfig,
        *,
        belts: Sequence[LineBelt] = (),
        process_run: int = 0,
        clock: Callable[[], int] = time.monotonic_ns,
        ledger: Ledger | None = None,
    ) -> None:
        self._configured = {camera.name: camera for camera in cameras}
        self._track = track
        self._first = process_run << _TRACKS_BITS
        self._clock = clock
        self._ledger = ledger
        self._cameras: dict[str, _CameraTracks | StillTracks] = {}
        self._lines = belts
        self._belts = {camera: belt for belt in belts for camera in belt.cameras}
        self._belt_levels = {belt.name: Levels(belt.name) for belt in belts if belt.encoder is not None or belt.has_eye}
        self._part_conditions = {name: PartConditions() for belt in belts if belt.finds_parts for name in belt.cameras}
        self._levels = Levels("track")
        self._log = get_logger(__name__, stage="track")

    def open(self) -> None:
        """Make the trackers. Raises `UnknownPluginError` for a tracker that does not exist."""
        self._cameras = {
            name: self._tracks_of(camera, self._ledger.camera(name) if self._ledger else None)
            for name, camera in self._configured.items()
        }

    def _tracks_of(self, camera: CameraConfig, ledger: CameraLedger | None) -> _CameraTracks | StillTracks:
        if camera.stills:
            return StillTracks(self._first, ledger)
        return _CameraTracks(camera, self._track, self._first, ledger, self._belts.get(camera.name))

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        now_ns = self._clock()
        for message in batch:
            if isinstance(message, Inspection | Missed):
                self._put(message, now_ns)
            elif isinstance(message, BeltSight) and (belt := self._belts.get(message.frame.id.camera)):
                belt.see(message)
                self._note_conditions(message, belt)
            elif isinstance(message, PlantReadings):
                for belt in self._lines:
                    belt.read(message)
        yield from self._parts(now_ns)
        yield from self._release(now_ns)

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        yield from self._parts(now_mono_ns)
        yield from self._release(now_mono_ns)
        yield from self._levels.due(now_mono_ns)
        yield from self._odometers(now_mono_ns)
        for camera in self._cameras.values():
            if camera.busy and camera.is_silent(now_mono_ns):
                yield from self._end(camera)

    def finish(self) -> Iterable[Output]:
        """The service stops and no more frames come: work off what waits. Tracks stay open."""
        yield from self._parts(self._clock(), everything=True)
        yield from self._release(self._clock(), everything=True)

    def held(self) -> dict[str, tuple[int, int]]:
        """Results that wait for earlier ones, and frames that wait for an encoder."""
        waiting = sum(len(camera.reorder) for camera in self._cameras.values())
        bound = MOST_WAITING * len(self._cameras)
        return {"results": (waiting, bound), "sights": (sum(belt.waiting for belt in self._lines), bound)}

    def undelivered(self, output: Output) -> None:
        """`tracked` is a broadcast: it is never refused."""

    def close(self) -> None:
        self._cameras = {}

    def _parts(self, now_ns: int, *, everything: bool = False) -> Iterable[Output]:
        """What has become known of parts."""
        for belt in self._lines:
            for seen in belt.take(now_ns, everything=everything):
                if belt.by_picture:
                    self._levels.put(level(seen.frame, ConditionKind.ODOMETER_UNKNOWN, belt.way_unknown(seen)))
                yield Output("parts", seen)

    def _note_conditions(self, sight: BeltSight, belt: LineBelt) -> None:
        """How the pictures of a camera that finds parts stand."""
        camera = sight.frame.id.camera
        if (conditions := self._part_conditions.get(camera)) is not None:
            for one in conditions.see(sight, belt.static_px(camera)):
                self._levels.put(one)

    def _odometers(self, now_ns: int) -> Iterable[Output]:
        """How encoders and photo-eyes stand."""
        for belt in self._lines:
            if (levels := self._belt_levels.get(belt.name)) is not None:
                details = {
                    ConditionKind.ODOMETER_UNKNOWN: belt.unknown(now_ns),
                    ConditionKind.ODOMETER_SLIP: belt.slip(),
                    ConditionKind.PHOTO_EYE_FAULTY: belt.eye_problem(now_ns),
                }
                for kind, detail in details.items():
                    levels.set(kind, bool(detail), detail)
                yield from levels.due(now_ns)

    def _put(self, message: Inspection | Missed, now_ns: int) -> None:
        name, number = message.frame.id.camera, message.frame.due
        camera = self._cameras.get(name)
        if camera is None or number is None:
            self._log.warning("result of an unknown camera, or of a frame that was not due", camera=name)
            return
        judged = isinstance(message, Inspection)
        if judged:
            camera.arrived(now_ns)
        if not camera.reorder.put(number, message, now_ns) and judged:
            metrics.LATE_INSPECTIONS.labels(name).inc()
            if camera.ledger is not None:
                camera.ledger.late()

    def _release(self, now_ns: int, *, everything: bool = False) -> Iterable[Output]:
        for name, camera in self._cameras.items():
            for message in camera.reorder.take(now_ns, everything=everything):
                if (belt := self._belts.get(name)) is not None:
                    yield from (Output("parts", seen) for seen in belt.judged(message))
                if isinstance(message, Missed):
                    continue  # it has shown nothing: it only had to be waited for no longer
                yield Output("tracked", camera.follow(message))
                if isinstance(camera, _CameraTracks) and camera.has_belt:
                    finds = camera.tracker.static_finds
                    self._levels.put(static_level(message.frame, ConditionKind.STATIC_FIND, finds))
                    for kind, detail in (
                        (ConditionKind.NOT_FOLLOWED, camera.tracker.not_followed),
                        (ConditionKind.SPEED_NOT_OBSERVABLE, camera.tracker.speed_not_observable),
                    ):
                        self._levels.put(level(message.frame, kind, detail))

    @staticmethod
    def _end(camera: _CameraTracks | StillTracks) -> Iterable[Output]:
        tracked = camera.end()
        if tracked is not None and tracked.ended:
            yield Output("tracked", tracked)


def _continues(last: FrameHeader, frame: FrameHeader) -> bool:
    """Whether tracks continue from one frame to the other: same session and size, and time has not run back."""
    return (
        frame.id.session == last.id.session
        and (frame.width_px, frame.height_px) == (last.width_px, last.height_px)
        and frame.id.pts_s >= last.id.pts_s
    )
