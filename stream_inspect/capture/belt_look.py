"""What looks for the belt's way and its parts, for a camera whose line's parts are accounted for."""

from __future__ import annotations

from stream_inspect.belt.background import BackgroundSettings
from stream_inspect.belt.look import BeltLook, BeltLooked
from stream_inspect.belt.rectified import Rectifier
from stream_inspect.belt.visual_odometer import VisualOdometer
from stream_inspect.config.models import BeltConfig, CameraConfig, LineConfig
from stream_inspect.config.sections.lines import BackgroundParts
from stream_inspect.picture import Picture


class WayLook:
    """Looks at the belt's way alone, or, without a belt, at nothing: parts are known without the picture."""

    def __init__(self, belt: BeltConfig | None) -> None:
        self._rectifier = None if belt is None else Rectifier(belt)
        self._odometer = None if belt is None else VisualOdometer(belt)

    @property
    def measures_way(self) -> bool:
        """Whether its pictures are asked how far the belt has run."""
        return self._odometer is not None

    def reset(self) -> None:
        """As `BeltLook.reset`."""
        if self._odometer is not None:
            self._odometer.reset()

    def see(self, picture: Picture, pts_s: float) -> BeltLooked:
        """As `BeltLook.see`, with no parts."""
        if self._odometer is None or self._rectifier is None:
            return BeltLooked(None, None, 0.0, (), since_s=None, learning=False)
        moved = self._odometer.see(self._rectifier.see(picture), pts_s)
        return BeltLooked(moved.mm, moved.sigma_mm, moved.confidence, (), since_s=moved.since_s, learning=False)


def make_look(camera: CameraConfig, line: LineConfig | None) -> BeltLook | WayLook | None:
    """None where nothing is asked of the belt: without a line whose parts are accounted for, and for stills."""
    if line is None or camera.belt is None or camera.stills:
        return None
    if not isinstance(line.parts, BackgroundParts):
        return WayLook(camera.belt if line.needs_way else None)
    lanes_mm = tuple((lane.from_mm, lane.to_mm) for lane in line.lanes)
    return BeltLook(camera.belt, BackgroundSettings(min_area_mm2=line.parts.min_area_mm2, lanes_mm=lanes_mm))
