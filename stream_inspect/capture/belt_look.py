"""What looks for the belt's way and its parts, for a camera whose line's parts are accounted for."""

from __future__ import annotations

from stream_inspect.belt.background import BackgroundSettings
from stream_inspect.belt.look import BeltLook
from stream_inspect.config.models import CameraConfig, LineConfig


def make_look(camera: CameraConfig, line: LineConfig | None) -> BeltLook | None:
    """None where nothing is asked of the belt: without a line whose parts are accounted for, and for stills."""
    if line is None or camera.belt is None or camera.stills:
        return None
    lanes_mm = tuple((lane.from_mm, lane.to_mm) for lane in line.lanes)
    return BeltLook(camera.belt, BackgroundSettings(min_area_mm2=line.parts.min_area_mm2, lanes_mm=lanes_mm))
