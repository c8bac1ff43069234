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
    """How big a defect is. Lengths are those of the mask's minimum-area rectangle; mm where the scale is known.

    Where the camera sees its belt at a slant, mm are those of the minimum-area rectangle on the belt.
    """

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


class PartSight(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part in one picture, or as much of it as the picture shows."""

    box_xyxy_px: Box
    """Tight."""
    clipped_share: float = 0.0
    """Share of its pixels that are as dark or as bright as the picture can be, 0..1."""
    sharpness: float = 0.0
    """Variance of the luma's Laplacian on the part, without its outline, in grey levels squared; 0: not measured."""
    corners_px: Corners = ()
    """Of the box that is tight on the belt, where that lies at an angle to the picture's sides."""

    @property
    def outline_px(self) -> Box | Corners:
        """What is tight on the belt, for `BeltView.belt_from_px`."""
        return self.corners_px or self.box_xyxy_px


class Inspection(Message, frozen=True, kw_only=True):
    """A judged frame: what the detector and the segmenter found in it (possibly nothing)."""

    frame: FrameHeader
    detections: list[Detection]
    parts: list[PartSight] | None = None
    """The parts, best first, where the detector looks for them."""
    model_hash: str
    prompts_hash: str
    judged_mono_ns: int
