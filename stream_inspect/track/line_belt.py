"""The belt of one line: its odometer, and the parts that its cameras' pictures show on it."""

from __future__ import annotations

from collections.abc import Sequence

from stream_inspect.belt.geometry import BeltView
from stream_inspect.belt.lanes import Lane
from stream_inspect.belt.odometer import FixedSpeedOdometer, LineOdometer, MeasuredOdometer
from stream_inspect.belt.position import BeltLimits, Position
from stream_inspect.belt.ways import Ways
from stream_inspect.config.models import BeltConfig, CameraConfig, LineConfig
from stream_inspect.messages import BeltSight, PartChange, PartsSeen
from stream_inspect.track.part_finder import PartFinder

_FASTEST = 3.0
"""The belt is believed to run at up to so many times its configured speed."""


class LineBelt:
    """Sights of the belt in, in the order of each camera's frames; what they say of the line's parts out."""

    def __init__(self, line: LineConfig, cameras: Sequence[CameraConfig]) -> None:
        self.cameras = [camera.name for camera in cameras]
        self._belts = {camera.name: _belt_of(camera) for camera in cameras}
        self._lanes = [Lane(number, lane.from_mm, lane.to_mm) for number, lane in enumerate(line.lanes)]
        self._finders: dict[str, PartFinder] = {}
        self._last: dict[str, tuple[int, Position]] = {}
        """Of each camera, the time and the position of its last frame."""
        fastest = max(self._belts.values(), key=lambda belt: belt.speed_mm_s).speed_mm_s
        limits = BeltLimits(max_speed_mm_s=_FASTEST * fastest)
        self._ways = {name: Ways(limits) for name in self._belts} if line.odometer.kind == "picture" else {}
        self._measured = MeasuredOdometer(list(self._ways), limits) if self._ways else None
        self._odometer: LineOdometer = self._measured or FixedSpeedOdometer(fastest)

    def see(self, sight: BeltSight) -> PartsSeen:
        """The next frame of a camera."""
        frame = sight.frame
        camera, mono_ns = frame.id.camera, frame.capture_mono_ns
        since_ns, before = self._last.get(camera, (mono_ns, None))
        self._measure(sight, since_ns)
        position = self._odometer.at(mono_ns)
        changes: list[PartChange] = []
        if position is None:
            self._last.pop(camera, None)
            if (finder := self._finders.get(camera)) is not None:
                changes = finder.interrupt(mono_ns)
        else:
            self._last[camera] = mono_ns, position
            if not sight.learning:
                sigma_mm = position.way_since(before).sigma_mm if before is not None else 0.0
                boxes = [part.box_xyxy_px for part in sight.parts]
                changes = self._finder(sight).see(mono_ns, position.mm, sigma_mm, boxes)
        odometer_mm = None if position is None else position.mm
        return PartsSeen(frame=frame, odometer_mm=odometer_mm, changes=changes, sights=sight.parts)

    def _measure(self, sight: BeltSight, since_ns: int) -> None:
        """Hand what the picture shows of the belt's way to the odometer."""
        if self._measured is None:
            return
        camera, mono_ns = sight.frame.id.camera, sight.frame.capture_mono_ns
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
