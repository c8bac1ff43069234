"""What a replay prints: a progress bar on a terminal, a line now and then elsewhere, and the result at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from stream_inspect import log
from stream_inspect.commands.replay.results import ANNOTATED, PARTS, TABLE
from stream_inspect.commands.replay.run import ReplayProgress
from stream_inspect.commands.replay.summary import Parts, Pictures, Recorded, Summary

_LINE_EVERY_S = 10.0
_REFUSED = {
    "threshold": "below their threshold",
    "region": "outside of the region",
    "size": "too small",
    "limit": "beyond max_detections",
    "duplicate": "at the place of a better one",
}
_LISTED = 10
"""Names listed at the end; the table has them all."""


class ReplayView:
    """Use as a context manager around a replay; `show` and `finished` are its callbacks."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            TextColumn("{task.fields[what]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("replay", total=None, what="frames", note="loading the models …")
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
        what, note = "frames", f"{progress.judged} judged, {progress.events} events, {speed:.1f}x real time"
        if progress.failed is not None:
            what, note = "pictures", f"{progress.judged} judged, {progress.failed} FAIL"
        self._bar.update(self._task, completed=progress.frames, total=progress.frame_count, what=what, note=note)
        if not self._console.is_terminal and time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + _LINE_EVERY_S
            total = f" of {progress.frame_count}" if progress.frame_count else ""
            self._console.print(f"{progress.frames}{total} {what}, {note}")

    def finished(self, summary: Summary, out: Path) -> None:
        """The result."""
        self._bar.stop()
        if isinstance(summary.pictures, Pictures):
            self._pictures(summary.pictures, summary.detections)
            files = f"{TABLE}, {ANNOTATED}/, events.jsonl, frames.jsonl, summary.json"
        else:
            frames = summary.frames
            self._console.print(
                f"{frames.captured} frames, {frames.judged} judged, {summary.detections} detections, "
                f"{summary.events.defects} defects confirmed, {summary.events.conditions} camera conditions"
            )
            files = "events.jsonl, frames.jsonl, annotated.mp4, summary.json"
            if isinstance(summary.parts, Parts):
                self._console.print(_parts(summary.parts))
                files = f"{PARTS}, {files}"
        for note in summary.notes:
            self._console.print(f"pictures: {note}", markup=False, soft_wrap=True)
        if summary.defects_not_configured:
            missing = ", ".join(summary.defects_not_configured)
            self._console.print(f"not in the configuration, taken as major: {missing}", style="yellow")
        if isinstance(summary.recorded, Recorded):
            self._recorded(summary.recorded)
        self._console.print(f"results: {out}/ ({files})", markup=False, soft_wrap=True)
        for warning in summary.warnings:  # last, where they are read
            self._console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)

    def _recorded(self, recorded: Recorded) -> None:
        def show(text: str) -> None:
            self._console.print(text, style="yellow", markup=False, soft_wrap=True)

        if recorded.refused:
            refused = ", ".join(f"{count} {_REFUSED[reason]}" for reason, count in recorded.refused.items())
            show(f"recorded detections that do not count: {refused}")
        if recorded.candidates_counted:
            show(f"recorded candidates that count now, by their boxes (no masks): {recorded.candidates_counted}")
        if not recorded.prompts_known:
            show("prompts and counter-prompts have no effect on these recorded detections")

    def _pictures(self, pictures: Pictures, detections: int) -> None:
        def show(text: str, style: str = "") -> None:
            self._console.print(text, style=style, markup=False, soft_wrap=True)

        if pictures.left_out:
            show(f"left out: {_some(pictures.left_out)}", "yellow")
        for name, reason in islice(pictures.unreadable.items(), _LISTED):
            show(f"not read: {name}: {reason}", "yellow")
        if len(pictures.unreadable) > _LISTED:
            show(f"and {len(pictures.unreadable) - _LISTED} more that cannot be read, see {TABLE}", "yellow")
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in pictures.verdicts.items())
        found = ", ".join(f"{defect} in {count}" for defect, count in pictures.found_in.items() if count)
        show(f"{pictures.count} {'picture' if pictures.count == 1 else 'pictures'}: {verdicts}")
        show(f"{detections} detections{f' ({found})' if found else ''}")


def _parts(parts: Parts) -> str:
    """For example "26 parts: 20 PASS, 4 FAIL, 2 UNDECIDED (1 at_start, 1 too_few_views)"."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in parts.undecided_by.items())
    undecided = f"{parts.undecided} UNDECIDED" + (f" ({reasons})" if reasons else "")
    return f"{parts.count} parts: {parts.passed} PASS, {parts.failed} FAIL, {undecided}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
