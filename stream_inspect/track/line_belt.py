"""The belt of one line: its odometer, and its parts, by what pictures and the plant's inputs say of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from stream_inspect.belt.geometry import BeltView
from stream_inspect.belt.lanes import Lane
from stream_inspect.belt.odometer import FixedSpeedOdometer, LineOdometer, MeasuredOdometer
from stream_inspect.belt.position import BeltLimits, Position
from stream_inspect.belt.ways import Ways
from stream_inspect.config.inputs import InputConfig
from stream_inspect.config.models import BeltConfig, CameraConfig, LineConfig
from stream_inspect.config.sections.lines import EncoderOdometer, TriggerParts
from stream_inspect.messages import BeltReading, BeltSight, PartChange, PartsSeen, PlantReadings
from stream_inspect.track.encoder import Encoder
from stream_inspect.track.part_finder import PartFinder
from stream_inspect.track.photo_eye_input import Passed, PhotoEyeInput

_WAIT_NS = 300_000_000
"""A frame waits this long for the encoder's next count: a connection that is lost is made again within that time."""
_WAIT_FOR_SECOND = 1.2
"""Where the picture is a second source, the wait over the time after which the encoder is silent: by then the picture
has taken over."""


class LineBelt:
    """Sights and readings of the belt in, in the order of each camera's frames; what they say of the parts out.

    Times are in the nanoseconds of the frames' `capture_mono_ns`.
    """

    def __init__(self, line: LineConfig, cameras: Sequence[CameraConfig], inputs: Sequence[InputConfig] = ()) -> None:
        self.name = line.name
        self.cameras = [camera.name for camera in cameras]
        self._belts = {camera.name: _belt_of(camera) for camera in cameras}
        self._lanes = [Lane(number, lane.from_mm, lane.to_mm) for number, lane in enumerate(line.lanes)]
        self._finders: dict[str, PartFinder] = {}
        self._seen_ns: dict[str, int] = {}
        """Of each camera, the time of its last frame."""
        self._last: dict[str, tuple[int, Position]] = {}
        """The same with the belt's position, where that is known."""
        named = {one.name: one for one in inputs}
        fastest = max(self._belts.values(), key=lambda belt: belt.speed_mm_s)
        limits = BeltLimits(max_speed_mm_s=fastest.fastest_mm_s)
        self.encoder = _encoder_of(line, named, limits)
        self._eye = _eye_of(line, named, fastest.fastest_mm_s)
        self._ways = {name: Ways(limits) for name in self._belts} if line.needs_way else {}
        sources = [*([self.encoder.source] if self.encoder else []), *self._ways]
        self._measured = MeasuredOdometer(sources, limits) if sources else None
        self._odometer: LineOdometer = self._measured or FixedSpeedOdometer(fastest.speed_mm_s)
        self._wait_ns = round(_WAIT_FOR_SECOND * limits.silent_after_ns) if self._ways else _WAIT_NS
        self._sights: deque[BeltSight] = deque()
        """Frames that wait for the odometer."""
        self._changes: list[PartChange] = []
        """What the photo-eye has shown since the last frame."""
        self._known_mm = 0.0
        """Where the belt was when that was last known."""

    @property
    def waiting(self) -> int:
        """Frames that wait for the odometer."""
        return len(self._sights)

    def read(self, message: PlantReadings) -> None:
        """What an input says; what is not of this line is passed over."""
        for reading in message.readings:
            if isinstance(reading, BeltReading):
                if self.encoder is not None and self._measured is not None:
                    self.encoder.read(reading, self._measured)
            elif self._eye is not None:
                self._eye.read(reading)

    def see(self, sight: BeltSight) -> None:
        """The next frame of a camera."""
        self._measure(sight)
        self._sights.append(sight)

    def take(self, now_mono_ns: int, *, everything: bool = False) -> Iterator[PartsSeen]:
        """The frames, in order, at whose time the odometer is settled, or that have waited for long enough."""

        def ready(mono_ns: int) -> bool:
            if everything or self.encoder is None:
                return True
            return self._odometer.settled(mono_ns) or now_mono_ns - mono_ns >= self._wait_ns

        while self._sights and ready(self._sights[0].frame.capture_mono_ns):
            is_known = self._take_passed(ready)
            yield self._placed(self._sights.popleft(), is_known=is_known)

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

    # --- inside --------------------------------------------------------------------------------------------------

    def _placed(self, sight: BeltSight, *, is_known: bool) -> PartsSeen:
        """What a frame shows, by the belt's position at its time; that is lost unless `is_known`."""
        frame = sight.frame
        camera, mono_ns = frame.id.camera, frame.capture_mono_ns
        last_ns, before = self._last.get(camera, (mono_ns, None))
        position = self._odometer.at(mono_ns)
        changes, self._changes = self._changes, []
        if not is_known or (self.encoder is not None and self.encoder.lost_between(last_ns, mono_ns)):
            position = None
        if position is None:
            self._last.pop(camera, None)
            if self._eye is not None:
                self._eye.interrupt()
            if (finder := self._finders.get(camera)) is not None:
                changes += finder.interrupt(mono_ns)
        else:
            self._last[camera] = mono_ns, position
            self._known_mm = position.mm
            if self._eye is None and not sight.learning:
                sigma_mm = position.way_since(before).sigma_mm if before is not None else 0.0
                boxes = [part.box_xyxy_px for part in sight.parts]
                changes += self._finder(sight).see(mono_ns, position.mm, sigma_mm, boxes)
        odometer_mm = None if position is None else position.mm
        return PartsSeen(frame=frame, odometer_mm=odometer_mm, changes=changes, sights=sight.parts)

    def _take_passed(self, ready: Callable[[int], bool]) -> bool:
        """Place what has passed the photo-eye; False if the belt's position was not known at one of these times."""
        eye = self._eye
        placed = [self._place(eye, passed) for passed in eye.take(ready)] if eye is not None else []
        return all(placed)

    def _place(self, eye: PhotoEyeInput, passed: Passed) -> bool:
        here = self._odometer.at(passed.mono_ns)
        before = self._odometer.at(passed.after_ns)
        if here is None or before is None:
            self._changes += eye.place_nowhere(passed, self._known_mm)
            return False
        self._changes += eye.place(passed, before.mm, here.mm)
        return True

    def _measure(self, sight: BeltSight) -> None:
        """Hand what the picture shows of the belt's way to the odometer."""
        camera, mono_ns = sight.frame.id.camera, sight.frame.capture_mono_ns
        since_ns = self._seen_ns.get(camera, mono_ns)
        self._seen_ns[camera] = mono_ns
        if self._measured is None or camera not in self._ways:
            return
        moved_mm, confidence = sight.moved_mm, sight.moved_confidence
        if moved_mm is None:
            moved_mm, confidence = 0.0, 0.0
        position = self._ways[camera].moved(since_ns, mono_ns, moved_mm, sight.moved_sigma_mm, confidence)
        if position is not None:
            self._measured.add(camera, mono_ns, position)

    def _finder(self, sight: BeltSight) -> PartFinder:
        camera = sight.frame.id.camera
        if camera not in self._finders:
            belt = self._belts[camera]
            view = BeltView(belt, sight.frame.width_px, sight.frame.height_px)
            self._finders[camera] = PartFinder(view, self._lanes, offset_mm=belt.offset_mm)
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


def _eye_of(line: LineConfig, inputs: Mapping[str, InputConfig], fastest_mm_s: float) -> PhotoEyeInput | None:
    """As `_encoder_of`."""
    parts = line.parts
    if not isinstance(parts, TriggerParts):
        return None
    eyes = {eye.name: eye for eye in inputs[parts.input].photo_eyes}
    eye = eyes[parts.photo_eye] if parts.photo_eye is not None else next(iter(eyes.values()))
    bits = getattr(eye, "counter_bits", None)  # Modbus alone states it
    return PhotoEyeInput(parts, eye.name, counter_bits=bits, fastest_mm_s=fastest_mm_s)
