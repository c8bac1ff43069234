"""`cameras[]`: one camera, with what is sampled of it and when a condition is raised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from stream_inspect.config.base import ConfigFinding, Model, Name
from stream_inspect.config.region import Point, in_px, region_in_parts, region_in_px
from stream_inspect.config.sections.belt import BeltConfig
from stream_inspect.config.sections.sources import ImagesSource, Source, SyntheticSource
from stream_inspect.rotation import Rotation, direction_at, rotated_horizontals, rotated_size


class SamplingConfig(Model):
    """Which frames are due for judging; the others are counted as not_due."""

    rate_hz: float = Field(8.0, gt=0, le=240, description="Judged frames per second of the media clock.")


class ConditionsConfig(Model):
    """When a camera condition is raised. Its event follows within half a second of these times."""

    no_signal_after_s: float = Field(1.5, ge=0.2, le=600, description="Raise no_signal after this long without frames.")
    black_after_s: float = Field(1.0, ge=0.1, le=600, description="Raise black after this long with a black picture.")
    black_luma_max: int = Field(24, ge=0, le=255, description="A picture is black with 99 % at or below this luma.")
    frozen_after_s: float = Field(
        1.5,
        ge=0.1,
        le=600,
        description="Raise frozen when the source repeats one picture for this long, where there is a belt; in "
        "compressed video three to seven key frames later.",
    )


class CameraConfig(Model):
    """One camera."""

    name: Name = Field(description="Appears in events, topics and file names.")
    source: Source = Field(description="Source of its frames.")
    line: Name | None = Field(None, description="Production line of this camera; the file's `line` if absent.")
    rotate_deg: Rotation = Field(
        0, description="Clockwise turn of the sensor picture into the judged one: 90 turns its top edge to the right."
    )
    bit_depth: int | None = Field(
        None,
        ge=8,
        le=16,
        description="Bits that the picture has in files and video of 16 bits a value, such as 12 for a camera of 12 "
        "bits. If absent, the smallest of 10, 12, 14 and 16 that holds all their values, which is a guess.",
    )
    region_px: Annotated[list[Point], AfterValidator(region_in_px)] | None = Field(
        None,
        min_length=3,
        max_length=64,
        description="Polygon of interest, [x, y] corners in the judged picture; all of it if absent.",
    )
    region: Annotated[list[Point], AfterValidator(region_in_parts)] | None = Field(
        None,
        min_length=3,
        max_length=64,
        description="The same in parts of one, for a picture of any size: [0, 0] is its top left, [1, 1] its bottom "
        "right.",
    )
    mm_per_px: float | None = Field(None, gt=0, le=100, description="Scale, for a camera without a belt.")
    belt: BeltConfig | None = Field(None, description="The conveyor under the camera, if any.")
    sampling: SamplingConfig = SamplingConfig()
    conditions: ConditionsConfig = ConditionsConfig()

    @property
    def scale_mm_per_px(self) -> float | None:
        """Millimetres a pixel where known: the belt's scale, else the camera's."""
        return self.belt.scale_mm_per_px if self.belt else self.mm_per_px

    def region_in(self, width_px: int, height_px: int) -> list[Point] | None:
        """The region's corners in px of a picture of this size; None where all of it counts."""
        return self.region_px if self.region is None else in_px(self.region, width_px, height_px)

    @property
    def stills(self) -> bool:
        """Whether its frames are pictures that stand alone: each is judged, and none has to do with the one before."""
        return isinstance(self.source, ImagesSource)

    @property
    def waits_for_judging(self) -> bool:
        """Whether its source is read no faster than frames are judged, so that no due frame is dropped."""
        return self.stills or getattr(self.source, "pace", "real_time") == "fast"

    @property
    def stated_size_px(self) -> tuple[int, int] | None:
        """(width, height) of the judged picture, where the configuration states it."""
        width_px, height_px = (getattr(self.source, key, None) for key in ("width_px", "height_px"))
        return rotated_size(width_px, height_px, self.rotate_deg) if width_px and height_px else None

    @property
    def stated_fps(self) -> float | None:
        """Frame rate, where the configuration states it."""
        return getattr(self.source, "fps", None)

    def crosscheck(self) -> Iterator[ConfigFinding]:
        if self.belt and self.mm_per_px is not None and self.mm_per_px != self.belt.scale_mm_per_px:
            yield ConfigFinding(("mm_per_px",), "contradicts belt.mm_per_px: keep the belt's alone")
        if self.region is not None and self.region_px is not None:
            yield ConfigFinding(("region",), "is given a second time by region_px: keep one of them")
        if isinstance(self.source, SyntheticSource):
            turned = f" turned by {self.rotate_deg} degrees" if self.rotate_deg else ""
            directions = rotated_horizontals(self.rotate_deg)
            if self.belt and direction_at(self.belt.angle_deg) not in directions:
                yield ConfigFinding(
                    ("belt", "direction"), f"must be {' or '.join(directions)} for a synthetic line{turned}"
                )
