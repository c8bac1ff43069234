"""`stream-inspect replay`: judge a recording as fast as it can be judged, dropping nothing, the same at each run.

One process and the objects of the service: a camera decodes, the sampler picks by pts, the inspector judges, and the
chain of track and decide does what it does on the line. All times are the recording's own (`Clock.MEDIA`), so that
nothing in the results depends on when or how fast they were made; wall time is in timing.json alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from stream_inspect.capture.camera import CameraInfo
from stream_inspect.commands.replay import summary as summaries
from stream_inspect.commands.replay.batching import BatchedJudging
from stream_inspect.commands.replay.drawing import Drawing
from stream_inspect.commands.replay.frames import to_line
from stream_inspect.commands.replay.judges import Judge, ModelJudge, RecordedJudge
from stream_inspect.commands.replay.recording import Recording, ReplayFrame
from stream_inspect.commands.replay.results import check_output_folder, prepare_output_folder, write_json, writing_to
from stream_inspect.commands.replay.summary import Summary
from stream_inspect.commands.replay.verdicts import Verdicts
from stream_inspect.config.models import Config, FileSource
from stream_inspect.file_names import printable
from stream_inspect.inspect.models import sha256_of

_PICTURES_BYTES = 256 * 1024 * 1024
"""Pictures held at most while their frames wait for the next judged one."""
_PROGRESS_S = 0.1


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """Progress of a replay."""

    frames: int
    frame_count: int | None
    judged: int
    events: int
    media_s: float
    wall_s: float


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
    config = _for_replay(config, video)
    camera = config.cameras[0]
    recording = Recording(camera)
    info = recording.open()
    with ExitStack() as stack:
        stack.callback(recording.close)
        inputs = [video, *([inspections] if inspections else [])]
        check_output_folder(out, force, inputs)
        judge: Judge = RecordedJudge(inspections, config) if inspections else ModelJudge(config)
        stack.callback(judge.close)
        judge.open()
        prepare_output_folder(out, force, inputs)
        load_s = time.perf_counter() - began
        with writing_to(out), ExitStack() as results:
            run = _Run(config, recording, info, judge, out, results)
            run.all_frames(progress)
        summary = Summary(
            camera=camera.name,
            line=config.line_of(camera.name),
            video=summaries.Video(
                name=printable(video.name),
                sha256=(video_hash := sha256_of(video)),
                codec=info.codec,
                width_px=info.width_px,
                height_px=info.height_px,
                duration_s=round(recording.duration_s, 6),
            ),
            frames=run.frames,
            detections=run.detections,
            events=summaries.count_events(run.verdicts.events),
            hashes=summaries.Hashes(
                program=summaries.program(),
                video=video_hash,
                config=summaries.config_hash(config, camera),
                models=judge.model_hash,
                prompts=judge.prompts_hash,
                inspections=sha256_of(inspections) if inspections else "",
            ),
            defects_not_configured=judge.not_configured,
        )
    total_s = time.perf_counter() - began
    timing = summaries.Timing(
        started_utc=started_utc.isoformat(timespec="milliseconds"),
        load_models_s=round(load_s, 3),
        judge_s=round(run.judging.judge_s, 3),
        total_s=round(total_s, 3),
        judged_fps=round(run.frames.judged / total_s, 2),
        times_real_time=round(recording.duration_s / total_s, 2),
    )
    with writing_to(out):
        write_json(out / "timing.json", timing)
        write_json(out / "summary.json", summary)
    return summary


# --- the run -----------------------------------------------------------------------------------------------------


class _Run:
    """Read, judge, decide, draw: each frame passes through the four in this order."""

    def __init__(
        self, config: Config, recording: Recording, info: CameraInfo, judge: Judge, out: Path, stack: ExitStack
    ) -> None:
        self._recording = recording
        self._info = info
        self._judge = judge
        events_file: BinaryIO = stack.enter_context((out / "events.jsonl").open("wb"))
        self._frames_file: BinaryIO = stack.enter_context((out / "frames.jsonl").open("wb"))
        self.judging = BatchedJudging(judge)
        self.verdicts = Verdicts(config, events_file)
        stack.callback(self.verdicts.close)
        self.verdicts.open()
        self._drawing = Drawing(out / "annotated.mp4", config, info.fps)
        stack.callback(self._drawing.close)
        self.frames = summaries.Frames()
        self.detections = 0

    def all_frames(self, progress: Callable[[ReplayProgress], None] | None) -> None:
        """Read the recording to its end, and finish all that it began. Raises `StreamInspectError`."""
        began_s = shown_s = time.perf_counter()
        for frame in self._recording.frames():
            self.judging.put(frame)
            full = self.judging.held_bytes + self._drawing.held_bytes > _PICTURES_BYTES
            if full or self.judging.ready:
                self._pass_on(self.judging.take())
            self._drawing.draw(everything=full)
            if progress is not None and time.perf_counter() - shown_s >= _PROGRESS_S:
                shown_s = time.perf_counter()
                progress(self._progress(shown_s - began_s))
        self._finish()
        if progress is not None:
            progress(self._progress(time.perf_counter() - began_s))

    def _pass_on(self, frames: Sequence[ReplayFrame]) -> None:
        for frame in frames:
            self.verdicts.follow(frame)
            if frame.inspection is not None:
                self.frames.judged += 1
                self.detections += len(frame.inspection.detections)
                self._frames_file.write(to_line(frame.inspection))
            else:
                self.frames.not_due += 1
            self._drawing.put(frame)

    def _finish(self) -> None:
        recording, frames = self._recording, self.frames
        self._pass_on(self.judging.take())
        self._judge.end(recording.captured - recording.damaged)
        self.verdicts.finish(recording.finish())
        self._drawing.draw(everything=True)
        frames.captured = recording.captured
        if recording.damaged:
            frames.dropped["capture.bad_frame"] = recording.damaged
        frames.residual = frames.captured - (
            frames.judged + frames.not_due + sum(frames.dropped.values()) + frames.in_flight
        )

    def _progress(self, wall_s: float) -> ReplayProgress:
        return ReplayProgress(
            frames=self._recording.captured,
            frame_count=self._info.frame_count,
            judged=self.frames.judged,
            events=summaries.count_events(self.verdicts.events).defects,
            media_s=self._recording.duration_s,
            wall_s=wall_s,
        )


def _for_replay(config: Config, video: Path) -> Config:
    """The first camera on this video, one inspect worker, and no clips: a replay makes one annotated video."""
    camera = config.cameras[0]
    return config.model_copy(
        update={
            "cameras": [camera.model_copy(update={"source": FileSource(kind="file", path=video, pace="fast")})],
            "inspect": config.inspect.model_copy(update={"workers": config.inspect.workers[:1]}),
            "recorder": config.recorder.model_copy(update={"enabled": False}),
        }
    )
