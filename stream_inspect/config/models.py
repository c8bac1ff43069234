"""The whole YAML file as typed models: units in names, ranges on numbers, unknown keys rejected.

Its sections are in `sections/`, the entries of `alerts` in `outputs/`, those of `inputs`
in `inputs/`. The descriptions are the configuration
reference: `docs/configuration.md` and the JSON Schema are generated from them. Checks that involve more than one value
are in `crosscheck.py`, or in the model itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from stream_inspect.config.base import RELOADABLE, Model, Name
from stream_inspect.config.inputs import InputConfig
from stream_inspect.config.outputs import AlertConfig
from stream_inspect.config.problems import did_you_mean
from stream_inspect.config.sections.belt import BeltConfig
from stream_inspect.config.sections.camera import CameraConfig, ConditionsConfig, SamplingConfig
from stream_inspect.config.sections.decide import CONFIRMED_WHEN, DecideConfig
from stream_inspect.config.sections.defects import DefectConfig, DefectName
from stream_inspect.config.sections.inspect import DetectorConfig, InspectConfig, SegmenterConfig, WorkerConfig
from stream_inspect.config.sections.lines import LineConfig, PromptParts
from stream_inspect.config.sections.recorder import RecorderConfig
from stream_inspect.config.sections.service import LogConfig, MetricsConfig, TransportConfig, WebConfig
from stream_inspect.config.sections.sources import (
    FileSource,
    GigeSource,
    ImagesSource,
    PluginSource,
    RtspSource,
    Source,
    SyntheticSource,
    UsbSource,
)
from stream_inspect.config.sections.track import TrackConfig
from stream_inspect.errors import UsageError

__all__ = [
    "CONFIRMED_WHEN",
    "BeltConfig",
    "CameraConfig",
    "ConditionsConfig",
    "Config",
    "DecideConfig",
    "DefectConfig",
    "DefectName",
    "DetectorConfig",
    "FileSource",
    "GigeSource",
    "ImagesSource",
    "InspectConfig",
    "LineConfig",
    "LogConfig",
    "MetricsConfig",
    "PluginSource",
    "PromptParts",
    "RecorderConfig",
    "RtspSource",
    "SamplingConfig",
    "SegmenterConfig",
    "Source",
    "SyntheticSource",
    "TrackConfig",
    "TransportConfig",
    "UsbSource",
    "WebConfig",
    "WorkerConfig",
]


class Config(Model):
    """One production line or plant."""

    version: Literal[1] = Field(description="Version of the configuration format.")
    line: Name = Field("line1", description="The production line; a camera may name another.")
    state_dir: Path = Field(
        Path("state"), description="Folder for events, clips and pictures; relative to the configuration file."
    )
    cameras: list[CameraConfig] = Field(min_length=1, max_length=256, description="The cameras; names must be unique.")
    defects: list[DefectConfig] = Field(
        min_length=1,
        max_length=256,
        description="What to look for, on every camera.",
        json_schema_extra=RELOADABLE,
    )
    inputs: list[InputConfig] = Field(
        [], max_length=64, description="What is read of the plant: encoders, photo-eyes, recipe, lot, serial numbers."
    )
    lines: list[LineConfig] = Field([], max_length=64, description="Lines whose parts are accounted for.")
    inspect: InspectConfig = InspectConfig()
    track: TrackConfig = TrackConfig()
    decide: DecideConfig = DecideConfig()
    alerts: list[AlertConfig] = Field([], max_length=64, description="Outputs for events; each has its own queue.")
    recorder: RecorderConfig = RecorderConfig()
    web: WebConfig = WebConfig()
    transport: TransportConfig = TransportConfig()
    metrics: MetricsConfig = MetricsConfig()
    log: LogConfig = LogConfig()

    def only_camera(self, name: str) -> Config:
        """This configuration with only the camera `name`. Raises `UsageError` when there is no such camera."""
        chosen = [camera for camera in self.cameras if camera.name == name]
        if not chosen:
            known = [camera.name for camera in self.cameras]
            listed = ", ".join(known)
            raise UsageError(f"no camera named {name!r}; the configuration has: {listed}.{did_you_mean(name, known)}")
        return self.model_copy(update={"cameras": chosen}).only_watched_lines()

    def only_watched_lines(self) -> Config:
        """This configuration without the lines that none of its cameras watches."""
        return self.model_copy(update={"lines": [line for line in self.lines if self.cameras_of(line.name)]})

    def cameras_of(self, line: str) -> list[CameraConfig]:
        """The cameras that watch this line."""
        return [camera for camera in self.cameras if self.line_of(camera.name) == line]

    def line_of(self, camera: str) -> str:
        """The production line that this camera watches."""
        return next((c.line for c in self.cameras if c.name == camera and c.line), self.line)

    def input_named(self, name: str) -> InputConfig | None:
        """The entry of `inputs` of this name; None where there is none."""
        return next((one for one in self.inputs if one.name == name), None)

    @property
    def part_prompts(self) -> list[PromptParts]:
        """What the detector looks for besides defects: parts."""
        return [line.parts for line in self.lines if isinstance(line.parts, PromptParts)]

    def parts_of(self, line: str) -> LineConfig | None:
        """How the parts of this line are found and judged; None where they are not accounted for."""
        return next((one for one in self.lines if one.name == line), None)
