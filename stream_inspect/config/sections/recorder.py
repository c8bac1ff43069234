"""`recorder`: what is recorded of an event, and for how long it is kept."""

from __future__ import annotations

from pydantic import Field

from stream_inspect.config.base import Model


class RecorderConfig(Model):
    """Clips and pictures of events."""

    enabled: bool = Field(True, description="Record clips and pictures; otherwise events refer to neither.")
    pre_roll_s: float = Field(1.5, ge=0, le=60, description="Length of a clip before its event.")
    post_roll_s: float = Field(1.5, ge=0, le=60, description="Length of a clip after its event.")
    max_clip_s: float = Field(30.0, gt=0, le=600, description="Maximum length of a clip, however long the event lasts.")
    height_px: int = Field(720, ge=120, le=2160, description="Clips are scaled down to this height.")
    max_age_days: float = Field(30.0, gt=0, le=36500, description="Older clips, pictures and events are removed.")
    max_size_gb: float = Field(20.0, gt=0, description="Total size; beyond it the oldest are removed.")
    min_free_gb: float = Field(1.0, ge=0, description="Free disk space below which recording stops; judging continues.")
