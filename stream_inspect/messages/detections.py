"""What was found in a judged frame."""

from __future__ import annotations

from typing import Literal

import msgspec

from stream_inspect.messages.base import Message
from stream_inspect.messages.frames import FrameHeader

Box = tuple[float, float, float, float]
Corners = tuple[tuple[float, float], ...]
"""Of a shape that lies at an angle to the picture's sides: (x, y), in order around it."""
Outline = list[list[tuple[float, float]]]
Severity = Literal["minor", "major", "critical"]


class Rle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A COCO run-length mask: `size` is (height_px, width_px) of the whole picture, `counts` the compressed string."""

    size: tuple[int, int]
    counts: str


class Extent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How big a defect is. Lengths are those of the mask's minimum-area rectangle; mm where the scale is known."""

    area_px: float
    length_px: float
    width_px: float
    area_mm2: float | None = None
    length_mm: float | None = None
    width_mm: float | None = None


class Detection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One defect seen in one judged frame. With a mask the box is the mask's tight box."""

    defect: str
    score: float
    box_xyxy_px: Box
    severity: Severity = "major"
    mask_rle: Rle | None = None
    outline_px: Outline = []
    extent: Extent | None = None


class Inspection(Message, frozen=True, kw_only=True):
    """A judged frame: what the detector and the segmenter found in it (possibly nothing)."""

    frame: FrameHeader
    detections: list[Detection]
    model_hash: str
    prompts_hash: str
    judged_mono_ns: int
