"""`track`: how detections are linked."""

from __future__ import annotations

from pydantic import Field

from stream_inspect.config.base import Model


class TrackConfig(Model):
    """The tracker."""

    kind: str = Field(
        "auto",
        min_length=1,
        description="auto: belt where the camera has one, else iou; or a plug-in (group `stream_inspect.tracker`).",
    )
    forget_after_s: float = Field(
        1.0,
        gt=0,
        le=60,
        description="A track ends when unseen for this long; on a belt, one seen twice ends on leaving the picture.",
    )
    match_distance_px: float | None = Field(
        None, gt=0, description="Maximum distance of a match on the belt; derived from the box if absent."
    )
