"""What of a configuration does not fit the picture that a camera delivers.

A region drawn on the main stream, a belt that shows no defect twice: each number is right, and nothing is ever found.
`check`, `run` and `replay` ask the same functions, each as soon as it knows the size of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream_inspect.boxes import polygon_area
from stream_inspect.config.confirmation import Passing, too_few_views
from stream_inspect.config.models import CameraConfig, DecideConfig, LineConfig
from stream_inspect.config.part_views import PartPassing, too_short_or_too_fast
from stream_inspect.config.region import SMALLEST_PX2, in_px, outside
from stream_inspect.config.tree import Path


@dataclass(frozen=True, slots=True)
class Misfit:
    """What does not fit, and what to do."""

    key: Path
    """Within the camera: ("region_px",)."""
    text: str
    advice: str
    fatal: bool = True
    """No defect, or none where the camera is to look, can be confirmed. Otherwise some are missed."""

    def __str__(self) -> str:
        return f"{self.text}: {self.advice}"


def misfits(
    camera: CameraConfig,
    decide: DecideConfig,
    size_px: tuple[int, int],
    fps: float | None = None,
    line: LineConfig | None = None,
) -> list[Misfit]:
    """All of them. `size_px` is (width, height) of the judged picture, `fps` the frame rate where it is known, `line`
    the camera's, where its parts are accounted for."""
    return [
        *region_misfits(camera, size_px),
        *belt_misfits(camera, decide, size_px, fps),
        *part_misfits(camera, line, size_px, fps),
    ]


def region_misfits(camera: CameraConfig, size_px: tuple[int, int]) -> list[Misfit]:
    """Whether the region lies in the picture."""
    size = f"{size_px[0]}x{size_px[1]} px"
    redraw = f"draw it on a picture of {size}, or write it as `region`, in parts of one"
    if camera.region_px is not None and (beyond := outside(camera.region_px, *size_px)):
        x, y = beyond[0]
        return [Misfit(("region_px",), f"corner [{x:g}, {y:g}] of region_px is outside the picture of {size}", redraw)]
    area_px2 = polygon_area(in_px(camera.region or (), *size_px))
    if camera.region is not None and area_px2 < SMALLEST_PX2:
        text = f"region encloses only {area_px2:.2g} px² of the picture of {size}"
        return [Misfit(("region",), text, "check its corners: [1, 1] is the picture's bottom right")]
    return []


def belt_misfits(
    camera: CameraConfig, decide: DecideConfig, size_px: tuple[int, int], fps: float | None
) -> list[Misfit]:
    """Whether the belt shows a defect for as many judged frames as the rule of `decide` wants."""
    if camera.belt is None or camera.stills:
        return []
    what, advice, never = too_few_views(Passing(camera, size_px, fps), decide)
    if not what:
        return []
    return [
        Misfit(("sampling", "rate_hz"), f"{what}, so {'none is' if never else 'some are not'} confirmed", advice, never)
    ]


def part_misfits(
    camera: CameraConfig, line: LineConfig | None, size_px: tuple[int, int], fps: float | None
) -> list[Misfit]:
    """Whether the belt shows each part whole for as many frames as its line wants views."""
    if line is None or camera.belt is None or camera.stills:
        return []
    what, advice, never = too_short_or_too_fast(PartPassing(Passing(camera, size_px, fps), line))
    return [Misfit(("belt", "speed_mm_s"), what, advice, never)] if what else []
