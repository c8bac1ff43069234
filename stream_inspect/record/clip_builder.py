"""The annotated video of one camera, encoded only while an event needs it, and the clips cut from it.

The ring holds the camera's frames for a few seconds; the builder knows their headers and the tracks judged in them.
While at least one clip is open, frames are read from the ring in order, annotated and encoded ONCE, however many events
there are; a clip is a run of those packets that starts at a key packet. So the work is bounded by the frame rate.

A frame is encoded when the tracks on both sides of it are known, so that its boxes can be interpolated, or after
`WAIT_FOR_BOXES_S`.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice

from stream_inspect.config.models import RecorderConfig
from stream_inspect.draw.scale import size_at_height
from stream_inspect.messages import Box, Event, FrameHeader, FrameId, FrameOrder, Tracked, TrackUpdate
from stream_inspect.picture import Picture
from stream_inspect.record.encoder import Encoder, Packet, clip_time_base
from stream_inspect.record.ring_length import RingLength
from stream_inspect.transport.ring import RingError

WAIT_FOR_BOXES_S = 1.0
"""How long a frame waits for the next judged frame, so that its boxes can be interpolated instead of extrapolated."""
KEY_EVERY_S = 0.5
"""A clip begins at a key packet: at most this much earlier than requested."""
SILENT_S = 3.0
"""After this long without a frame of the camera its clips end with the frames that they have."""
OPEN_CLIPS_MAX = 32
BEHIND = 0.5
"""When the next frame is older than this share of the ring, every other frame is skipped: better than gaps."""
_HISTORY_MIN_S = 10.0


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One encoded frame, with the boxes drawn in it by track, in pixels of the clip."""

    frame: FrameId
    packet: Packet
    boxes_px: Mapping[int, Box] = field(default_factory=dict)


@dataclass(slots=True)
class EncodedRun:
    """The packets of one encoder: one session, one picture size."""

    session: int
    size_px: tuple[int, int]
    encoder: Encoder
    frames: deque[EncodedFrame] = field(default_factory=deque)
    last_key_s: float | None = None

    def fits(self, header: FrameHeader) -> bool:
        return self.session == header.id.session and self.size_px == (header.width_px, header.height_px)


@dataclass(slots=True)
class Clip:
    """The clip of one event. Times are in seconds of the media clock of its session."""

    event: Event
    judged: FrameOrder
    judged_s: float
    start_s: float
    end_s: float
    latest_end_s: float
    frames: list[EncodedFrame] = field(default_factory=list)
    run: EncodedRun | None = None
    frames_missing: int = 0
    ended_by: str = ""

    @property
    def holds_judged_frame(self) -> bool:
        return any(encoded.frame.order == self.judged for encoded in self.frames)

    @property
    def time_base(self) -> Fraction:
        assert self.run is not None, "a clip with frames has a run"
        return self.run.encoder.time_base


Annotate = Callable[[FrameHeader, Picture, tuple[int, int]], tuple[Picture, Mapping[int, Box]]]
"""(header, picture, (width_px, height_px) wanted) -> the annotated picture, limited-range BT.601; boxes by track."""


class ClipBuilder:
    """Builds the clips of one camera. `read` returns a copy of a frame's picture or raises `RingError`."""

    def __init__(
        self, config: RecorderConfig, ring_s: float, read: Callable[[FrameHeader], Picture], annotate: Annotate
    ) -> None:
        self._config = config
        self._ring = RingLength(ring_s)
        self._history_s = max(_HISTORY_MIN_S, 2 * ring_s)
        self._read = read
        self._annotate = annotate
        self._headers: list[FrameHeader] = []
        self._keys: list[FrameOrder] = []
        self._judged: set[FrameOrder] = set()
        self._judged_until: dict[int, float] = {}
        self._tracks: dict[tuple[int, int], TrackUpdate] = {}
        self._live: set[tuple[int, int]] = set()
        self._run: EncodedRun | None = None
        self._encoded: FrameOrder = (-1, -1)
        self._clips: list[Clip] = []
        self._pinned: dict[FrameOrder, Picture] = {}
        self._skip = False

    # --- what is known ---

    def see(self, header: FrameHeader) -> None:
        """Take in the header of a captured frame, usually the newest."""
        key = header.id.order
        if not self._keys or key > self._keys[-1]:
            self._keys.append(key)
            self._headers.append(header)
            self._ring.see(header)
            self._forget(header)
            return
        place = bisect.bisect_left(self._keys, key)
        if self._keys[place] != key:
            self._keys.insert(place, key)
            self._headers.insert(place, header)

    def track(self, tracked: Tracked) -> None:
        """Take in a judged frame: frames up to it get exact boxes; a defect still seen extends its clip."""
        self.see(tracked.frame)
        session, pts_s = tracked.frame.id.session, tracked.frame.id.pts_s
        self._judged.add(tracked.frame.id.order)
        self._judged_until[session] = max(pts_s, self._judged_until.get(session, pts_s))
        for update in (*tracked.tracks, *tracked.ended):
            self._tracks[session, update.track] = update
            for clip in self._clips:
                if clip.judged[0] == session and clip.event.track == update.track:
                    self._extend(clip, update)
        self._live.update((session, update.track) for update in tracked.tracks)
        self._live.difference_update((session, update.track) for update in tracked.ended)

    def _extend(self, clip: Clip, update: TrackUpdate) -> None:
        wanted_s = update.last_pts_s + self._config.post_roll_s
        clip.end_s = min(max(clip.end_s, wanted_s), clip.latest_end_s)

    def header(self, key: FrameOrder) -> FrameHeader | None:
        """The header of this frame, if it is still known."""
        place = bisect.bisect_left(self._keys, key)
        return self._headers[place] if place < len(self._keys) and self._keys[place] == key else None

    def is_judged(self, key: FrameOrder) -> bool:
        """Whether this frame was judged, so that its boxes are exact."""
        return key in self._judged

    def _forget(self, newest: FrameHeader) -> None:
        before_ns = newest.capture_mono_ns - int(self._history_s * 1e9)
        count = 0
        while count < len(self._headers) and self._headers[count].capture_mono_ns < before_ns:
            count += 1
        if count >= 64 or (count and self._headers[count - 1].id.session != newest.id.session):
            del self._headers[:count], self._keys[:count]
            self._judged = {key for key in self._judged if key >= self._keys[0]}
            known = {session for session, _ in self._keys}
            self._judged_until = {session: s for session, s in self._judged_until.items() if session in known}
            oldest_s = newest.id.pts_s - self._history_s
            self._tracks = {
                key: update
                for key, update in self._tracks.items()
                if key[0] == newest.id.session and update.last_pts_s > oldest_s
            }
            self._live &= self._tracks.keys()

    # --- clips ---

    def request_clip(self, event: Event, header: FrameHeader, picture: Picture) -> bool:
        """Start the clip of a confirmed event; `picture` is its judged frame. False: too many clips are open."""
        if len(self._clips) >= OPEN_CLIPS_MAX:
            return False
        session, judged_s = header.id.session, header.id.pts_s
        track = self._tracks.get((session, event.track)) if event.track is not None else None
        first_s = min(judged_s, track.first_pts_s) if track else judged_s
        start_s = max(first_s - self._config.pre_roll_s, judged_s - self._config.max_clip_s / 2)
        latest_end_s = start_s + self._config.max_clip_s
        clip = Clip(
            event=event,
            judged=header.id.order,
            judged_s=judged_s,
            start_s=start_s,
            end_s=min(judged_s + self._config.post_roll_s, latest_end_s),
            latest_end_s=latest_end_s,
        )
        if track:
            self._extend(clip, track)
        if self._run and self._run.fits(header):
            self._take_from_run(clip, self._run)
        if clip.judged > self._encoded:
            self._pinned[clip.judged] = picture
        self._clips.append(clip)
        return True

    def _take_from_run(self, clip: Clip, run: EncodedRun) -> None:
        """Give the clip the frames that are already encoded, from the last key packet at or before its start."""
        taken: list[EncodedFrame] = []
        for encoded in run.frames:
            if encoded.packet.key and encoded.frame.pts_s <= clip.start_s:
                taken = []
            if taken or encoded.packet.key:
                taken.append(encoded)
        last_s = taken[-1].frame.pts_s if taken else clip.start_s
        if last_s >= clip.start_s:
            clip.frames, clip.run = taken, run

    # --- encoding ---

    def next_frame(self, now_mono_ns: int, stopping: bool = False) -> FrameHeader | None:
        """The next frame to encode, or None while none is ready. `stopping`: none waits for boxes any more."""
        if not self._clips:
            return None
        wanted = self._wanted()
        place = bisect.bisect_right(self._keys, self._encoded)
        for header in islice(self._headers, place, None):
            start_s, end_s = wanted.get(header.id.session, (0.0, -1.0))
            if not start_s <= header.id.pts_s <= end_s:
                continue
            judged_until = self._judged_until.get(header.id.session)
            ready = stopping or (judged_until is not None and header.id.pts_s <= judged_until)
            return header if ready or now_mono_ns - header.capture_mono_ns > self._wait_ns else None
        return None

    @property
    def _wait_ns(self) -> int:
        return int(min(WAIT_FOR_BOXES_S, self._ring.seconds / 4) * 1e9)

    def _wanted(self) -> dict[int, tuple[float, float]]:
        """The stretch of each session that clips need, in seconds of its media clock.

        It includes the pre-roll of defects that are seen but not yet confirmed: encoding only runs forward.
        """
        wanted: dict[int, tuple[float, float]] = {}
        for clip in self._clips:
            session = clip.judged[0]
            start_s, end_s = wanted.get(session, (clip.start_s, clip.end_s))
            wanted[session] = min(start_s, clip.start_s), max(end_s, clip.end_s)
        for key in self._live:
            if key[0] in wanted:
                start_s, end_s = wanted[key[0]]
                wanted[key[0]] = min(start_s, self._tracks[key].first_pts_s - self._config.pre_roll_s), end_s
        return wanted

    def encode(self, header: FrameHeader, now_mono_ns: int) -> bool:
        """Encode this frame, the one from `next_frame`. False when it was overwritten, or skipped to catch up."""
        key = header.id.order
        before, self._encoded = self._encoded, key
        picture = self._pinned.pop(key, None)
        if picture is None:
            behind = now_mono_ns - header.capture_mono_ns > BEHIND * self._ring.seconds * 1e9
            self._skip = behind and not self._skip and key not in self._judged
            if self._skip:
                return False
            try:
                picture = self._read(header)
            except RingError:
                return False
        run = self._run_for(header)
        gap = before[0] != key[0] or not run.frames
        pts = round(Fraction(header.id.pts * header.id.time_base_num, header.id.time_base_den) / run.encoder.time_base)
        if run.frames and pts <= run.frames[-1].packet.pts:
            return False
        pts_s = header.id.pts_s
        wanted_from = [clip.start_s for clip in self._clips if not clip.frames and clip.start_s <= pts_s]
        is_key = gap or bool(wanted_from) or run.last_key_s is None or pts_s - run.last_key_s >= KEY_EVERY_S
        size = run.encoder.width_px, run.encoder.height_px
        annotated, boxes_px = self._annotate(header, picture, size)
        encoded = EncodedFrame(header.id, run.encoder.encode(annotated, pts, is_key), boxes_px)
        if encoded.packet.key:
            run.last_key_s = pts_s
        run.frames.append(encoded)
        while run.frames and pts_s - run.frames[0].frame.pts_s > self._history_s:
            run.frames.popleft()
        for clip in self._clips:
            if clip.judged[0] == key[0] and clip.start_s <= pts_s <= clip.end_s and clip.run in (None, run):
                if clip.run is None and not encoded.packet.key:
                    continue
                clip.run = run
                clip.frames.append(encoded)
        return True

    def _run_for(self, header: FrameHeader) -> EncodedRun:
        if self._run is None or not self._run.fits(header):
            time_base = clip_time_base(header.id.time_base_num, header.id.time_base_den)
            width_px, height_px = size_at_height(header.width_px, header.height_px, self._config.height_px)
            encoder = Encoder(width_px, height_px, time_base, self._fps())
            self._run = EncodedRun(header.id.session, (header.width_px, header.height_px), encoder)
        return self._run

    def _fps(self) -> float:
        recent = self._headers[-30:]
        span_s = recent[-1].id.pts_s - recent[0].id.pts_s
        return (len(recent) - 1) / span_s if span_s > 0 else 25.0

    def abort_clips(self) -> list[Clip]:
        """End all clips without a file, because the encoder failed; the next event starts a new encoder."""
        clips, self._clips, self._run = self._clips, [], None
        self._pinned.clear()
        return clips

    def is_open(self, event: Event) -> bool:
        """Whether the clip of this event is being made."""
        return any(clip.event.id == event.id for clip in self._clips)

    def judged_frames_missing(self) -> list[FrameHeader]:
        """The judged frames of open clips that are not encoded yet, in their order."""
        keys = sorted({clip.judged for clip in self._clips if clip.judged > self._encoded})
        return [header for key in keys if (header := self.header(key)) is not None]

    @property
    def open_clips(self) -> tuple[int, int]:
        """Clips that are not complete, and how many there may be."""
        return len(self._clips), OPEN_CLIPS_MAX

    def take_finished(self, now_mono_ns: int, stopping: bool = False) -> list[Clip]:
        """Remove and return the clips that are complete, or will get no more frames."""
        finished = []
        for clip in list(self._clips):
            clip.ended_by = self._end_reason(clip, now_mono_ns) or ("stopped" if stopping else "")
            if clip.ended_by:
                self._clips.remove(clip)
                self._pinned.pop(clip.judged, None)
                self._count_missing(clip)
                finished.append(clip)
        return finished

    def _end_reason(self, clip: Clip, now_mono_ns: int) -> str:
        session = clip.judged[0]
        place = bisect.bisect_right(self._keys, max(self._encoded, (session, -1)))
        for header in islice(self._headers, place, None):
            if header.id.session != session:
                return "camera reconnected"
            if clip.run and not clip.run.fits(header):
                return "picture size changed"
            return "complete" if header.id.pts_s > clip.end_s else ""
        newest = self._headers[-1]
        if newest.id.session == session and newest.id.pts_s >= clip.end_s:
            return "complete"
        return "camera silent" if now_mono_ns - newest.capture_mono_ns > SILENT_S * 1e9 else ""

    def _count_missing(self, clip: Clip) -> None:
        if clip.frames:
            first, last = clip.frames[0].frame.seq, clip.frames[-1].frame.seq
            clip.frames_missing = last - first + 1 - len(clip.frames)
