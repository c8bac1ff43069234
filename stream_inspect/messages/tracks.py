"""Detections, linked across frames."""

from __future__ import annotations

import msgspec

from stream_inspect.messages.base import Message
from stream_inspect.messages.detections import Box, Detection
from stream_inspect.messages.frames import FrameHeader


class TrackUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A track as it stands after a judged frame. `track` is unique within (camera, session), over restarts too.

    `box_xyxy_px` is where the defect is believed to be in this frame (predicted when `seen` is false); `velocity_px_s`
    moves it to any frame near by. `left` says that it has gone out of the picture. `doubtful` says that it is not known
    yet whether the belt carries it: it may be dirt on the lens, and is not a sight of a defect so far.
    """

    track: int
    defect: str
    seen: bool
    left: bool
    score: float
    box_xyxy_px: Box
    velocity_px_s: tuple[float, float]
    first_pts_s: float
    last_pts_s: float
    doubtful: bool = False
    detection: Detection | None = None


class Tracked(Message, frozen=True, kw_only=True):
    """A judged frame with its tracks: the live ones, and once those that ended in it."""

    frame: FrameHeader
    tracks: list[TrackUpdate]
    ended: list[TrackUpdate] = msgspec.field(default_factory=list)
    model_hash: str = ""
    prompts_hash: str = ""
