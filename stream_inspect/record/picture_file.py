"""The picture of an event: its judged frame, annotated, with the frame's identity inside the JPEG."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import msgspec
import numpy as np

from stream_inspect.draw.annotate import Mark, draw
from stream_inspect.draw.caption import caption, utc_text
from stream_inspect.messages import Event, FrameRef
from stream_inspect.picture import Picture

JPEG_QUALITY = 90
_COMMENT = b"\xff\xfe"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON in the JPEG's comment."""

    event: str
    camera: str
    frame: FrameRef | None
    model_hash: str
    prompts_hash: str


def annotated_jpeg(event: Event, picture: Picture, marks: Sequence[Mark]) -> bytes:
    """The annotated JPEG, at the size of the judged picture."""
    bgr = np.ascontiguousarray(picture.to_bgr())
    draw(bgr, marks, own_track=event.track, name_frames=True)
    if event.frame is not None:
        frame = event.frame
        when = utc_text(frame.capture_utc_ns)
        caption(bgr, f"{event.camera}   {when}   frame {frame.session}/{frame.seq}   {event.id}")
    encoded, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        raise ValueError(f"cannot encode a {picture.width_px}x{picture.height_px} px picture as JPEG")
    identity = Identity(
        event=event.id,
        camera=event.camera,
        frame=event.frame,
        model_hash=event.model_hash,
        prompts_hash=event.prompts_hash,
    )
    comment = msgspec.json.encode(identity)
    data = jpeg.tobytes()
    return data[:2] + _COMMENT + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]
