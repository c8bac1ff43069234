"""The live picture."""

from __future__ import annotations

from stream_inspect.messages.base import Message


class LivePicture(Message, frozen=True, kw_only=True):
    """One annotated JPEG for the live page.

    It shows the present for `fresh_for_s`: by then another one follows, or the camera is silent.
    """

    camera: str
    frame_seq: int
    capture_mono_ns: int
    capture_utc_ns: int
    fresh_for_s: float
    jpeg: bytes
