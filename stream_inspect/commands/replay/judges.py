"""Who judges in a replay: the models, on the frames that the sampler picks, or detections recorded before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from stream_inspect.capture.sampler import FrameSampler, make_sampler
from stream_inspect.commands.replay.applied import Applied
from stream_inspect.commands.replay.frames import FoundParts, Judged, LookedFor
from stream_inspect.commands.replay.recorded import RecordedFrames, common
from stream_inspect.config.models import Config, DefectConfig, PromptParts
from stream_inspect.inspect.candidates import Explained
from stream_inspect.inspect.detect.detector import OutOfMemoryError
from stream_inspect.inspect.inspector import CameraSettings, build_inspector
from stream_inspect.inspect.prompts import wordings_hash
from stream_inspect.messages import FrameHeader, Inspection
from stream_inspect.picture import Picture


class Judge(Protocol):
    """Decides which frames are due, and finds what is in them."""

    batch: int
    model_hash: str
    prompts_hash: str
    not_configured: list[str]

    @property
    def applied(self) -> Applied | None:
        """What the configuration made of recorded detections; None where the models judge."""

    def open(self) -> None: ...

    def is_due(self, header: FrameHeader, way_mm: float | None) -> bool:
        """Called once for every frame; `way_mm` is how far the belt has run, where that is known."""

    def judge(self, frames: Sequence[tuple[FrameHeader, Picture]]) -> list[Judged]: ...

    def end(self, frame_count: int) -> None: ...

    def close(self) -> None: ...


class ModelJudge:
    """The models, on the frames that the sampler picks."""

    def __init__(self, config: Config) -> None:
        self._defects = config.defects
        self._camera = config.cameras[0]
        self._line = config.parts_of(config.line_of(self._camera.name))
        self._part_prompts = config.part_prompts
        self._sampler: FrameSampler | None = None
        self._most = config.inspect.batch_max_frames
        self._inspector = build_inspector(config.inspect, config.inspect.workers[0])
        self.batch = 1
        self.model_hash = self._inspector.model_hash
        self.prompts_hash = ""
        self.not_configured: list[str] = []
        self.applied: Applied | None = None

    def open(self) -> None:
        self._inspector.open()
        self._inspector.set_defects(self._defects, self._part_prompts)
        self.prompts_hash = self._inspector.prompts_hash
        self.batch = min(self._most, self._inspector.useful_batch)

    def is_due(self, header: FrameHeader, way_mm: float | None) -> bool:
        if self._sampler is None:
            self._sampler = make_sampler(self._camera, self._line, (header.width_px, header.height_px))
        return self._sampler.due(header.id.pts_s, way_mm)

    def judge(self, frames: Sequence[tuple[FrameHeader, Picture]]) -> list[Judged]:
        judged: list[Judged] = []
        while len(judged) < len(frames):
            part = frames[len(judged) :][: self.batch]
            try:
                found = self._inspector.explain(
                    [picture.to_rgb() for _, picture in part],
                    [
                        CameraSettings.of(self._camera, header.width_px, header.height_px, self._line)
                        for header, _ in part
                    ],
                )
            except OutOfMemoryError:
                if len(part) == 1:
                    raise
                self.batch = len(part) // 2
                continue
            judged += [self._judged(header, explained) for (header, _), explained in zip(part, found, strict=True)]
        return judged

    def _judged(self, header: FrameHeader, explained: Explained) -> Judged:
        inspection = Inspection(
            frame=header,
            detections=explained.detections,
            parts=explained.parts,
            model_hash=self.model_hash,
            prompts_hash=self.prompts_hash,
            judged_mono_ns=header.capture_mono_ns,
        )
        sought = {defect.name: _looked_for(defect, explained.floors[defect.name]) for defect in self._defects}
        return Judged(inspection, explained.prompts, explained.candidates, sought, self._found_parts(explained))

    def _found_parts(self, explained: Explained) -> FoundParts | msgspec.UnsetType:
        if explained.parts is None or self._line is None or not isinstance(self._line.parts, PromptParts):
            return msgspec.UNSET
        sought = self._line.parts
        return FoundParts(found=explained.parts, wordings=wordings_hash(sought), threshold=sought.threshold)

    def end(self, frame_count: int) -> None:
        """All that was due has been judged."""

    def close(self) -> None:
        self._inspector.close()


class RecordedJudge:
    """Detections made before, on the frames that they name, as far as they count with this configuration."""

    def __init__(self, path: Path, config: Config) -> None:
        self._recorded = RecordedFrames(path, config.cameras[0].name)
        self.applied = Applied(config, path, self._recorded.lines)
        self.batch = 1
        self.model_hash = self._recorded.model_hash
        self.prompts_hash = common(self.applied.prompts_hash_of(record) for _, record in self._recorded.lines)
        found = {one.defect for _, record in self._recorded.lines for one in record.detections}
        self.not_configured = sorted(found - {defect.name for defect in config.defects})

    def open(self) -> None:
        """The file is read and checked already."""

    def is_due(self, header: FrameHeader, way_mm: float | None) -> bool:
        return self._recorded.is_due(header)

    def judge(self, frames: Sequence[tuple[FrameHeader, Picture]]) -> list[Judged]:
        return [self.applied.judged(self._recorded.take(), header) for header, _ in frames]

    def end(self, frame_count: int) -> None:
        self._recorded.end(frame_count)

    def close(self) -> None:
        """Nothing is held open."""


def _looked_for(defect: DefectConfig, floor: float) -> LookedFor:
    """What a frame's line says of a defect that was looked for down to this floor."""
    return LookedFor(wordings=wordings_hash(defect), threshold=defect.threshold, floor=floor)
