"""`stream-inspect demo`: the whole service on the synthetic line, and how well it did against exact truth."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
import webbrowser
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stream_inspect.capture.synthetic import make_line
from stream_inspect.commands.demo.parts import DemoParts
from stream_inspect.commands.demo.truth import CaptureRuns, DefectScore
from stream_inspect.config.builtin import builtin_config
from stream_inspect.config.load import load
from stream_inspect.config.models import Config, SyntheticSource
from stream_inspect.errors import StreamInspectError, UsageError
from stream_inspect.messages import EventState
from stream_inspect.service.health import totals_as_dict
from stream_inspect.service.run_dir import lock_state_dir
from stream_inspect.service.serve import serve
from stream_inspect.service.supervisor import Supervisor
from stream_inspect.store.events import EventStore
from stream_inspect.store.files import LOCK, PICTURES, events_database
from stream_inspect.transport.ledger import Totals

SUMMARY = "summary.json"
PREVIOUS = "previous"
"""The folder in a demo folder that keeps the results of the demo before."""
_MARKER = ".demo"
"""Marks a demo folder, which the next demo may empty."""


class DemoError(StreamInspectError):
    """The demo cannot start. The text says what to do."""


@dataclass(slots=True)
class DemoProgress:
    """What the demo shows while it runs."""

    elapsed_s: float = 0.0
    seconds: float | None = None
    totals: Totals | None = None
    captured_fps: float = 0.0
    judged_fps: float = 0.0
    starting: bool = True


@dataclass(slots=True)
class _Pace:
    """Frame rates from the first captured frame on, and the peak of memory."""

    first_mono_s: float | None = None
    last_mono_s: float = 0.0
    peak_pss_bytes: int = 0
    _next_memory_s: float = 0.0

    def note(self, supervisor: Supervisor, captured: int) -> None:
        now_s = time.monotonic()
        if captured and self.first_mono_s is None:
            self.first_mono_s = now_s
        self.last_mono_s = now_s
        if now_s >= self._next_memory_s:
            self._next_memory_s = now_s + 2.0
            self.peak_pss_bytes = max(self.peak_pss_bytes, supervisor.memory_pss_bytes())

    @property
    def elapsed_s(self) -> float:
        return self.last_mono_s - self.first_mono_s if self.first_mono_s is not None else 0.0


def demo(
    out: Path,
    *,
    seconds: float | None,
    seed: int | None = None,
    browser: bool = True,
    overrides: tuple[str, ...] = (),
    show: Callable[[DemoProgress], None] = lambda _: None,
    started: Callable[[str | None], None] = lambda _: None,
    moved: Callable[[Path], None] = lambda _: None,
    stopping: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run the demo in the folder `out` until `seconds` after its first frame (None: until interrupted).

    Writes and returns the summary. `started` is called with the live page's address, `moved` with the folder to which
    the results of the demo before have been moved, `stopping` when the stop begins. Raises `DemoError`, `UsageError`
    and what `serve` raises.
    """
    path = builtin_config("demo")
    config, all_overrides = demo_config(path, out, seed, overrides)
    if _prepare_output_folder(out):  # only now: a mistyped option must not move the last results
        moved(out / PREVIOUS)
    page = f"http://{config.web.host}:{config.web.port}/" if config.web.enabled else None

    pace = _Pace()
    runs = {camera.name: CaptureRuns() for camera in config.cameras}
    opened = False
    parts = _parts_of(config, out)

    def until(supervisor: Supervisor) -> bool:
        nonlocal opened
        totals = _sum(supervisor.totals.values())
        pace.note(supervisor, totals.captured)
        _note_runs(supervisor, runs)
        if parts is not None:
            parts.follow(supervisor)
        if totals.captured and not opened:
            opened = True
            started(page)
            if page and browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
                webbrowser.open(page)
        elapsed_s = pace.elapsed_s
        show(
            DemoProgress(
                elapsed_s=elapsed_s,
                seconds=seconds,
                totals=totals,
                captured_fps=totals.captured / elapsed_s if elapsed_s else 0.0,
                judged_fps=totals.judged / elapsed_s if elapsed_s else 0.0,
                starting=not opened,
            )
        )
        return seconds is not None and elapsed_s >= seconds

    with ExitStack() as stack:
        if parts is not None:
            stack.enter_context(parts)
        supervisor = serve(config, config_path=path, overrides=all_overrides, until=until, stopping=stopping)
    _note_runs(supervisor, runs)
    summary = _summary(config, supervisor, pace, runs)
    if parts is not None:
        summary["parts"] = parts.summary(runs[parts.camera])
    text = json.dumps(summary, indent=2) + "\n"
    (out / SUMMARY).write_text(text)
    return summary


def _parts_of(config: Config, out: Path) -> DemoParts | None:
    """Those under the first camera; None where the configuration accounts for no parts."""
    camera = config.cameras[0]
    line = config.parts_of(config.line_of(camera.name))
    return None if line is None else DemoParts(out, line, camera)


def _note_runs(supervisor: Supervisor, runs: dict[str, CaptureRuns]) -> None:
    """Note how many frames each run of a camera's process has captured: a restarted one begins the line again."""
    for child in supervisor.children:
        if child.row.source and (totals := supervisor.totals.get(child.row.unit)):
            runs[child.row.unit].note(child.owner, totals.captured, time.monotonic_ns())


def demo_config(path: Path, out: Path, seed: int | None, overrides: tuple[str, ...]) -> tuple[Config, tuple[str, ...]]:
    """The demo's configuration, and all the overrides that make it so. The live page's port in it is never 0.

    Raises `ConfigError`.
    """
    fixed = (
        "log.level=warning",
        "log.format=text",
        f"state_dir={json.dumps(str(out.resolve()))}",
        f"metrics.port={_free_port(9108)}",
        f"web.port={_free_port(8080)}",
    )
    seeded = (f"cameras[0].source.seed={seed}",) if seed is not None else ()
    everything = (*fixed, *seeded, *overrides)
    config = load(path, everything)
    if config.web.port == 0:  # its address is shown before it listens
        everything = (*everything, f"web.port={_free_port(0)}")
        config = load(path, everything)
    return config, everything


def _summary(config: Config, supervisor: Supervisor, pace: _Pace, runs: dict[str, CaptureRuns]) -> dict[str, Any]:
    totals = _sum(supervisor.totals.values())
    store = EventStore(events_database(config.state_dir))
    events = [event for _, event in store.after(0, limit=1_000_000)]
    latencies_s = [latency for output in config.alerts for latency in store.outputs.latencies_s(output.name)]
    store.close()
    confirmed = [event for event in events if event.kind == "defect" and event.state is EventState.CONFIRMED]
    score, sessions = DefectScore(), 0
    for camera in config.cameras:
        if isinstance(camera.source, SyntheticSource):
            mine = [event for event in confirmed if event.camera == camera.name]
            line = make_line(camera.source, camera.belt, camera.rotate_deg)
            score += runs[camera.name].score(line, mine, camera.rotate_deg)
            sessions += runs[camera.name].sessions
    elapsed_s = pace.elapsed_s or 1e-9
    return {
        "frames": totals_as_dict(totals),
        "defects": {
            "truth": score.truth,
            "found": score.found,
            "missed": score.missed,
            "false": score.false,
            "recall": round(score.recall, 4),
            "precision": round(score.precision, 4),
            "sessions": sessions,
        },
        "latency_ms": {"capture_to_alert": _percentiles_ms(latencies_s)},
        "fps": {"captured": round(totals.captured / elapsed_s, 2), "judged": round(totals.judged / elapsed_s, 2)},
        "memory_pss_mb": round(pace.peak_pss_bytes / 1e6),
        "restarts": sum(child.restarts for child in supervisor.children),
    }


def _percentiles_ms(values_s: list[float]) -> dict[str, float | None]:
    if not values_s:
        return {"p50": None, "p95": None, "p99": None}
    return {f"p{q}": round(float(np.percentile(values_s, q)) * 1e3, 1) for q in (50, 95, 99)}


def _sum(all_totals: Iterable[Totals]) -> Totals:
    """The ledgers of all cameras added up."""
    everything = list(all_totals)
    dropped: Counter[tuple[str, str]] = Counter()
    for totals in everything:
        dropped.update(totals.dropped)
    return Totals(
        captured=sum(totals.captured for totals in everything),
        judged=sum(totals.judged for totals in everything),
        not_due=sum(totals.not_due for totals in everything),
        dropped=dict(dropped),
        in_flight=sum(totals.in_flight for totals in everything),
        residual=sum(abs(totals.residual) for totals in everything),
    )


def _prepare_output_folder(out: Path) -> bool:
    """A folder to work in. True: it had an earlier demo's results, which are in `PREVIOUS` now."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        marker = out / _MARKER
        foreign = [] if marker.exists() else sorted(path.name for path in out.iterdir() if path.name != LOCK)
        if not foreign:
            return _put_away(out)
    except OSError as error:
        what = f"{error.filename or out} cannot be created, read or replaced ({error.strerror})"
        raise UsageError(f"{what}: name another folder with --out") from None
    some = ", ".join(foreign[:3])
    raise UsageError(f"{out} is not a demo folder (it contains {some}): name an empty or a new one with --out")


def _put_away(out: Path) -> bool:
    """Move the files of an earlier demo into `PREVIOUS`, or remove what one has left that recorded no event."""
    with lock_state_dir(out):  # no service runs there, so no files of a running demo are moved
        (out / _MARKER).touch()
        old = [path for path in out.iterdir() if path.name not in (LOCK, _MARKER, PREVIOUS)]
        has_results = (out / SUMMARY).exists() or any((out / PICTURES).glob("*"))
        if has_results:
            shutil.rmtree(out / PREVIOUS, ignore_errors=True)
            (out / PREVIOUS).mkdir(exist_ok=True)
        for path in old:
            if has_results:
                path.rename(out / PREVIOUS / path.name)
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        return has_results


def _free_port(preferred: int) -> int:
    """This port if it is free, otherwise any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoError("no free TCP port on 127.0.0.1")
