"""Writes a finished clip: the MP4, and the list that proves which frames it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import msgspec

from stream_inspect.messages import Box
from stream_inspect.record.clip_builder import Clip
from stream_inspect.record.encoder import Packet
from stream_inspect.record.mux import shown_for, write_mp4
from stream_inspect.rotation import Rotation, file_metadata


class ClipFrame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One frame of the clip: its identity, its time in the clip, and the box of the event's own defect in it.

    The box is in pixels of the clip, whose burned-in boxes are those of all defects.
    """

    session: int
    seq: int
    pts: int
    time_s: float
    judged: bool = False
    box_xyxy_px: Box | None = None


class ClipList(msgspec.Struct, frozen=True, kw_only=True):
    """clips/<event>.json. `judged_time_s` is None where the clip does not hold the event's judged frame."""

    version: int = 1
    event: str
    camera: str
    time_base: str
    """Unit of `pts`, in seconds: that of the camera's frames."""
    width_px: int
    height_px: int
    duration_s: float
    judged_time_s: float | None
    frames_missing: int
    """Frames captured between the first and the last one and missing in the clip."""
    ended_by: str
    frames: list[ClipFrame]


def clip_list(clip: Clip) -> ClipList:
    """The list of a clip, which has at least one frame."""
    assert clip.run is not None, "a clip with frames has a run"
    first = clip.frames[0]
    frames = [
        ClipFrame(
            session=encoded.frame.session,
            seq=encoded.frame.seq,
            pts=encoded.frame.pts,
            time_s=round(float((encoded.packet.pts - first.packet.pts) * clip.time_base), 6),
            judged=encoded.frame.order == clip.judged,
            box_xyxy_px=encoded.boxes_px.get(clip.event.track) if clip.event.track is not None else None,
        )
        for encoded in clip.frames
    ]
    return ClipList(
        event=clip.event.id,
        camera=clip.event.camera,
        time_base=f"{first.frame.time_base_num}/{first.frame.time_base_den}",
        width_px=clip.run.encoder.width_px,
        height_px=clip.run.encoder.height_px,
        duration_s=round(
            float(sum(shown_for([encoded.packet for encoded in clip.frames], clip.time_base)) * clip.time_base), 6
        ),
        judged_time_s=next((frame.time_s for frame in frames if frame.judged), None),
        frames_missing=clip.frames_missing,
        ended_by=clip.ended_by,
        frames=frames,
    )


def write_list(file: BinaryIO, clip: Clip) -> None:
    """Write the list as JSON, indented for people to read."""
    file.write(msgspec.json.format(msgspec.json.encode(clip_list(clip)), indent=1))


def write_clip(file: BinaryIO, clip: Clip, rotate_deg: Rotation) -> None:
    """Write the MP4. `rotate_deg` is the rotation of the camera's pictures, in degrees clockwise."""
    packets: Sequence[Packet] = [encoded.packet for encoded in clip.frames]
    write_mp4(file, packets, clip.time_base, file_metadata(rotate_deg))
