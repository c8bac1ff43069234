"""frames.jsonl: one object a judged frame, with its detections. Written by a replay; `recorded.py` reads it back.

A detector outside of this program needs only the keys without a default; `docs/frames.schema.json` is the schema. A
replay also writes what did not count and why, and what was looked for: a question is then answered from the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from stream_inspect.inspect.candidate import Candidate, DefectName, Score
from stream_inspect.messages import Box, Detection, Extent, Inspection, Outline, PartSight, Rle, Severity

_Count = Annotated[int, msgspec.Meta(ge=0)]
_SizePx = Annotated[int, msgspec.Meta(ge=1, le=32768)]


class FoundDefect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One detection: `box_xyxy_px` in pixels of the judged picture, right and bottom exclusive."""

    defect: DefectName
    score: Score
    box_xyxy_px: Box
    mask_rle: Rle | None = None
    severity: Severity | None = None
    outline_px: Outline | None = None
    extent: Extent | None = None
    prompt: str | msgspec.UnsetType = msgspec.UNSET
    """The wording that matched."""


class FoundParts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parts in a frame, where `lines[].parts` has prompts. Another detector states `found` alone."""

    found: list[PartSight]
    wordings: str = ""
    """Hash of the prompts."""
    threshold: Score | None = None


class LookedFor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a defect was looked for."""

    wordings: str
    """Hash of its prompts and counter-prompts."""
    threshold: float
    floor: float
    """Every candidate down to this score is in `candidates`."""


class JudgedFrame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One judged frame. `seq` counts the video's frames from 0 in decode order."""

    camera: str
    seq: _Count
    pts_s: float
    width_px: _SizePx
    height_px: _SizePx
    detections: list[FoundDefect]
    model_hash: str = ""
    prompts_hash: str = ""
    file: str | msgspec.UnsetType = msgspec.UNSET
    """Name of the picture, where the frame is one that stands alone."""
    candidates: list[Candidate] | msgspec.UnsetType = msgspec.UNSET
    """What did not count, best first."""
    looked_for: dict[str, LookedFor] | msgspec.UnsetType = msgspec.UNSET
    """By defect."""
    parts: FoundParts | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Judged:
    """A judged frame, and what its line in frames.jsonl has beyond the inspection."""

    inspection: Inspection
    prompts: Sequence[str] = ()
    """The wording of each detection; none where they are not known."""
    candidates: Sequence[Candidate] = ()
    looked_for: Mapping[str, LookedFor] = field(default_factory=dict)
    """Empty where it is not known what was looked for."""
    parts: FoundParts | msgspec.UnsetType = msgspec.UNSET


def frames_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one line of frames.jsonl."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "stream_inspect judged frame: one line of frames.jsonl",
        **msgspec.json.schema(JudgedFrame),
    }


def to_line(judged: Judged) -> bytes:
    """A judged frame as a line of frames.jsonl."""
    inspection = judged.inspection
    frame, known = inspection.frame, bool(judged.looked_for)
    prompts = judged.prompts or [""] * len(inspection.detections)
    record = JudgedFrame(
        camera=frame.id.camera,
        seq=frame.id.seq,
        pts_s=frame.id.pts_s,
        width_px=frame.width_px,
        height_px=frame.height_px,
        detections=[_found(one, prompt) for one, prompt in zip(inspection.detections, prompts, strict=True)],
        model_hash=inspection.model_hash,
        prompts_hash=inspection.prompts_hash,
        file=frame.file or msgspec.UNSET,
        candidates=list(judged.candidates) if known else msgspec.UNSET,
        looked_for=dict(judged.looked_for) if known else msgspec.UNSET,
        parts=judged.parts,
    )
    return msgspec.json.encode(record) + b"\n"


def _found(found: Detection, prompt: str) -> FoundDefect:
    return FoundDefect(
        defect=found.defect,
        score=found.score,
        box_xyxy_px=found.box_xyxy_px,
        mask_rle=found.mask_rle,
        severity=found.severity,
        outline_px=found.outline_px,
        extent=found.extent,
        prompt=prompt or msgspec.UNSET,
    )
