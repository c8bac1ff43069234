"""`stream-inspect replay`: judge a recording as fast as it can be judged, dropping nothing, the same at each run.

One process and the stage objects of the service: the file camera decodes, the sampler picks by pts, the engine judges,
and the track and decide stages do what they do on the line. All times are the recording's own (`Clock.MEDIA`), so that
nothing in the results depends on when or how fast they were made; wall time is in timing.json alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from stream_inspect.capture.camera import CameraInfo, CapturedFrame, EndOfMediaError
from stream_inspect.capture.conditions import Change, ConditionWatch
from stream_inspect.capture.files import FileCamera
from stream_inspect.commands.replay import summary as summaries
from stream_inspect.commands.replay.frames import to_line
from stream_inspect.commands.replay.judges import Judge, ModelJudge, RecordedJudge
from stream_inspect.commands.replay.results import check_output_folder, prepare_output_folder, write_json, writing_to
from stream_inspect.commands.replay.summary import Summary
from stream_inspect.commands.replay.video import AnnotatedVideo
from stream_inspect.config.models import Config, FileSource, RecorderConfig
from stream_inspect.decide.event_log import MemoryLog
from stream_inspect.decide.stage import DecideStage
from stream_inspect.draw.annotate import marks_at, severities
from stream_inspect.messages import AnyMessage, Clock, Condition, FrameHeader, FrameId, Inspection, Tracked
from stream_inspect.picture import Picture, UInt8Array, i420_shape
from stream_inspect.track.stage import TrackStage

_PICTURES_BYTES = 256 * 1024 * 1024
"""Pictures held at most while their frames wait for the next judged one."""
_PROGRESS_S = 0.1


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """How far a replay has come."""

    frames: int
    frame_count: int | None
    judged: int
    events: int
    media_s: float
    wall_s: float


@dataclass(slots=True)
class _Frame:
    """A frame on its way through the replay."""

    header: FrameHeader
    picture: Picture
    changes: list[Change]
    due: bool
    inspection: Inspection | None = None
    tracked: Tracked | None = None


def replay(
    video: Path,
    config: Config,
    out: Path,
    *,
    inspections: Path | None = None,
    progress: Callable[[ReplayProgress], None] | None = None,
    force: bool = False,
) -> Summary:
    """Replay `video` as the first camera of `config` would have seen it, into the folder `out`.

    With `inspections` the detections come from that frames.jsonl and no model is loaded. Raises `StreamInspectError`
    (its text says what to do) for a video, a configuration or recorded detections that cannot be used, and for a folder
    that is not empty unless `force` allows to replace an earlier replay's files in it.
    """
    started_utc, began = datetime.now(UTC), time.perf_counter()
    camera = config.cameras[0].model_copy(update={"source": FileSource(kind="file", path=video, pace="fast")})
    config = config.model_copy(update={"cameras": [camera], "recorder": _pictureless(config.recorder)})
    source = FileCamera(camera)
    info = source.open()
    with ExitStack() as stack:
        stack.callback(source.close)
        inputs = [video, *([inspections] if inspections else [])]
        check_output_folder(out, force, inputs)
        judge: Judge = RecordedJudge(inspections, config) if inspections else ModelJudge(config)
        stack.callback(judge.close)
        judge.open()
        prepare_output_folder(out, force, inputs)
        load_s = time.perf_counter() - began
        with writing_to(out), ExitStack() as results:
            run = _Run(config, info, judge, out, results, progress)
            run.all_frames(source)
        summary = Summary(
            camera=camera.name,
            line=config.line_of(camera.name),
            video=summaries.Video(
                name=video.name,
                sha256=(video_hash := summaries.file_hash(video)),
                codec=info.codec,
                width_px=info.width_px,
                height_px=info.height_px,
                duration_s=run.duration_s,
            ),
            frames=run.frames,
            detections=run.detections,
            events=summaries.count_events(run.log.events),
            hashes=summaries.Hashes(
                program=summaries.program(),
                video=video_hash,
                config=summaries.config_hash(config, camera),
                models=judge.model_hash,
                prompts=judge.prompts_hash,
                inspections=summaries.file_hash(inspections) if inspections else "",
            ),
            defects_not_configured=judge.not_configured,
        )
    total_s = time.perf_counter() - began
    timing = summaries.Timing(
        started_utc=started_utc.isoformat(timespec="milliseconds"),
        load_models_s=round(load_s, 3),
        judge_s=round(run.judge_s, 3),
        total_s=round(total_s, 3),
        judged_fps=round(run.frames.judged / total_s, 2),
        times_real_time=round(run.duration_s / total_s, 2),
    )
    with writing_to(out):
        write_json(out / "timing.json", timing)
        write_json(out / "summary.json", summary)
    return summary


# --- the run -----------------------------------------------------------------------------------------------------


class _Run:
    """The state of one replay: frames wait here for their batch, and then for the next judged frame to be drawn."""

    def __init__(
        self,
        config: Config,
        info: CameraInfo,
        judge: Judge,
        out: Path,
        stack: ExitStack,
        progress: Callable[[ReplayProgress], None] | None,
    ) -> None:
        camera = config.cameras[0]
        self._camera = camera
        self._info = info
        self._judge = judge
        self._out = out
        self._stack = stack
        self._progress = progress
        self._height_px = config.recorder.height_px
        self._severity = severities(config.defects)
        self.log = MemoryLog()
        self._track = TrackStage(config.cameras, config.track)
        self._decide = DecideStage(config, self.log)
        for stage in (self._track, self._decide):
            stage.open()
            stack.callback(stage.close)
        self._events_file: BinaryIO = stack.enter_context((out / "events.jsonl").open("wb"))
        self._frames_file: BinaryIO = stack.enter_context((out / "frames.jsonl").open("wb"))
        self._video: AnnotatedVideo | None = None
        self._watch: ConditionWatch | None = None
        self._undecided: deque[_Frame] = deque()
        self._undrawn: deque[_Frame] = deque()
        self._drawn: Tracked | None = None
        self._latest: FrameHeader | None = None
        self._held_bytes = 0
        self._began = self._shown = time.perf_counter()
        self._first_pts_s = self._last_pts_s = 0.0
        self._written_events = 0
        self.frames = summaries.Frames()
        self.detections = 0
        self.judge_s = 0.0

    @property
    def duration_s(self) -> float:
        """From the first frame to the last."""
        return round(self._last_pts_s - self._first_pts_s, 6)

    def all_frames(self, source: FileCamera) -> None:
        """Read the recording to its end, and finish all that it began."""
        seq = 0
        while True:
            try:
                captured = source.read(_MEMORY_SINK)
            except EndOfMediaError:
                break
            self.frames.captured += 1
            if captured is None:
                self.frames.dropped["capture.bad_frame"] = self.frames.dropped.get("capture.bad_frame", 0) + 1
                if self._watch is not None:
                    self._watch.damaged(self._last_pts_s)
                continue
            self._take(captured, seq)
            seq += 1
            self._show(finished=False)
        self._judge_waiting()
        self._judge.end(seq)
        self._finish()
        self.frames.residual = self.frames.captured - (
            self.frames.judged + self.frames.not_due + sum(self.frames.dropped.values()) + self.frames.in_flight
        )
        self._show(finished=True)

    def _take(self, captured: CapturedFrame, seq: int) -> None:
        header = _header(captured, self._camera.name, seq)
        self._latest = header
        pts_s = self._last_pts_s = header.id.pts_s
        if self._watch is None:
            self._first_pts_s = pts_s
            self._watch = ConditionWatch(
                self._camera.conditions,
                belt_moves=self._camera.belt is not None,
                expect_frames=False,
                now_s=pts_s,
            )
            self._video = AnnotatedVideo(
                self._out / "annotated.mp4", captured.picture, captured.time_base, self._info.fps, self._height_px
            )
            self._stack.callback(self._video.close)
        changes = self._watch.frame(captured.picture.luma, pts_s) + self._watch.tick(pts_s)
        frame = _Frame(header, captured.picture, changes, self._judge.is_due(header))
        self._held_bytes += captured.picture.i420.nbytes
        self._undecided.append(frame)
        waiting = sum(waiting.due for waiting in self._undecided)
        if not waiting or waiting >= self._judge.batch or self._held_bytes > _PICTURES_BYTES:
            self._judge_waiting()
        self._draw(everything=self._held_bytes > _PICTURES_BYTES)

    def _judge_waiting(self) -> None:
        """Judge the due frames that wait, and pass all frames that wait through tracking and deciding, in order."""
        due = [frame for frame in self._undecided if frame.due]
        if due:
            began = time.perf_counter()
            inspections = self._judge.judge([(frame.header, frame.picture) for frame in due])
            for frame, inspection in zip(due, inspections, strict=True):
                frame.inspection = inspection
            self.judge_s += time.perf_counter() - began
        while self._undecided:
            frame = self._undecided.popleft()
            self._decide_on([_condition(change, self._camera.name, frame.header) for change in frame.changes])
            if frame.inspection is not None:
                self.frames.judged += 1
                self.detections += len(frame.inspection.detections)
                self._frames_file.write(to_line(frame.inspection))
                for output in self._track.process([frame.inspection]):
                    if isinstance(output.message, Tracked):
                        frame.tracked = output.message
                        self._decide_on([output.message])
            else:
                self.frames.not_due += 1
            self._undrawn.append(frame)

    def _decide_on(self, messages: Sequence[AnyMessage]) -> None:
        self._decide.process(messages)
        for event in self.log.events[self._written_events :]:
            self._events_file.write(msgspec.json.encode(event) + b"\n")
        self._written_events = len(self.log.events)

    def _draw(self, *, everything: bool) -> None:
        """Write the frames that lie before a judged one: they can be drawn between that one and the one before."""
        while self._undrawn:
            after = next((frame.tracked for frame in islice(self._undrawn, 1, None) if frame.tracked is not None), None)
            if after is None and not everything:
                return
            frame = self._undrawn.popleft()
            self._drawn = frame.tracked or self._drawn
            marks = marks_at(frame.header.id.pts_s, self._drawn, after, self._severity)
            assert self._video is not None
            self._video.add(frame.picture, frame.header.id.pts, marks)
            self._held_bytes -= frame.picture.i420.nbytes

    def _finish(self) -> None:
        for output in self._track.end_all():
            self._decide_on([output.message])
        if self._watch is not None:
            self._decide_on([_condition(change, self._camera.name, self._latest) for change in self._watch.finish()])
        self._draw(everything=True)

    def _show(self, *, finished: bool) -> None:
        now = time.perf_counter()
        if self._progress is None or (now - self._shown < _PROGRESS_S and not finished):
            return
        self._shown = now
        self._progress(
            ReplayProgress(
                frames=self.frames.captured,
                frame_count=self._info.frame_count,
                judged=self.frames.judged,
                events=summaries.count_events(self.log.events).defects,
                media_s=self._last_pts_s - self._first_pts_s,
                wall_s=now - self._began,
            )
        )


class _MemorySink:
    """Each picture into memory of its own: nothing is overwritten before it was drawn."""

    def slot(self, width_px: int, height_px: int) -> UInt8Array:
        return np.empty(i420_shape(width_px, height_px), dtype=np.uint8)


_MEMORY_SINK = _MemorySink()


def _header(captured: CapturedFrame, camera: str, seq: int) -> FrameHeader:
    """The header of a recorded frame: its times are its pts."""
    time_base = captured.time_base
    media_ns = captured.pts * time_base.numerator * 1_000_000_000 // time_base.denominator
    return FrameHeader(
        id=FrameId(
            camera=camera,
            session=0,
            seq=seq,
            pts=captured.pts,
            time_base_num=time_base.numerator,
            time_base_den=time_base.denominator,
        ),
        width_px=captured.picture.width_px,
        height_px=captured.picture.height_px,
        color_matrix=captured.picture.matrix,
        full_range=captured.picture.full_range,
        capture_mono_ns=media_ns,
        capture_utc_ns=media_ns,
        clock=Clock.MEDIA,
        ledger_index=seq,
    )


def _condition(change: Change, camera: str, frame: FrameHeader | None) -> Condition:
    since_ns = round(change.since_s * 1e9)
    return Condition(
        camera=camera,
        kind=change.kind,
        active=change.active,
        detail=change.detail,
        mono_ns=since_ns,
        utc_ns=since_ns,
        frame=frame,
    )


def _pictureless(recorder: RecorderConfig) -> RecorderConfig:
    """A replay makes one annotated video and no clips, so its events name none."""
    return recorder.model_copy(update={"enabled": False})
