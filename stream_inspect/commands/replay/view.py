"""What a replay prints: a progress bar on a terminal, a line now and then elsewhere, and the result at the end."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from stream_inspect import log
from stream_inspect.commands.replay.run import ReplayProgress
from stream_inspect.commands.replay.summary import Summary

_LINE_EVERY_S = 10.0


class ReplayView:
    """Use as a context manager around a replay; `show` and `finished` are its callbacks."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            TextColumn("frames"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("replay", total=None, note="loading the models …")
        self._next_line_s = time.monotonic() + _LINE_EVERY_S

    def __enter__(self) -> ReplayView:
        log.configure("warning")
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: ReplayProgress) -> None:
        """Called every so often while frames are judged."""
        speed = progress.media_s / progress.wall_s if progress.wall_s else 0.0
        note = f"{progress.judged} judged, {progress.events} events, {speed:.1f}x real time"
        self._bar.update(self._task, completed=progress.frames, total=progress.frame_count, note=note)
        if not self._console.is_terminal and time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + _LINE_EVERY_S
            total = f" of {progress.frame_count}" if progress.frame_count else ""
            self._console.print(f"{progress.frames}{total} frames, {note}")

    def finished(self, summary: Summary, out: Path) -> None:
        """The result."""
        self._bar.stop()
        frames = summary.frames
        self._console.print(
            f"{frames.captured} frames, {frames.judged} judged, {summary.detections} detections, "
            f"{summary.events.defects} defects confirmed, {summary.events.conditions} camera conditions"
        )
        if summary.defects_not_configured:
            missing = ", ".join(summary.defects_not_configured)
            self._console.print(f"not in the configuration, taken as major: {missing}", style="yellow")
        results = f"results: {out}/ (events.jsonl, frames.jsonl, annotated.mp4, summary.json)"
        self._console.print(results, markup=False, soft_wrap=True)
        for warning in summary.warnings:  # last, where they are read
            self._console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
