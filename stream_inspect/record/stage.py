"""The recorder stage: a picture and a clip of every confirmed defect. A slow or full disk stops it, never judging."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from av.error import FFmpegError

from stream_inspect import log, metrics
from stream_inspect.config.crosscheck import RING_MARGIN_S
from stream_inspect.config.models import Config
from stream_inspect.draw.annotate import draw
from stream_inspect.draw.caption import caption, utc_text
from stream_inspect.draw.judged import JudgedFrames
from stream_inspect.draw.scale import scaled
from stream_inspect.messages import (
    AnyMessage,
    Box,
    Event,
    EventState,
    FrameHeader,
    FrameId,
    Output,
    Tracked,
)
from stream_inspect.picture import Picture
from stream_inspect.record.clip_builder import Clip, ClipBuilder
from stream_inspect.record.clip_files import write_clip, write_list
from stream_inspect.record.disk import GB
from stream_inspect.record.media_store import Item, MediaStore
from stream_inspect.record.picture_file import annotated_jpeg
from stream_inspect.record.recording_state import RecordingState
from stream_inspect.record.retention import Limits
from stream_inspect.stopping import RECORDER_CLOSE_S
from stream_inspect.store.files import CLIPS, PICTURES, clip_list_name, clip_name, picture_name, retention_clock
from stream_inspect.store.missing_clip import NOT_FINISHED, write_missing
from stream_inspect.transport.ring import RingError, RingReader, StaleFrameError
from stream_inspect.transport.wake import Wake

_BUDGET_S = 0.02
"""Encoding in one turn of the loop; the rest waits for the next turn, which the wake descriptor brings at once."""
_CLOSE_BUDGET_S, _CLOSE_ENCODING_S = RECORDER_CLOSE_S * 0.4, RECORDER_CLOSE_S * 0.3
"""Of the time to close, until all is handed to `media_store.py`, which takes half of it; the first part is encoding."""
_STOPPED = "stopped"
"""Why a clip is missing that could not be finished before a stop."""
_FRAME_COMES_WITHIN_S = RING_MARGIN_S
"""An event may overtake the header and the tracks of its frame, which come by other sockets. They are waited for as
long as the ring is sure to keep the frames that the clip begins with."""
_WAITING_EVENTS_MAX = 1024
_PICTURES_MAX = 64
_DAY_S = 86400.0


class RecorderStage:
    """Reads `frames`, `tracked` and `confirmed`; writes pictures/ and clips/ in the state folder."""

    def __init__(self, config: Config, *, ring_dir: Path, state_dir: Path) -> None:
        recorder = config.recorder
        self._config = recorder
        self._state_dir = state_dir
        self._ring = RingReader(ring_dir)
        keep_s = 2 * config.transport.ring_s + recorder.pre_roll_s
        self._judged = {camera.name: JudgedFrames(keep_s) for camera in config.cameras}
        self._rotate_deg = {camera.name: camera.rotate_deg for camera in config.cameras}
        self._builders = {
            camera.name: ClipBuilder(recorder, config.transport.ring_s, self._ring.read, self._annotate)
            for camera in config.cameras
        }
        limits = Limits(
            max_age_s=recorder.max_age_days * _DAY_S,
            max_bytes=int(recorder.max_size_gb * GB),
            min_free_bytes=int(recorder.min_free_gb * GB),
        )
        self._media = MediaStore(
            [state_dir / CLIPS, state_dir / PICTURES], limits, clock_path=retention_clock(state_dir, "media")
        )
        self._state = RecordingState()
        self._waiting: list[tuple[float, Event]] = []
        self._pictures: deque[tuple[Event, FrameHeader, Picture]] = deque()
        self._read_last: tuple[FrameId, Picture] | None = None
        self._patient_until_s = 0.0
        """Until then a full queue of the media store is waited for: at a stop."""
        self._log = log.get_logger(__name__)
        self._wake = Wake()
        self.wake_fd = self._wake.fd

    def open(self) -> None:
        """Remove what a killed process left half written, and start the writer. A full disk does not raise."""
        self._media.open()

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        """Topics come by different sockets, in no order among each other: frames first, then tracks, then events."""
        events: list[Event] = []
        tracked: list[Tracked] = []
        for message in batch:
            if isinstance(message, FrameHeader) and message.id.camera in self._builders:
                self._builders[message.id.camera].see(message)
            elif isinstance(message, Tracked) and message.frame.id.camera in self._builders:
                tracked.append(message)
            elif isinstance(message, Event) and message.camera in self._builders:
                events.append(message)
        for message in tracked:
            self._judged[message.frame.id.camera].add(message)
            self._builders[message.frame.id.camera].track(message)
        now_s = time.monotonic()
        for event in events:
            if event.kind == "defect" and event.state is EventState.CONFIRMED and event.frame is not None:
                self._waiting.append((now_s + _FRAME_COMES_WITHIN_S, event))
        self._begin_clips(now_s)
        return ()

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        """Encode for a short while, pass on what is complete, report when recording stops and resumes."""
        self._begin_clips(now_mono_ns / 1e9)
        more = self._work(until_s=time.monotonic() + _BUDGET_S)
        for builder in self._builders.values():
            for clip in builder.take_finished(now_mono_ns):
                self._put_clip(clip)
        if more:
            self._wake.set()  # the loop is to turn at once
        else:
            self._wake.clear()
        self._state.follow(self._media.stopped)
        return self._state.due(now_mono_ns)

    def held(self) -> dict[str, tuple[int, int]]:
        """Events that wait for their frame, pictures and files that wait to be written, clips that are not complete."""
        return {
            "events": (len(self._waiting), _WAITING_EVENTS_MAX),
            "pictures": (len(self._pictures), _PICTURES_MAX),
            "files": self._media.queued,
            **{f"clips of {camera}": builder.open_clips for camera, builder in self._builders.items()},
        }

    def undelivered(self, output: Output) -> None:
        """Conditions are broadcast: they are never refused."""

    def close(self) -> None:
        """End the open clips with what there is, and write what is waiting. What takes too long is named as missing.

        Where the time does not suffice for all frames, each clip has at least its judged frame.
        """
        self._patient_until_s = time.monotonic() + _CLOSE_BUDGET_S
        self._begin_clips(math.inf)
        self._work(until_s=time.monotonic() + _CLOSE_ENCODING_S, stopping=True)
        for builder in self._builders.values():
            for header in builder.judged_frames_missing():
                self._encode(builder, header, time.monotonic_ns())
            for clip in builder.take_finished(time.monotonic_ns(), stopping=True):
                self._put_clip(clip)
        for event, _, _ in self._pictures:
            self._done("picture", event)(_STOPPED)
        for item in self._media.close():
            item.done(_STOPPED)
        self._state.close()
        self._ring.close()
        self._wake.close()
        self.wake_fd = None

    # --- events ---

    def _begin_clips(self, now_s: float) -> None:
        waiting, self._waiting = self._waiting, []
        for until_s, event in waiting:
            assert event.frame is not None, "only events with a frame wait"
            builder, key = self._builders[event.camera], event.frame.order
            header = builder.header(key)
            late = now_s > until_s or len(self._waiting) >= _WAITING_EVENTS_MAX
            if header is not None and (late or builder.is_judged(key)):
                self._begin_clip(event, header)
            elif late:
                self._lost(event, "frame_unknown")
            else:
                self._waiting.append((until_s, event))

    def _begin_clip(self, event: Event, header: FrameHeader) -> None:
        if stop := self._media.rejects:
            self._lost(event, stop.cause)
            return
        if self._read_last is None or self._read_last[0] != header.id:
            try:
                self._read_last = header.id, self._ring.read(header)
            except StaleFrameError:
                self._lost(event, "frame_overwritten")
                return
            except RingError as error:
                self._lost(event, "frame_unreadable", error)
                return
        picture = self._read_last[1]
        if len(self._pictures) < _PICTURES_MAX:
            self._pictures.append((event, header, picture))
        else:
            self._done("picture", event)("too_many")
        if event.clip is None:
            return  # a picture that stands alone
        if not self._builders[event.camera].request_clip(event, header, picture):
            self._lost(event, "too_many")

    def _put_picture(self, event: Event, header: FrameHeader, picture: Picture) -> None:
        jpeg = annotated_jpeg(event, picture, self._judged[event.camera].marks(header.id))
        path = self._path(picture_name(event.id))
        done = self._done("picture", event)
        note = None
        if self._builders[event.camera].is_open(event):
            note = self._path(clip_list_name(event.id)), partial(write_missing, event=event, cause=NOT_FINISHED)
        if reason := self._enqueue(
            Item(event.id, len(jpeg), ((path, lambda file: file.write(jpeg)),), done, note=note)
        ):
            done(reason)

    def _put_clip(self, clip: Clip) -> None:
        event = clip.event
        if not clip.holds_judged_frame:
            overwritten = "without_judged_frame" if clip.frames else "frames_overwritten"
            self._lost(event, _STOPPED if clip.ended_by == "stopped" else overwritten)
            return
        size = sum(len(encoded.packet.data) for encoded in clip.frames)
        # The list goes first: a clip on the disk always has its list.
        files = (
            (self._path(clip_list_name(event.id)), partial(write_list, clip=clip)),
            (
                self._path(clip_name(event.id)),
                partial(write_clip, clip=clip, rotate_deg=self._rotate_deg[event.camera]),
            ),
        )
        item = Item(event.id, size, files, self._done("clip", event))
        if reason := self._enqueue(item):
            self._lost(event, reason)

    def _path(self, name: str) -> str:
        """Of a file in the state folder."""
        return f"{self._state_dir}/{name}"

    def _enqueue(self, item: Item) -> str:
        return self._media.enqueue(item, wait_s=max(0.0, self._patient_until_s - time.monotonic()))

    def _done(self, what: str, event: Event) -> Callable[[str], None]:
        def done(outcome: str) -> None:
            if what == "clip" and outcome != "written":
                self._lost(event, outcome)
                return
            (metrics.CLIPS if what == "clip" else metrics.EVENT_PICTURES).labels(outcome).inc()
            if outcome != "written":
                self._state.not_recorded("event picture not recorded", event.id, outcome)

        return done

    def _lost(self, event: Event, cause: str, error: Exception | None = None) -> None:
        metrics.CLIPS.labels(cause).inc()
        self._state.not_recorded("event clip not recorded", event.id, cause, error)
        record = (self._path(clip_list_name(event.id)), partial(write_missing, event=event, cause=cause))
        self._media.enqueue(Item(event.id, 0, (record,), lambda _: None))  # not while the disk fails

    # --- pictures and clips ---

    def _work(self, until_s: float, *, stopping: bool = False) -> bool:
        """Encode pictures of events, then clips, oldest frames first, until the time is up. True: more waits.

        `stopping`: no frame waits for boxes that do not come any more.
        """
        while self._pictures:
            if time.monotonic() >= until_s:
                return True
            self._put_picture(*self._pictures.popleft())
        self._read_last = None
        while True:
            now_ns = time.monotonic_ns()
            ready = [
                (header.capture_mono_ns, name, header)
                for name, builder in self._builders.items()
                if (header := builder.next_frame(now_ns, stopping=stopping)) is not None
            ]
            if not ready or time.monotonic() >= until_s:
                return bool(ready)
            _, name, header = min(ready, key=lambda one: one[0])
            self._encode(self._builders[name], header, now_ns)

    def _encode(self, builder: ClipBuilder, header: FrameHeader, now_ns: int) -> None:
        try:
            builder.encode(header, now_ns)
        except FFmpegError as error:
            for clip in builder.abort_clips():
                self._lost(clip.event, "encoder_failed", error)

    def _annotate(
        self, header: FrameHeader, picture: Picture, size_px: tuple[int, int]
    ) -> tuple[Picture, dict[int, Box]]:
        width_px, height_px = size_px
        bgr = np.ascontiguousarray(scaled(picture, width_px, height_px).to_bgr())
        marks, scale = self._judged[header.id.camera].marks(header.id), height_px / header.height_px
        draw(bgr, marks, scale=scale, name_frames=True)
        caption(
            bgr, f"{header.id.camera}   {utc_text(header.capture_utc_ns)}   frame {header.id.session}/{header.id.seq}"
        )
        return Picture.from_bgr(bgr), {
            mark.track: _scaled(mark.box_xyxy_px, scale) for mark in marks if mark.track is not None
        }


def _scaled(box: Box, scale: float) -> Box:
    left, top, right, bottom = (round(value * scale, 1) for value in box)
    return (left, top, right, bottom)
