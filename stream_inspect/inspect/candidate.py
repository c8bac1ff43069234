"""A box that is not a detection, as the inspector found it and as frames.jsonl has it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from stream_inspect.messages import Box, Extent

DefectName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Score = Annotated[float, msgspec.Meta(ge=0, le=1)]

RefusedFor = Literal["threshold", "counter_prompt", "region", "size", "limit", "duplicate"]
"""Why a candidate is not a detection. `limit`: there were more than `max_detections` better ones; `duplicate`: a better
one of its severity lies at its place (of recorded candidates alone: boxes are fused before)."""


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A box that is not a detection, and why: its score is below the threshold, a counter-prompt scored higher, it lies
    outside of the region, it is too small, a better one is at its place, or there were `max_detections` better ones."""

    defect: DefectName
    score: Score
    box_xyxy_px: Box
    refused_for: RefusedFor
    prompt: str = ""
    """The wording that matched best, at `score`."""
    counter_prompt: str = ""
    """The wording that won, with `counter_score`."""
    counter_score: Score = msgspec.field(default_factory=float)
    """0 where none won; written all the same, so that a replay gives the bytes that it always gave."""
    extent: Extent | None = None
    """Its size, where it was measured."""
