"""`lines[]`: how the parts on a line's belt are found, and what a verdict on one needs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from stream_inspect.config.base import ConfigFinding, Model, Name


class SpeedOdometer(Model):
    """The belt runs at the speed that its cameras state (`belt.speed_mm_s`), and never stops."""

    kind: Literal["speed"]


class PictureOdometer(Model):
    """The picture shows how far the belt has run: stops, ramps and reversal are seen."""

    kind: Literal["picture"]


class EncoderOdometer(Model):
    """An encoder, read from a PLC, says how far the belt has run: stops, ramps and reversal are seen."""

    kind: Literal["encoder"]
    input: Name = Field(description="The entry of `inputs` with the encoder.")
    mm_per_count: float = Field(gt=0, le=1000, description="The belt's way for one count.")
    reverse: bool = Field(False, description="The encoder counts down while the belt runs forward.")
    check_with: Literal["picture"] | None = Field(
        None,
        description="`picture`: the pictures' way is compared with the encoder's (`odometer_slip`), and is believed "
        "while the encoder is silent.",
    )


OdometerConfig = Annotated[SpeedOdometer | PictureOdometer | EncoderOdometer, Field(discriminator="kind")]


class LaneConfig(Model):
    """One of the tracks of parts that run next to each other; they count from 0."""

    from_mm: float = Field(ge=0, le=100_000, description="Its near side, from the picture's top (or left) edge.")
    to_mm: float = Field(gt=0, le=100_000, description="Its far side, from the same edge.")

    def crosscheck(self) -> Iterator[ConfigFinding]:
        if self.to_mm <= self.from_mm:
            yield ConfigFinding(("to_mm",), f"must be more than from_mm, {self.from_mm:g}")


class BackgroundParts(Model):
    """A part is what does not look like the empty belt; no model is needed. The belt is learned while it is empty."""

    kind: Literal["background"]
    min_area_mm2: float | None = Field(
        None, gt=0, le=10_000_000, description="Smaller things are crumbs, not parts; 0.2 % of the picture if absent."
    )


class TriggerParts(Model):
    """A photo-eye, read from a PLC, sees the leading edge of each part; the picture need not show where parts are."""

    kind: Literal["trigger"]
    input: Name = Field(description="The entry of `inputs` with the photo-eye.")
    photo_eye: Name | None = Field(None, description="Its name there; may be absent where there is only one.")
    at_mm: float = Field(
        ge=-1_000_000, le=1_000_000, description="Where it is on the line; less than 0 upstream of its zero."
    )
    length_mm: float = Field(gt=0, le=100_000, description="Length of a part along the belt.")
    serial: Name | None = Field(None, description="The text of the same input with the part's serial number.")


class LotConfig(Model):
    """The lot that is on the line, as the plant says."""

    input: Name = Field(description="The entry of `inputs` with the lot.")
    text: Name = Field(description="Its text there.")


TimeOfDay = Annotated[
    str,
    Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", json_schema_extra={"x-rule": "a time of the day, such as 06:00"}),
]


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{name!r} is not a time zone of this computer, such as Europe/Berlin (is its package tzdata installed?)"
        ) from None
    return name


PartsConfig = Annotated[BackgroundParts | TriggerParts, Field(discriminator="kind")]


class LineConfig(Model):
    """A line that accounts for every part: each gets a verdict."""

    name: Name = Field(description="The line: the file's `line`, or one that cameras name.")
    odometer: OdometerConfig = Field(
        SpeedOdometer(kind="speed"), description="How it is known how far the belt has run."
    )
    parts: PartsConfig = Field(description="How parts are found.")
    lanes: list[LaneConfig] = Field(
        [],
        max_length=64,
        description="Tracks of parts that run next to each other; one, as wide as the belt, if empty.",
    )
    views: int = Field(
        3, ge=1, le=100, description="K: judged frames that must show a part whole and usable before it passes."
    )
    trigger_mm: float | None = Field(
        None,
        ge=0,
        le=1_000_000,
        description="Where a part's time is taken, in mm from the upstream edge of the picture; its middle if absent.",
    )
    gate_mm: float | None = Field(
        None, ge=0, le=1_000_000, description="Where parts are rejected, in mm from the picture's upstream edge."
    )
    lot: LotConfig | None = Field(
        None, description="What names the lot that parts are counted by; the day on which a shift began if absent."
    )
    shifts_start: list[TimeOfDay] = Field(
        ["00:00"], min_length=1, max_length=24, description="When each shift begins, by the clock of `time_zone`."
    )
    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field(
        "UTC", description="Time zone of the line's shifts and days, such as Europe/Berlin."
    )

    @property
    def needs_way(self) -> bool:
        """Whether the pictures are asked how far the belt moved."""
        odometer = self.odometer
        return odometer.kind == "picture" or (odometer.kind == "encoder" and odometer.check_with == "picture")

    def crosscheck(self) -> Iterator[ConfigFinding]:
        if self.parts.kind == "trigger" and len(self.lanes) > 1:
            yield ConfigFinding(
                ("lanes",), "a photo-eye knows no lanes: leave them out, or find parts by the background"
            )
        if self.shifts_start != sorted(set(self.shifts_start)):
            yield ConfigFinding(("shifts_start",), "must be in their order, each once")
        by_place = sorted(range(len(self.lanes)), key=lambda number: self.lanes[number].from_mm)
        for number, next_number in pairwise(by_place):
            if self.lanes[next_number].from_mm < (ends_mm := self.lanes[number].to_mm):
                yield ConfigFinding(
                    ("lanes", next_number, "from_mm"),
                    f"lies within lanes[{number}], which ends at {ends_mm:g}: lanes must not overlap",
                )
