"""frames.jsonl: one object a judged frame, with its detections. Written by a replay; `recorded.py` reads it back.

A detector outside of this program needs only the keys without a default; `docs/frames.schema.json` is the schema.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from stream_inspect.messages import Box, Extent, Inspection, Outline, Rle, Severity

_Count = Annotated[int, msgspec.Meta(ge=0)]
_SizePx = Annotated[int, msgspec.Meta(ge=1, le=32768)]


class FoundDefect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One detection: `box_xyxy_px` in pixels of the judged picture, right and bottom exclusive."""

    defect: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    score: Annotated[float, msgspec.Meta(ge=0, le=1)]
    box_xyxy_px: Box
    mask_rle: Rle | None = None
    severity: Severity | None = None
    outline_px: Outline | None = None
    extent: Extent | None = None


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


def frames_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one line of frames.jsonl."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "stream_inspect judged frame: one line of frames.jsonl",
        **msgspec.json.schema(JudgedFrame),
    }


def to_line(inspection: Inspection) -> bytes:
    """A judged frame as a line of frames.jsonl."""
    frame = inspection.frame
    record = JudgedFrame(
        camera=frame.id.camera,
        seq=frame.id.seq,
        pts_s=frame.id.pts_s,
        width_px=frame.width_px,
        height_px=frame.height_px,
        detections=[
            FoundDefect(
                defect=found.defect,
                score=found.score,
                box_xyxy_px=found.box_xyxy_px,
                mask_rle=found.mask_rle,
                severity=found.severity,
                outline_px=found.outline_px,
                extent=found.extent,
            )
            for found in inspection.detections
        ],
        model_hash=inspection.model_hash,
        prompts_hash=inspection.prompts_hash,
        file=frame.file or msgspec.UNSET,
    )
    return msgspec.json.encode(record) + b"\n"
