"""Whether what was found counts, by its place and its size: the rule of the inspector, and of recorded detections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from stream_inspect.boxes import share_in_polygon
from stream_inspect.config.models import DefectConfig
from stream_inspect.inspect.candidate import Candidate
from stream_inspect.messages import Box, Detection, Extent

MIN_SHARE = 0.5
"""A detection counts when at least this share of its box lies in the region."""


def refusal(
    defect: DefectConfig, region_px: Sequence[tuple[float, float]] | None, box_xyxy_px: Box, extent: Extent
) -> Literal["region", "size"] | None:
    """Why a find of this defect does not count; None where it does. `region_px` is None for the whole picture."""
    if region_px is not None and share_in_polygon(box_xyxy_px, region_px) < MIN_SHARE:
        return "region"
    return "size" if _too_small(defect, extent.area_px, extent.area_mm2) else None


def in_order(detections: Iterable[Detection]) -> list[Detection]:
    """Best first, the same order whatever order they came in."""
    return sorted(detections, key=best_first)


def best_first(found: Detection | Candidate) -> tuple[float, str, Box]:
    """The key of the order in which finds are listed, everywhere: a replay of its own results repeats them."""
    return -found.score, found.defect, found.box_xyxy_px


def _too_small(defect: DefectConfig, area_px: float, area_mm2: float | None) -> bool:
    """Square millimetres count where they are given and the scale is known; otherwise pixels."""
    if defect.min_area_mm2 is not None and area_mm2 is not None:
        return area_mm2 < defect.min_area_mm2
    return defect.min_area_px is not None and area_px < defect.min_area_px
