"""What the demo prints: a live line on a terminal, one line every few seconds elsewhere, and the result at the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream_inspect import log
from stream_inspect.commands.demo.parts import PARTS
from stream_inspect.commands.demo.run import SUMMARY, DemoProgress

_LINE_EVERY_S = 5.0


class DemoView:
    """Use as a context manager around the demo; all methods are its callbacks."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._next_line_s = 0.0

    def __enter__(self) -> DemoView:
        log.configure("warning")
        if self._console.is_terminal:
            self._live = Live(Text("starting: loading the models …"), console=self._console, refresh_per_second=4)
            self._live.start()
        else:
            self._console.print("starting: loading the models …")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def started(self, page: str | None) -> None:
        """The line runs."""
        if page:
            self._console.print(f"live page: {page}", style="bold")
        self._console.print("Ctrl-C stops the line.")

    def moved(self, previous: Path) -> None:
        """The folder had the results of an earlier demo."""
        self._console.print(f"earlier results are in {previous}", soft_wrap=True)

    def stopping(self) -> None:
        """The stop takes a moment."""
        if self._live:
            self._live.stop()
            self._live = None
        self._console.print("stopping: the last clips are written …")

    def show(self, progress: DemoProgress) -> None:
        """Called ten times a second."""
        if self._live:
            self._live.update(_line(progress))
        elif not progress.starting and time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + _LINE_EVERY_S
            self._console.print(_line(progress), soft_wrap=True)

    def finished(self, summary: dict[str, Any], out: Path) -> None:
        """The result as a table."""
        if self._live:
            self._live.stop()
            self._live = None
        frames, defects = summary["frames"], summary["defects"]
        latency = summary["latency_ms"]["capture_to_alert"]
        rows = {
            "frames": f"{frames['captured']} captured = {frames['judged']} judged + {frames['not_due']} not due + "
            f"{sum(frames['dropped'].values())} dropped + {frames['in_flight']} in flight "
            f"(residual {frames['residual']})",
            "defects": f"{defects['found']} of {defects['truth']} found, {defects['missed']} missed, "
            f"{defects['false']} false (recall {defects['recall']:.2f}, precision {defects['precision']:.2f})",
            **({"parts": _parts(summary["parts"])} if "parts" in summary else {}),
            "capture to alert": f"{latency['p50']:.0f} ms median, {latency['p95']:.0f} ms at 95 % of the alerts"
            if latency["p95"] is not None
            else "no alert was sent",
        }
        files = ["events.jsonl", *([PARTS] if "parts" in summary else [])]
        table = Table.grid(padding=(0, 2))
        for name, text in rows.items():
            table.add_row(name, Text(text))
        self._console.print(table)
        self._console.print(f"results           {out / SUMMARY}, {', '.join(files)}, clips/, pictures/", soft_wrap=True)


def _parts(parts: dict[str, Any]) -> str:
    sums = (
        f"{parts['in']} in = {parts['pass']} PASS + {parts['fail']} FAIL + {parts['undecided']} UNDECIDED + "
        f"{parts['on_belt']} on the belt"
    )
    if "escapes" not in parts:
        return sums
    escapes = parts["escapes"]
    return (
        f"{sums}; escapes: {escapes['system']} by the system, {escapes['model']} by the models; "
        f"overkill {parts['overkill']}"
    )


def _line(progress: DemoProgress) -> Text:
    if progress.starting or progress.totals is None:
        return Text("starting: loading the models …")
    limit = f" of {progress.seconds:.0f}" if progress.seconds else ""
    dropped = sum(progress.totals.dropped.values())
    return Text(
        f"{progress.elapsed_s:4.0f}{limit} s  captured {progress.captured_fps:4.1f}/s  "
        f"judged {progress.judged_fps:4.1f}/s  dropped {dropped}  residual {progress.totals.residual}",
        no_wrap=True,
    )
