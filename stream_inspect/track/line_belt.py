"""The belt of one line: its odometer, and its parts, by what pictures and the plant's inputs say of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from stream_inspect.belt.geometry import BeltView
from stream_inspect.belt.lanes import Lane
from stream_inspect.belt.odometer import FixedSpeedOdometer, LineOdometer, MeasuredOdometer
from stream_inspect.belt.position import BeltLimits, Position
from stream_inspect.config.inputs import InputConfig
from stream_inspect.config.models import BeltConfig, CameraConfig, LineConfig
from stream_inspect.config.sections.lines import EncoderOdometer
from stream_inspect.log import get_logger
from stream_inspect.messages import (
    BeltReading,
    BeltSight,
    Box,
    FrameHeader,
    Inspection,
    Missed,
    PartChange,
    PartsSeen,
    PlantReadings,
)
from stream_inspect.track.announced import announced_by
from stream_inspect.track.belt_record import BeltRecord, SourceRecord
from stream_inspect.track.encoder import Encoder
from stream_inspect.track.judged_parts import JudgedParts
from stream_inspect.track.lot_input import LotInput
from stream_inspect.track.part_finder import PartFinder
from stream_inspect.track.photo_eye_input import Passed, PhotoEyeInput
from stream_inspect.track.picture_way import PictureWay

_WAIT_NS = 300_000_000
"""A frame waits this long for the encoder's next count: a connection that is lost is made again within that time."""
_WAIT_FOR_SECOND = 1.2
"""Where the picture is a second source, the wait over the time after which the encoder is silent: by then the picture
has taken over."""
_KEPT_EVERY_NS = 250_000_000
_RESUMED_WITHIN = 0.03
"""Share of the picture's length by which the way over a restart may be off; beyond it, places do not continue."""


class LineBelt:
    """Sights and readings of the belt in, in the order of each camera's frames; what they say of the parts out.

    Times are in the nanoseconds of the frames' `capture_mono_ns`. `record` is a file in memory that outlives the
    process: encoders count on and capture adds up the belt's way meanwhile, so the next process continues the places.
    """

    def __init__(
        self,
        line: LineConfig,
        cameras: Sequence[CameraConfig],
        inputs: Sequence[InputConfig] = (),
        record: Path | None = None,
    ) -> None:
        self.name = line.name
        self.cameras = [camera.name for camera in cameras]
        self._belts = {camera.name: _belt_of(camera) for camera in cameras}
        self._lanes = [Lane(number, lane.from_mm, lane.to_mm) for number, lane in enumerate(line.lanes)]
        self._finders: dict[str, PartFinder] = {}
        self._last: dict[str, tuple[int, Position]] = {}
        """Of each camera, the time of its last frame and the belt's position then, where that was known."""
        named = {one.name: one for one in inputs}
        fastest = max(self._belts.values(), key=lambda belt: belt.speed_mm_s)
        limits = BeltLimits(max_speed_mm_s=fastest.fastest_mm_s)
        self.encoder = _encoder_of(line, named, limits)
        entry_mm = min(belt.offset_mm for belt in self._belts.values())
        self._places, self._eye = announced_by(line, named, entry_mm, fastest.fastest_mm_s)
        self._in_pictures = line.parts.kind == "background"
        self._judged = {name: JudgedParts(self._finder) for name in self._belts if line.parts.kind == "prompt"}
        self._ways = {name: PictureWay(name, limits) for name in self._belts} if line.needs_way else {}
        self._lot = LotInput(line.lot) if line.lot is not None else None
        sources = [*([self.encoder.source] if self.encoder else []), *self._ways]
        self._measured = MeasuredOdometer(sources, limits) if sources else None
        self._supposed = FixedSpeedOdometer(fastest.speed_mm_s)
        self._odometer: LineOdometer = self._measured or self._supposed
        self._wait_ns = round(_WAIT_FOR_SECOND * limits.silent_after_ns) if self._ways else _WAIT_NS
        self._sights: deque[BeltSight] = deque()
        """Frames that wait for the odometer."""
        self._changes: list[PartChange] = []
        """What the photo-eye has shown since the last frame."""
        self._known_mm = 0.0
        """Where the belt was when that was last known."""
        self._origin_ns: int | None = None
        """See `PartsSeen`; None until the next frame whose position is known."""
        self._record = record
        self._kept_ns = 0
        self._resumed: set[str] = set()
        """The cameras of which no frame has been placed since another process was continued."""
        self._resumed_ns: int | None = None
        """When that was, where it was."""
        self._known_from_ns = 0
        """Nothing is known of the belt before this time: the last reading of the other process."""
        self._log = get_logger(__name__, stage="track", line=line.name)
        self._resume()

    @property
    def by_picture(self) -> bool:
        """Whether pictures alone say how far the belt has run."""
        return self.encoder is None and bool(self._ways)

    @property
    def has_eye(self) -> bool:
        """Whether a photo-eye is read."""
        return self._eye is not None

    @property
    def finds_parts(self) -> bool:
        """Whether parts are found in the pictures of each camera."""
        return self._in_pictures or bool(self._judged)

    @property
    def waiting(self) -> int:
        """Frames that wait for the odometer."""
        return len(self._sights)

    def read(self, message: PlantReadings) -> None:
        """What an input says; what is not of this line is passed over."""
        for reading in message.readings:
            if self._lot is not None:
                self._lot.read(reading)
            if isinstance(reading, BeltReading):
                if self.encoder is not None and self._measured is not None:
                    self.encoder.read(reading, self._measured)
            elif self._eye is not None:
                self._eye.read(reading)

    def see(self, sight: BeltSight) -> None:
        """The next frame of a camera. One from before a restart has no place; what it shows is seen in the next."""
        if sight.frame.capture_mono_ns < self._known_from_ns:
            return
        if self._measured is not None and (way := self._ways.get(sight.frame.id.camera)) is not None:
            way.read(sight, self._measured)
        self._sights.append(sight)

    def take(self, now_mono_ns: int, *, everything: bool = False) -> Iterator[PartsSeen]:
        """The frames, in order, at whose time the odometer is settled, or that have waited for long enough."""
        if self._resumed and self._resumed_ns is None:
            self._resumed_ns = now_mono_ns  # frames of the outage have not waited for the counts of the outage yet

        def ready(mono_ns: int) -> bool:
            if everything or self.encoder is None:
                return True
            since_ns = max(mono_ns, self._resumed_ns or mono_ns)
            return self._odometer.settled(mono_ns) or now_mono_ns - since_ns >= self._wait_ns

        while self._sights and ready(self._sights[0].frame.capture_mono_ns):
            is_known = self._take_passed(ready)
            seen = self._placed(self._sights.popleft(), is_known=is_known)
            yield seen
            yield from self._found(seen)
        if now_mono_ns - self._kept_ns >= _KEPT_EVERY_NS:
            self._keep(now_mono_ns)

    def judged(self, result: Inspection | Missed) -> Iterator[PartsSeen]:
        """What became of a due frame, in the order of each camera's: what the detector has found of parts."""
        if (parts := self._judged.get(result.frame.id.camera)) is not None:
            yield from parts.judged(result)

    def static_px(self, camera: str) -> list[Box]:
        """Where in this camera's picture something stays while the belt runs."""
        finder = self._finders.get(camera)
        return finder.static_px if finder is not None else []

    def eye_problem(self, now_mono_ns: int) -> str:
        """What was wrong with the photo-eye's last triggers; "" while nothing is."""
        return self._eye.problem(now_mono_ns) if self._eye is not None else ""

    def measured_mm(self, mono_ns: int) -> float | None:
        """How far the belt had run at this time; None where that is not measured, not known, or not settled yet."""
        if self._measured is None or not self._measured.settled(mono_ns):
            return None
        position = self._measured.at(mono_ns)
        return None if position is None else position.mm

    def slip(self) -> str:
        """By how much the encoder and the picture disagree; "" while they agree."""
        return self._measured.slip if self._measured is not None else ""

    def unknown(self, now_mono_ns: int) -> str:
        """Why the position by the encoder is not known, or was not just now; "" while it is."""
        if self.encoder is None or self._measured is None:
            return ""
        return self.encoder.unknown(now_mono_ns, self._measured)

    def way_unknown(self, seen: PartsSeen) -> str:
        """Why the position by the pictures alone is not known at this frame, or was not just before; "" while it is."""
        lost = next((why for way in self._ways.values() if (why := way.unknown(seen.frame.capture_mono_ns))), "")
        return lost or ("" if seen.odometer_mm is not None else "no picture shows how far the belt has run")

    # --- inside --------------------------------------------------------------------------------------------------

    def _placed(self, sight: BeltSight, *, is_known: bool) -> PartsSeen:
        """What a frame shows, by the belt's position at its time; that is lost unless `is_known`."""
        frame = sight.frame
        camera, mono_ns = frame.id.camera, frame.capture_mono_ns
        last_ns, before = self._last.get(camera, (mono_ns, None))
        position = self._odometer.at(mono_ns)
        changes, self._changes = self._changes, []
        if not is_known or self._is_lost(sight, position, last_ns, before):
            position = None
        if position is None:
            self._last.pop(camera, None)
            self._origin_ns = None
            for announced in (self._eye, self._places):
                if announced is not None:
                    announced.interrupt()
            if camera in self._judged:
                self._judged[camera].interrupt()
            if (finder := self._finders.get(camera)) is not None:
                changes += finder.interrupt(mono_ns)
        else:
            self._last[camera] = mono_ns, position
            self._known_mm = position.mm
            is_new, self._origin_ns = self._origin_ns is None, self._origin_ns or mono_ns
            if self._places is not None:
                changes += self._places.advance(mono_ns, position.mm, self._end_mm(frame))
            if is_new or changes:
                self._keep(mono_ns)  # before any place of it is known elsewhere, and no part is counted again
            if self._in_pictures and not sight.learning:
                sigma_mm = position.way_since(before).sigma_mm if before is not None else 0.0
                boxes = [part.outline_px for part in sight.parts]
                changes += self._finder(frame).see(mono_ns, position.mm, sigma_mm, boxes)
        odometer_mm = None if position is None else position.mm
        return PartsSeen(
            frame=frame,
            odometer_mm=odometer_mm,
            origin_ns=self._origin_ns or 0,
            lot="" if self._lot is None else self._lot.at(mono_ns),
            changes=changes,
            sights=sight.parts,
        )

    def _is_lost(self, sight: BeltSight, position: Position | None, last_ns: int, before: Position | None) -> bool:
        """Whether the odometer does not continue, from this camera's last frame to this one."""
        if self._measured is None:
            return False
        believed = self._ways.get(self._measured.believed, self.encoder)
        if believed is not None and believed.lost_between(last_ns, sight.frame.capture_mono_ns):
            return True
        camera = sight.frame.id.camera
        if position is None or before is None or camera not in self._resumed:
            return False
        self._resumed.remove(camera)
        view = BeltView(self._belts[camera], sight.frame.width_px, sight.frame.height_px)
        return abs(position.drift_mm - before.drift_mm) > _RESUMED_WITHIN * view.length_mm

    def _found(self, seen: PartsSeen) -> Iterator[PartsSeen]:
        """What the result of this frame shows, if that was here before the odometer's reading."""
        camera = seen.frame.id.camera
        parts, (_, position) = self._judged.get(camera), self._last.get(camera, (0, None))
        if parts is not None and position is not None:
            yield from parts.placed(seen, position)

    def _take_passed(self, ready: Callable[[int], bool]) -> bool:
        """Place what has passed the photo-eye; False if the belt's position was not known at one of these times."""
        eye = self._eye
        placed = [self._place(eye, passed) for passed in eye.take(ready)] if eye is not None else []
        return all(placed)

    def _place(self, eye: PhotoEyeInput, passed: Passed) -> bool:
        here = self._odometer.at(max(passed.mono_ns, self._known_from_ns))
        before = self._odometer.at(max(passed.after_ns, self._known_from_ns))
        if here is None or before is None:
            self._changes += eye.place_nowhere(passed, self._known_mm)
            return False
        self._changes += eye.place(passed, before.mm, here.mm)
        return True

    def _keep(self, now_mono_ns: int) -> None:
        """Write what the next process needs to continue the places."""
        self._kept_ns = now_mono_ns
        last = max(self._last.values(), key=lambda last: last[0], default=None)
        if self._record is None or self._origin_ns is None or last is None:
            return
        mono_ns, position = last
        BeltRecord(
            origin_ns=self._origin_ns,
            mono_ns=mono_ns,
            position=position,
            speed_since_ns=self._supposed.began_ns,
            believed=self._measured.believed if self._measured is not None else "",
            sources=self._source_records(),
            counted=self._eye.counted if self._eye is not None else None,
        ).write(self._record)

    def _source_records(self) -> dict[str, SourceRecord]:
        records: dict[str, SourceRecord] = {}
        for name, reading in (self._measured.readings() if self._measured is not None else {}).items():
            way = self._ways.get(name)
            if way is not None and way.session is not None:
                records[name] = SourceRecord(reading=reading, of=way.session, begins=way.begins)
            elif self.encoder is not None:
                records[name] = SourceRecord(reading=reading, of=self.encoder.count, begins=Position(0.0))
        return records

    def _resume(self) -> None:
        """Continue from what another process has written."""
        try:
            record = BeltRecord.read(self._record) if self._record is not None else None
        except msgspec.DecodeError as error:
            self._log.warning("places on the belt do not continue from the process before", error=str(error))
            return
        if record is None:
            return
        for name, source in record.sources.items():
            reading = source.reading
            if (way := self._ways.get(name)) is not None:
                way.resume(source.of, source.begins, reading.mono_ns, reading.own)
            elif self.encoder is not None:
                self.encoder.resume(source.of, reading.mono_ns, reading.own)
        if self._measured is not None:
            self._measured.resume(record.believed, {name: one.reading for name, one in record.sources.items()})
            self._known_from_ns = record.sources[record.believed].reading.mono_ns
        elif record.speed_since_ns is not None:
            self._supposed.resume(record.speed_since_ns)
        if self._eye is not None:
            self._eye.counted = record.counted
        self._origin_ns, self._known_mm = record.origin_ns, record.position.mm
        self._last = dict.fromkeys(self.cameras, (record.mono_ns, record.position))
        self._resumed = set(self.cameras)

    def _end_mm(self, frame: FrameHeader) -> float:
        """How far the cameras see the line, if each shows as much as this frame."""
        last = max(self._belts.values(), key=lambda belt: belt.offset_mm)
        return last.offset_mm + BeltView(last, frame.width_px, frame.height_px).length_mm

    def _finder(self, frame: FrameHeader) -> PartFinder:
        camera = frame.id.camera
        if camera not in self._finders:
            belt = self._belts[camera]
            view = BeltView(belt, frame.width_px, frame.height_px)
            self._finders[camera] = PartFinder(
                view, self._lanes, offset_mm=belt.offset_mm, counts_unseen=camera in self._judged
            )
        return self._finders[camera]


def _belt_of(camera: CameraConfig) -> BeltConfig:
    """The belt under a camera whose line's parts are accounted for: `config/crosscheck.py` sees that there is one."""
    assert camera.belt is not None
    return camera.belt


def _encoder_of(line: LineConfig, inputs: Mapping[str, InputConfig], limits: BeltLimits) -> Encoder | None:
    """`config/plant_lines.py` sees that the input is there and fits."""
    if not isinstance(line.odometer, EncoderOdometer):
        return None
    encoder = inputs[line.odometer.input].encoder
    assert encoder is not None
    return Encoder(line.odometer, encoder.bits, limits)
