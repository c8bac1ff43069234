"""`lines[]`: how the parts on a line's belt are found, and what a verdict on one needs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from stream_inspect.config.base import ConfigFinding, Model, Name
from stream_inspect.config.sections.defects import Prompt


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


class PromptParts(Model):
    """Parts are what the detector finds by these wordings, in the pass that looks for defects. They are found in judged
    frames alone: a stretch of belt that no judged frame shows counts as one part, which is UNDECIDED.
    """

    kind: Literal["prompt"]
    prompts: list[Prompt] = Field(min_length=1, max_length=32, description="Wordings; the best match counts.")
    threshold: float = Field(0.3, gt=0, lt=1, description="Minimum score.")


class EyeConfig(Model):
    """A photo-eye of an input, and where it is."""

    input: Name = Field(description="The entry of `inputs` with the photo-eye.")
    photo_eye: Name | None = Field(None, description="Its name there; may be absent where there is only one.")
    at_mm: float = Field(
        ge=-1_000_000, le=1_000_000, description="Where it is on the line; less than 0 upstream of its zero."
    )
    serial: Name | None = Field(None, description="The text of the same input with the part's serial number.")


class TriggerParts(EyeConfig):
    """A photo-eye, read from a PLC, sees the leading edge of each part; the picture need not show where parts are.
    Parts may follow each other at any distance (position FIFO).
    """

    kind: Literal["trigger"]
    length_mm: float = Field(gt=0, le=100_000, description="Length of a part along the belt.")


class PitchEye(EyeConfig):
    """The photo-eye that sees where places begin, or which of them hold a part."""

    sees: Literal["parts", "places"] = Field(
        "parts",
        description="`parts`: a place that nothing triggers in is empty and not a part. `places`: it sees each place, "
        "as a cam or a pocket's edge does.",
    )


class PitchParts(Model):
    """Places at a fixed pitch, such as pockets or the sheets of a web (shift register). Each place is a part, also one
    that is empty, unless a photo-eye sees which of them hold one.
    """

    kind: Literal["pitch"]
    pitch_mm: float = Field(ge=20, le=100_000, description="From one place to the next, along the belt.")
    length_mm: float | None = Field(
        None, gt=0, le=100_000, description="Length of a part along the belt; the pitch if absent."
    )
    phase_mm: float | None = Field(
        None,
        ge=-1_000_000,
        le=1_000_000,
        description="Where on the line a place has its leading edge at the start, where no eye sees it; 0 if absent.",
    )
    eye: PitchEye | None = Field(None, description="What is known of each place.")

    def crosscheck(self) -> Iterator[ConfigFinding]:
        if self.length_mm is not None and self.length_mm > self.pitch_mm:
            yield ConfigFinding(("length_mm",), f"must be at most pitch_mm, {self.pitch_mm:g}")
        if self.phase_mm is not None and self.eye is not None:
            yield ConfigFinding(("phase_mm",), "has no effect with an eye, which sees where places begin")
        if self.eye is not None and self.eye.sees == "places" and self.eye.serial is not None:
            yield ConfigFinding(("eye", "serial"), "has no effect: an eye that sees places sees no parts")


PartsConfig = Annotated[BackgroundParts | PromptParts | TriggerParts | PitchParts, Field(discriminator="kind")]


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
    part_length_mm: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="Length of the longest part along the belt, where `parts` does not state it: how far apart judged "
        "frames may be for the K views follows from it. Half of the picture is supposed if absent.",
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
    def eye(self) -> EyeConfig | None:
        """The photo-eye that parts are found by, if there is one."""
        if self.parts.kind == "trigger":
            return self.parts
        return self.parts.eye if self.parts.kind == "pitch" else None

    @property
    def longest_part_mm(self) -> float | None:
        """Length of a part along the belt, where it is stated."""
        stated_mm: float | None = getattr(self.parts, "length_mm", None)
        return self.part_length_mm if stated_mm is None else stated_mm

    @property
    def needs_way(self) -> bool:
        """Whether the pictures are asked how far the belt moved."""
        odometer = self.odometer
        return odometer.kind == "picture" or (odometer.kind == "encoder" and odometer.check_with == "picture")

    def crosscheck(self) -> Iterator[ConfigFinding]:
        if self.part_length_mm is not None and self.longest_part_mm != self.part_length_mm:
            yield ConfigFinding(("part_length_mm",), "contradicts parts.length_mm: keep that alone")
        if self.parts.kind in ("trigger", "pitch") and len(self.lanes) > 1:
            what = "a photo-eye" if self.parts.kind == "trigger" else "a pitch"
            yield ConfigFinding(("lanes",), f"{what} knows no lanes: leave them out, or find parts in the picture")
        if self.shifts_start != sorted(set(self.shifts_start)):
            yield ConfigFinding(("shifts_start",), "must be in their order, each once")
        by_place = sorted(range(len(self.lanes)), key=lambda number: self.lanes[number].from_mm)
        for number, next_number in pairwise(by_place):
            if self.lanes[next_number].from_mm < (ends_mm := self.lanes[number].to_mm):
                yield ConfigFinding(
                    ("lanes", next_number, "from_mm"),
                    f"lies within lanes[{number}], which ends at {ends_mm:g}: lanes must not overlap",
                )
