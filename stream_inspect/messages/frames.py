"""Frames: who they are, where their pixels lie, who asks for one, and which will not be judged."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from stream_inspect.messages.base import Message

FrameOrder = tuple[int, int]
"""(session, seq): compares as a camera's frames were captured."""


class FrameId(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The identity of a frame: it never changes, is never reused, and depends on no clock.

    `session` counts the connections of this camera's source and never starts over (0 in a replay); `seq` counts from 0
    in decode order within the session; `pts` is in units of `time_base_num / time_base_den` seconds.
    """

    camera: str
    session: int
    seq: int
    pts: int
    time_base_num: int
    time_base_den: int

    @property
    def pts_s(self) -> float:
        """Presentation time in seconds of the container's clock."""
        return self.pts * self.time_base_num / self.time_base_den

    @property
    def order(self) -> FrameOrder:
        """Where this frame stands among its camera's frames."""
        return self.session, self.seq


class Clock(StrEnum):
    """Where a frame's UTC came from, best first."""

    RTCP = "rtcp"  # an RTCP sender report of the camera
    DEVICE = "device"  # a GigE Vision timestamp
    ARRIVAL = "arrival"  # the host's wall clock when the frame arrived
    MEDIA = "media"  # a replay: pts counted from zero, so that a second run gives the same


class RingSlot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a frame's planes lie: `generation` must still be the slot's own, before and after reading."""

    path: str
    index: int
    generation: int


class FrameHeader(Message, frozen=True, kw_only=True):
    """A frame without its pixels: they are in `slot`."""

    id: FrameId
    width_px: int
    height_px: int
    color_matrix: Literal["bt601", "bt709", "bt2020"]
    full_range: bool
    capture_mono_ns: int
    capture_utc_ns: int
    clock: Clock
    ledger_index: int
    due: int | None = None
    """Its number among its camera's due frames, from 0 and without a gap as long as the run lasts; None: not due."""
    slot: RingSlot | None = None
    file: str = ""
    """Name of the file that holds this frame alone; empty for a frame of a camera or a video."""


CREDIT_REPEAT_S = 1.0
"""An inspect worker repeats a credit that was not answered for this long: the camera may have been restarted."""
CREDIT_VALID_S = 3 * CREDIT_REPEAT_S
"""A camera ignores a credit older than this: a worker that still ran would have repeated it twice since."""


class Credit(Message, frozen=True, kw_only=True):
    """An inspect worker asks one camera for its freshest due frame. A newer ticket of a worker replaces its older one.

    `owner` is the worker's number in the ledger: which process, and which run of it.
    """

    worker: str
    owner: int
    ticket: int


class DueFrame(Message, frozen=True, kw_only=True):
    """The answer to a `Credit`: at most one for each ticket."""

    header: FrameHeader
    owner: int
    ticket: int


class Missed(Message, frozen=True, kw_only=True):
    """A due frame that will not be judged: `stage` dropped it for `cause`, as the ledger names them.

    Every due frame ends in an `Inspection` or in this, unless a capture process was killed before it could say so.
    """

    frame: FrameHeader
    stage: str
    cause: str
