"""`stream-inspect replay`: judge a recording, or pictures, as fast as they can be judged; the same at each run.

One process and the objects of the service: a camera decodes, the sampler picks by pts, the inspector judges, and the
chain of track and decide does what it does on the line. All times are the recording's own (`Clock.MEDIA`), so that
nothing in the results depends on when or how fast they were made; wall time is in timing.json alone. Pictures are
judged one by one, as the service judges a folder of them, and get a table of verdicts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec

from stream_inspect.capture.camera import CameraInfo
from stream_inspect.commands.parts_file import PartsFile
from stream_inspect.commands.replay import summary as summaries
from stream_inspect.commands.replay.annotated import AnnotatedPictures
from stream_inspect.commands.replay.applied import Applied
from stream_inspect.commands.replay.batching import BatchedJudging
from stream_inspect.commands.replay.drawing import Drawing
from stream_inspect.commands.replay.fitness import before_judging
from stream_inspect.commands.replay.frames import to_line
from stream_inspect.commands.replay.judges import Judge, ModelJudge, RecordedJudge
from stream_inspect.commands.replay.material import Material, find_material
from stream_inspect.commands.replay.recording import Recording, ReplayFrame
from stream_inspect.commands.replay.results import (
    ANNOTATED,
    PARTS,
    TABLE,
    check_output_folder,
    prepare_output_folder,
    write_json,
    writing_to,
)
from stream_inspect.commands.replay.summary import Summary
from stream_inspect.commands.replay.table import FAIL, PictureTable
from stream_inspect.commands.replay.verdicts import Verdicts
from stream_inspect.config.models import Config
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
    failed: int | None
    """Pictures with a defect; None for a video."""
    media_s: float
    wall_s: float


def replay(
    source: Path | Sequence[Path],
    config: Config,
    out: Path,
    *,
    inspections: Path | None = None,
    progress: Callable[[ReplayProgress], None] | None = None,
    force: bool = False,
) -> Summary:
    """Replay `source` as the first camera of `config` would have seen it, into the folder `out`.

    `source` is a video, or pictures and folders of pictures, each of which is judged alone. With `inspections` the
    detections come from that frames.jsonl, and no model is loaded. Raises `StreamInspectError` for input that cannot be
    used, and for a folder that is not empty unless `force` allows to replace its results.
    """
    started_utc, began = datetime.now(UTC), time.perf_counter()
    material = find_material([source] if isinstance(source, Path) else source)
    config = _for_replay(config, material)
    unreadable: dict[str, str] = {}
    camera = config.cameras[0]
    line = None if material.pictures else config.parts_of(config.line_of(camera.name))
    recording = Recording(camera, material.camera(camera, unreadable.__setitem__), line)
    info = recording.open()
    with ExitStack() as stack:
        stack.callback(recording.close)
        inputs = [*material.paths, *([inspections] if inspections else [])]
        check_output_folder(out, force, inputs)
        judge: Judge = RecordedJudge(inspections, config) if inspections else ModelJudge(config)
        stack.callback(judge.close)
        warnings = before_judging(config, info, recorded_hash=judge.model_hash if inspections else None)
        judge.open()
        prepare_output_folder(out, force, inputs)
        load_s = time.perf_counter() - began
        with writing_to(out), ExitStack() as results:
            run = _Run(config, material, recording, info, judge, out, results, unreadable)
            run.all_frames(progress)
        summary = run.summary(sha256_of(inspections) if inspections else "", warnings)
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
        self,
        config: Config,
        material: Material,
        recording: Recording,
        info: CameraInfo,
        judge: Judge,
        out: Path,
        stack: ExitStack,
        unreadable: Mapping[str, str],
    ) -> None:
        self._config, self._material, self._recording, self._info = config, material, recording, info
        self._judge = judge
        self._unreadable = unreadable
        events_file: BinaryIO = stack.enter_context((out / "events.jsonl").open("wb"))
        self._frames_file: BinaryIO = stack.enter_context((out / "frames.jsonl").open("wb"))
        self.judging = BatchedJudging(judge)
        self.parts: PartsFile | None = None
        if (line := recording.line) is not None:
            parts_file: BinaryIO = stack.enter_context((out / PARTS).open("wb"))
            self.parts = PartsFile(parts_file, line, config.cameras[0])
        self.verdicts = Verdicts(config, events_file, self.parts)
        stack.callback(self.verdicts.close)
        self.verdicts.open()
        self._table: PictureTable | None = None
        self._drawing: Drawing | AnnotatedPictures
        if material.pictures:
            table_file: BinaryIO = stack.enter_context((out / TABLE).open("wb"))
            defects = [*(defect.name for defect in config.defects), *judge.not_configured]
            self._table = PictureTable(table_file, material.pictures, defects, config.cameras[0])
            self._drawing = AnnotatedPictures(out / ANNOTATED, material.pictures)
        else:
            self._drawing = Drawing(out / "annotated.mp4", config, info.fps)
        stack.callback(self._drawing.close)
        self._unreadable_listed = 0
        self.frames = summaries.Frames()
        self.detections = 0

    def summary(self, inspections_hash: str, warnings: list[str]) -> Summary:
        """What the whole replay gave; `inspections_hash` is that of the recorded detections, if there are."""
        config, camera, judge = self._config, self._config.cameras[0], self._judge
        material_hash = self._material.sha256()
        return Summary(
            camera=camera.name,
            line=config.line_of(camera.name),
            video=self._video(material_hash) if self._table is None else msgspec.UNSET,
            pictures=self._pictures(self._table, material_hash) if self._table is not None else msgspec.UNSET,
            frames=self.frames,
            detections=self.detections,
            events=summaries.count_events(self.verdicts.events),
            parts=summaries.count_parts(self.parts.verdicts, self.parts.undecided_by)
            if self.parts is not None
            else msgspec.UNSET,
            hashes=summaries.Hashes(
                program=summaries.program(),
                video=material_hash,
                config=summaries.config_hash(config, camera),
                models=judge.model_hash,
                prompts=judge.prompts_hash,
                inspections=inspections_hash,
            ),
            defects_not_configured=judge.not_configured,
            notes=list(self._info.notes.honoured),
            warnings=[*warnings, *self._missing(), *self._too_short()],
            recorded=_recorded(judge.applied) if judge.applied is not None else msgspec.UNSET,
        )

    def all_frames(self, progress: Callable[[ReplayProgress], None] | None) -> None:
        """Read the recording to its end, and finish all that it began. Raises `StreamInspectError`."""
        began_s = shown_s = time.perf_counter()
        for frame in self._recording.frames():
            self.judging.put(frame)
            full = self.judging.held_bytes + self._drawing.held_bytes > _PICTURES_BYTES
            if full or self.judging.ready:
                self._pass_on(self.judging.take())
            self._drawing.draw(everything=full)
            self._list_unreadable()
            if progress is not None and time.perf_counter() - shown_s >= _PROGRESS_S:
                shown_s = time.perf_counter()
                progress(self._progress(shown_s - began_s))
        self._finish()
        if progress is not None:
            progress(self._progress(time.perf_counter() - began_s))

    def _pass_on(self, frames: Sequence[ReplayFrame]) -> None:
        for frame in frames:
            self.verdicts.follow(frame)
            if frame.judged is not None:
                self.frames.judged += 1
                self.detections += len(frame.judged.inspection.detections)
                self._frames_file.write(to_line(frame.judged))
            else:
                self.frames.not_due += 1
            if self._table is not None:
                self._table.judged(frame)
            self._drawing.put(frame)

    def _list_unreadable(self) -> None:
        """Put the pictures into the table that could not be read since the last call."""
        if self._table is not None:
            for name, reason in islice(self._unreadable.items(), self._unreadable_listed, None):
                self._table.unreadable(name, reason)
            self._unreadable_listed = len(self._unreadable)

    def _finish(self) -> None:
        recording, frames = self._recording, self.frames
        self._pass_on(self.judging.take())
        self._list_unreadable()
        self._judge.end(recording.captured - recording.damaged)
        self.verdicts.finish(recording.finish())
        self._drawing.draw(everything=True)
        frames.captured = recording.captured
        if recording.damaged:
            frames.dropped["capture.bad_frame"] = recording.damaged
        frames.residual = frames.captured - (
            frames.judged + frames.not_due + sum(frames.dropped.values()) + frames.in_flight
        )

    def _missing(self) -> list[str]:
        """What of a video could not be judged; of pictures the table has it."""
        return self._recording.missing() if self._table is None else []

    def _too_short(self) -> list[str]:
        """Whether the recording is too short for any defect to be confirmed."""
        hits = self._config.decide.confirm_hits
        if self._table is not None or self.frames.judged >= hits:
            return []
        judged = f"{self.frames.judged} judged {'frame' if self.frames.judged == 1 else 'frames'}"
        return [
            f"{judged}, and decide.confirm_hits is {hits}: no defect can be confirmed in a recording as short as this"
        ]

    def _video(self, material_hash: str) -> summaries.Video:
        return summaries.Video(
            name=printable(self._material.name),
            sha256=material_hash,
            codec=self._info.codec,
            width_px=self._info.width_px,
            height_px=self._info.height_px,
            duration_s=round(self._recording.duration_s, 6),
        )

    def _pictures(self, table: PictureTable, material_hash: str) -> summaries.Pictures:
        return summaries.Pictures(
            name=self._material.name,
            sha256=material_hash,
            count=len(self._material.pictures),
            verdicts=table.verdicts,
            found_in=table.found_in,
            unreadable=dict(self._unreadable),
            left_out=list(self._material.left_out),
        )

    def _progress(self, wall_s: float) -> ReplayProgress:
        return ReplayProgress(
            frames=self._recording.captured,
            frame_count=self._info.frame_count,
            judged=self.frames.judged,
            events=summaries.count_events(self.verdicts.events).defects,
            failed=self._table.verdicts[FAIL] if self._table is not None else None,
            media_s=self._recording.duration_s,
            wall_s=wall_s,
        )


def _recorded(applied: Applied) -> summaries.Recorded:
    return summaries.Recorded(
        refused={reason: applied.refused[reason] for reason in sorted(applied.refused)},
        candidates_counted=applied.promoted,
        prompts_known=applied.is_ours,
    )


def _for_replay(config: Config, material: Material) -> Config:
    """The first camera on this material, one inspect worker, and no clips: a replay annotates what it reads."""
    return config.model_copy(
        update={
            "cameras": [config.cameras[0].model_copy(update={"source": material.source})],
            "inspect": config.inspect.model_copy(update={"workers": config.inspect.workers[:1]}),
            "recorder": config.recorder.model_copy(update={"enabled": False}),
        }
    ).only_watched_lines()
