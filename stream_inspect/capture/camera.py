"""The camera contract: the one thing a new kind of source has to fulfil."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from stream_inspect.errors import StreamInspectError
from stream_inspect.messages import Clock
from stream_inspect.picture import Picture, UInt8Array


class CameraError(StreamInspectError):
    """The source failed (refused, ended, hung, sent garbage). The read loop closes it and connects again.

    The text is fit for a log: it names what failed and carries no password. `bad_frames` arrived before `open` failed
    with it: they are counted like those that `read` returns.
    """

    def __init__(self, text: str, *, bad_frames: int = 0) -> None:
        super().__init__(text)
        self.bad_frames = bad_frames

    def at(self, where: str) -> CameraError:
        """The same error, with the place before its text."""
        return type(self)(f"{where}: {self}", bad_frames=self.bad_frames)


class NoPictureError(CameraError):
    """The source was reached and accepted the login, but what it sent is not a picture that can be decoded."""


class EndOfMediaError(CameraError):
    """A finite source (file, folder) has been read to its end. The read loop stops; nothing is wrong.

    `shortfall` is what a recording lacks of what its container says, fit for a log; empty where it is whole.
    """

    def __init__(self, text: str, *, bad_frames: int = 0, shortfall: str = "") -> None:
        super().__init__(text, bad_frames=bad_frames)
        self.shortfall = shortfall


@dataclass(frozen=True, slots=True)
class PictureNotes:
    """What a source says of its pictures' shape or values, beyond their size: fit for a log, a sentence each."""

    honoured: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    """What is not honoured, and what is a guess because the source does not say it: reported as warnings."""


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """What a camera reports once it is open; `None` where it does not."""

    width_px: int
    height_px: int
    fps: float | None
    codec: str
    time_base: Fraction
    clock: Clock
    frame_count: int | None = None
    notes: PictureNotes = PictureNotes()
    bad_frames: int = 0
    """Frames that arrived while the first good one was waited for: counted like those that `read` returns."""
    shortfall: str = ""
    """What a recording lacks of what its container says, as far as that is known before it is read to its end."""


class FrameSink(Protocol):
    """Where a camera writes a picture: the ring slot, so that a frame is written once."""

    def slot(self, width_px: int, height_px: int) -> UInt8Array:
        """The (padded_height * 3 // 2, padded_width) uint8 array to write the next picture's I420 planes into."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One frame as a camera hands it over. `picture.i420` is the array that `FrameSink.slot` gave."""

    picture: Picture
    pts: int
    time_base: Fraction
    capture_mono_ns: int
    capture_utc_ns: int
    clock: Clock
    is_key: bool = True
    file: str = ""
    """Name of the file that holds this frame alone: that of a picture."""
    taken_as: str = ""
    """How its values were understood, where that may be a reason for a black picture."""


class Camera(Protocol):
    """A source of frames. Used by one thread at a time, in the order open, read..., close; open may follow close.

    A constructor takes the camera's config and does no work. `close` never raises and may be called in any state.
    """

    def open(self) -> CameraInfo:
        """Connect, within a few seconds at most. Raises `CameraError`."""

    def read(self, sink: FrameSink) -> CapturedFrame | None:
        """The next frame in decode order, written into `sink.slot(...)`; blocks at most about two seconds.

        None means that the source delivered a bad frame (a GigE buffer with lost packets, a corrupt packet): it is
        counted and never judged. Raises `CameraError` when the source has failed, `EndOfMediaError` at the end of a
        finite one.
        """

    def close(self) -> None:
        """Release the device or connection."""
