"""From packets to frames: the common part of all cameras that FFmpeg reads (RTSP, V4L2, video files)."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
from av.container import InputContainer

from stream_inspect.capture.bit_depth import BitDepth
from stream_inspect.capture.camera import (
    CameraError,
    CameraInfo,
    CapturedFrame,
    EndOfMediaError,
    FrameSink,
    NoPictureError,
    PictureNotes,
)
from stream_inspect.capture.decoder import PictureDecoder
from stream_inspect.capture.presentation import Presentation
from stream_inspect.capture.received import Received
from stream_inspect.capture.sender_clock import Arrival, SenderClock, arrived_now
from stream_inspect.capture.stated_crop import NO_CROP, stated_crop
from stream_inspect.capture.stated_end import StatedEnd
from stream_inspect.capture.timestamps import DEFAULT_INTERVAL_S, PtsRepair
from stream_inspect.capture.video_stream import chosen_of_several, video_stream
from stream_inspect.capture.whole_pictures import WholePictures
from stream_inspect.log import get_logger
from stream_inspect.messages import Clock
from stream_inspect.redact import redact
from stream_inspect.rotation import Rotation

_KEY_WAIT_S = 5.0
"""After corruption, inter-coded frames count as bad until the next key frame, or for this long in a stream without
key frames."""
_FIRST_FRAME_S = _KEY_WAIT_S + 10.0
"""Packets arrive, but no intact picture: after a join in mid-stream the first key frame, or the end of a periodic intra
refresh, may be this far away. Reconnecting would only start the same wait again. A silent camera fails much sooner. A
recording is read to its end."""
_SLOW_FPS, _SLOW_FRAMES = 2.0, 30
"""Both waits are this many frames long for a camera of less than two frames per second ..."""
LONGEST_FIRST_FRAME_S = 60.0
"""... and not longer than this."""
_MOST_HELD = 16
"""Frames that a decoder may hold back to put them in order. After this many packets in a row without a frame and
without an error, each further one is a bad frame."""
_MOST_FPS = 240
"""A stream that reports a higher rate (one without a rate reports its time base's 90,000) reports nothing usable."""
_GAP_INTERVALS = 1.5
_STEPS_KNOWN, _STEPS_NEEDED = 15, 5
"""The frame interval is the median of the last ones: the rate that a stream reports is often wrong."""
_TIMES_KEPT = 64
"""Packets whose arrival time is kept: more than any decoder reorders."""
_BELIEVED = (
    "every packet fails FFmpeg's strict decoding and none fails without it: read without, so that damaged pictures are "
    "not noticed"
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame still in the decoder's buffers."""

    frame: av.VideoFrame
    pts: int
    arrival: Arrival


def error_text(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """The message of a library's exception, without passwords."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return redact(text, secrets)


class AvReader:
    """Reads the video stream of an open container, one frame at a time.

    A live source, one with `silent_limit_s`, fails when its stream ends or no packet arrives for that long (the
    container must have the same read time-out); otherwise the end of the stream is the end of the medium. With
    `loses_frames` (a network without retransmission) a gap in pts counts as lost frames. `made_with_deg` is how far the
    pictures of a file of ours were turned already, `depth` what is known of 16-bit values. `close` closes the
    container.
    """

    def __init__(
        self,
        container: InputContainer,
        *,
        silent_limit_s: float | None = None,
        loses_frames: bool = False,
        made_with_deg: Rotation = 0,
        depth: BitDepth | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        self._container = container
        self._silent_limit_s = silent_limit_s
        self._live = live = silent_limit_s is not None
        self._secrets = tuple(secrets)
        try:
            self._stream = video_stream(container)
        except CameraError:
            container.close()
            raise
        self._decoder = PictureDecoder(self._stream, reliable=not loses_frames)
        self._whole = WholePictures(self._decoder.nal)
        self._log = get_logger(__name__)
        self._stated_end = StatedEnd(container, self._stream)
        self._packets = iter(container.demux(self._stream)) if live else self._of_recording()
        self._ready: deque[av.Packet[Any]] = deque()
        self._frames: deque[av.VideoFrame] = deque()
        self._times: dict[int | None, Arrival] = {}
        self._latest = arrived_now()
        self._bad_until_key_s: float | None = None
        self._packets_read = 0
        self.time_base = Fraction(self._stream.time_base or Fraction(1, 90_000))
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate and rate <= _MOST_FPS else None
        self._pts_repair = PtsRepair(self.time_base, self.fps, live=live)
        self._received = Received(self._stream.codec_context.codec.name, self.fps)
        self._first: Decoded | None = None
        self._given: list[int | None] | None = None
        """While the first good frame is waited for: the pts of the packets that went into the decoder."""
        self._held = 0
        self._loses_frames = loses_frames
        crop = NO_CROP if live else stated_crop(container, self._stream)
        self._presentation = Presentation(self._stream, crop, made_with_deg, depth)
        self._sender_clock = SenderClock()
        self._last_pts: int | None = None
        self._steps: deque[int] = deque(maxlen=_STEPS_KNOWN)

    def open(self, clock: Clock) -> CameraInfo:
        """Decode the first good frame, the only reliable source of the size, and keep it for `next`.

        Raises `NoPictureError` where packets arrive and no frame comes of them, `CameraError`, `EndOfMediaError`.
        """
        give_up_s = time.monotonic() + self._slow(_FIRST_FRAME_S) if self._live else None
        self._given, failed = [], 0
        try:
            while (first := self._decode(give_up_s)) is None:
                failed += 1
        except CameraError as error:
            error.bad_frames = len(self._given)
            raise
        self._first = first
        failed -= self._decoder.recovered
        bad_frames = failed if first.frame.pts is None else self._count_before(first.frame.pts)
        self._given = None
        frame = first.frame
        width_px, height_px = self._presentation.size_px(frame)
        return CameraInfo(
            width_px=width_px,
            height_px=height_px,
            fps=self.fps,
            codec=self._stream.codec_context.codec.name,
            time_base=self.time_base,
            clock=clock,
            frame_count=self._stream.frames or None,
            notes=self._notes(frame),
            bad_frames=bad_frames,
        )

    def next(self) -> Decoded | None:
        """The next frame, or None for a corrupt one. Raises `CameraError`, `EndOfMediaError`."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return self._decode()

    def read(self, sink: FrameSink, wait: Callable[[Decoded], Arrival] | None = None) -> CapturedFrame | None:
        """The next frame, copied into the sink; `wait` holds it until its time and returns when that was."""
        decoded = self.next()
        if decoded is None:
            return None
        arrival = wait(decoded) if wait else decoded.arrival
        return CapturedFrame(
            picture=self._presentation.copy(decoded.frame, sink),
            pts=decoded.pts,
            time_base=self.time_base,
            capture_mono_ns=arrival.mono_ns,
            capture_utc_ns=arrival.utc_ns,
            clock=arrival.clock,
            is_key=decoded.frame.key_frame,
        )

    @property
    def needed_silence_s(self) -> float:
        """How long this live source may be silent, by what is known of its rate: its limit, or longer."""
        return self._received.silence_s(self._silent_limit_s or 0.0)

    def close(self) -> None:
        self._first = None
        self._frames.clear()
        self._container.close()

    def _decode(self, give_up_s: float | None = None) -> Decoded | None:
        while not self._frames:
            packet = self._next_packet()
            if give_up_s is not None and time.monotonic() > give_up_s:
                raise self._no_picture(f"no intact picture within {self._slow(_FIRST_FRAME_S):g} s")
            if self._given is not None and packet.size and not packet.is_discard:
                self._given.append(packet.pts)
            try:
                self._frames.extend(self._decoder.decode(packet))
            except av.error.EOFError:
                continue
            except av.error.FFmpegError:
                self._damaged()
                return None
            if packet.is_corrupt:
                self._damaged()
            if not packet.is_discard:
                self._held = 0 if self._frames else self._held + 1
            if self._held > _MOST_HELD:
                return None
        frame = self._frames.popleft()
        arrival = self._times.pop(frame.pts, self._latest)
        if frame.is_corrupt or self._follows_a_gap(frame.pts):
            self._damaged()
        if self._is_damaged(frame):
            return None
        return Decoded(frame, self._pts_repair.repair(frame.pts), arrival)

    def _next_packet(self) -> av.Packet[Any]:
        """The next packet of a whole picture."""
        while not self._ready:
            splits = self._whole.splits
            self._ready.extend(self._whole.add(self._read_packet()))
            if self._whole.splits and not splits:
                self._log.info("stream splits its pictures; joining them, one frame later")
        return self._ready.popleft()

    def _of_recording(self) -> Iterator[av.Packet[Any]]:
        """The packets of the stream; those of the others count for how far the recording goes."""
        for packet in self._container.demux():
            if packet.size:
                self._stated_end.note(packet)
            if packet.stream is self._stream:
                yield packet

    def _read_packet(self) -> av.Packet[Any]:
        """The next packet as the container gives it."""
        asked_s = time.monotonic()
        try:
            packet = next(self._packets)
        except StopIteration:
            raise self._ended() from None
        except av.error.ExitError:
            raise self._silent() from None
        except av.error.FFmpegError as error:
            raise CameraError(f"read failed: {error_text(error, self._secrets)}") from None
        if packet.size:
            self._received.note(packet)
        # A read that times out first flushes FFmpeg's parser, which returns the last packet; only the next read fails,
        # after the same time again. So a packet that took this long is the sign of a source that has stopped sending.
        if self._silent_limit_s is not None and time.monotonic() - asked_s >= self._silent_limit_s:
            raise self._silent()
        if packet.size:
            self._packets_read += 1
            self._note_arrival(packet)
        elif self._live:  # the empty packet that flushes the decoder: the server closed the stream
            raise self._ended()
        return packet

    def _silent(self) -> CameraError:
        text = f"no data for {self._silent_limit_s:g} s"
        return CameraError(text) if self._given is None else self._no_picture(text)

    def _ended(self) -> CameraError:
        if self._live:
            return CameraError("the stream ended") if self._given is None else self._no_picture("the stream ended")
        text = "end of the file" if self._given is None else f"end of the file: {self._received}"
        return EndOfMediaError(text, shortfall=self._stated_end.shortfall())

    def _no_picture(self, what: str) -> CameraError:
        """Connected, and yet there is no picture: what came, and what to do about it."""
        return NoPictureError(f"{what}: {self._received}; {self._received.advice}")

    def _count_before(self, pts: int) -> int:
        """How many packets went into the decoder before the one of the first good frame, and gave none.

        A frame that the decoder has put in order may follow packets that are still to be shown: they have a later pts.
        """
        given = self._given or []
        before = given[: given.index(pts)] if pts in given else given
        return sum(1 for each in before if each is None or each < pts)

    def _notes(self, frame: av.VideoFrame) -> PictureNotes:
        notes = self._presentation.notes(frame)
        chosen = chosen_of_several(self._container, self._stream)
        strictness = (_BELIEVED,) if self._decoder.believed else ()
        return PictureNotes((*notes.honoured, *chosen), (*notes.ignored, *strictness))

    def _note_arrival(self, packet: av.Packet[Any]) -> None:
        arrival = self._sender_clock.at(packet, arrived_now())
        self._latest = self._times[packet.pts] = arrival
        if len(self._times) > _TIMES_KEPT:
            del self._times[next(iter(self._times))]

    def _follows_a_gap(self, pts: int | None) -> bool:
        """Whether whole frames before this one were lost: FFmpeg's H.264 decoder continues as if none were missing."""
        last, self._last_pts = self._last_pts, pts
        if not self._loses_frames or pts is None or last is None:
            return False
        self._steps.append(pts - last)
        usual = statistics.median_low(self._steps)
        return len(self._steps) >= _STEPS_NEEDED and pts - last > _GAP_INTERVALS * usual

    def _now_s(self) -> float:
        """The clock for corruption: a recording's own time, so that it reads the same on a fast and on a slow host."""
        if self._live:
            return time.monotonic()
        return self._packets_read / (self.fps or float(1 / DEFAULT_INTERVAL_S))

    def _slow(self, wait_s: float) -> float:
        """This wait for a usual camera, as long as a slow one needs it."""
        if not self.fps or self.fps >= _SLOW_FPS:
            return wait_s
        return max(wait_s, min(_SLOW_FRAMES / self.fps, LONGEST_FIRST_FRAME_S))

    def _damaged(self) -> None:
        self._bad_until_key_s = self._now_s() + self._slow(_KEY_WAIT_S)

    def _is_damaged(self, frame: av.VideoFrame) -> bool:
        """Frames after a corrupt one repeat its corruption until the next key frame, though they decode cleanly."""
        if self._bad_until_key_s is None:
            return False
        if (frame.key_frame and not frame.is_corrupt) or self._now_s() > self._bad_until_key_s:
            self._bad_until_key_s = None
            return False
        return True
