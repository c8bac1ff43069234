"""Measures linking defects on a belt: our trackers against ByteTrack, SORT and OC-SORT of the `trackers` package.

All get the same boxes (`track_sequences.py`), and all are scored by TrackEval (`track_scores.py`): IDF1, HOTA and
identity switches. Ours is configured with a speed that is wrong by up to 20 %, since a belt's speed is never exactly as
configured; the peers know none. An *oracle* links each box with the part that it shows: no tracker can do better. Peers
run with the package's defaults and tuned, for each cell of the table, on a run with another seed: by the best IDF1 of
`SETTINGS`. They, and TrackEval, run in an environment of their own (`make bench-env`), because that package brings the
GUI build of OpenCV.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from stream_inspect import registry
from stream_inspect.commands.bench.track_sequences import (
    DISPLACEMENTS,
    HEIGHT_PX,
    MISS,
    PITCHES,
    RATE_HZ,
    SMALLEST_PITCH,
    WIDTH_PX,
    Run,
    generate,
    twenty_boxes,
    write_boxes,
    write_tracks,
    write_truth,
)
from stream_inspect.config.models import BeltConfig, CameraConfig, FileSource, TrackConfig
from stream_inspect.errors import StreamInspectError
from stream_inspect.messages import Detection
from stream_inspect.track.tracker import TrackerFrame

SEEDS, TUNING_SEED = (1, 2, 3, 4, 5), 101
ERRORS = (0.0, 0.1, -0.1, 0.2, -0.2)
"""Configured over true speed, less one."""
QUICK = (0.25, 1.5, 4.0)
"""Displacements."""
PEERS = ("bytetrack", "sort", "ocsort")
SETTINGS: tuple[dict[str, Any], ...] = tuple(
    {"minimum_consecutive_frames": 1, "lost_track_buffer": 30, "iou": iou, "minimum_iou_threshold": threshold}
    for iou, threshold in (
        ("IoU", 0.05),
        ("buffered IoU 0.5", 0.05),
        ("buffered IoU 1.5", 0.05),
        ("GIoU", -0.5),
    )
)
"""What peers are tuned over. The names of overlaps are those of `track_peers.SIMILARITIES`."""
IDF1_OF_ORACLE, SWITCHES_PER_1000, UPDATE_MS = 0.98, 3.0, 0.2
"""The goals, of the belt tracker with a speed that is wrong by 10 % at most; an update with 20 boxes."""
_REPORTED = 0.5
"""Share of the judged frames."""
ORACLE = "oracle"
SCRIPTS = Path(__file__).parent

Cell = tuple[str, float]
"""(pitch, displacement in widths)."""


@dataclass(frozen=True, slots=True)
class Score:
    """Of all runs of a cell."""

    idf1: float
    hota: float
    switches: int
    parts: int
    flagged: float = 0.0
    """Share of the judged frames after which the tracker reported that it cannot observe the speed."""

    @property
    def switches_per_1000(self) -> float:
        """Identity switches for 1,000 parts."""
        return 1000 * self.switches / self.parts


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a tracker of ours made of one run: the track of each box of each frame, -1 for none."""

    tracks: list[list[int]]
    flagged: float
    times_ms: list[float]


@dataclass(slots=True)
class TrackReport:
    """Scores by (tracker, cell), and times of updates by tracker."""

    displacements: Sequence[float]
    seeds: Sequence[int]
    scores: dict[tuple[str, Cell], Score] = field(default_factory=dict)
    times_ms: dict[str, list[float]] = field(default_factory=dict)
    took_s: float = 0.0

    @property
    def missed(self) -> list[str]:
        """The goals that are missed, in words."""
        missed = []
        for error, cell in product(ERRORS, product(PITCHES, self.displacements)):
            score = self.scores[_belt(error), cell]
            share = score.idf1 / self.scores[ORACLE, cell].idf1
            if abs(error) > 0.1:  # what cannot be observed has to be reported instead
                is_observable = abs(error) * cell[1] < SMALLEST_PITCH / 2
                good = share >= IDF1_OF_ORACLE or (not is_observable and score.flagged >= _REPORTED)
            else:
                good = share >= IDF1_OF_ORACLE and score.switches_per_1000 <= SWITCHES_PER_1000
            if not good:
                missed.append(
                    f"{_belt(error)}, {cell[0]} pitch, {cell[1]:g} widths: {share:.1%} of the oracle's IDF1, "
                    f"{score.switches_per_1000:.1f} switches per 1,000 parts"
                )
        if (p50 := _p50(self.times_ms.get("belt", [0.0]))) >= UPDATE_MS:
            missed.append(f"an update with 20 boxes takes {p50:.2f} ms (p50)")
        return missed

    def to_text(self) -> str:
        """Markdown tables: quality for each pitch, and the time of an update."""
        lines = [
            "IDF1 in percent / HOTA in percent / identity switches per 1,000 parts, by TrackEval.",
            f"{len(self.seeds)} runs a cell, {RATE_HZ:g} judged frames a second, {100 * MISS:.0f} % missed,",
            "one false box per frame; a track with a single box does not count.",
        ]
        for pitch in PITCHES:
            lines += ["", *self._table(pitch, [ORACLE, *map(_belt, ERRORS)])]
            lines += [
                "",
                *self._table(pitch, ["iou", *(f"{peer}{tuned}" for peer in PEERS for tuned in ("", " tuned"))]),
            ]
        lines += ["", "| update with 20 boxes | p50 ms | p99 ms | p50 over the belt tracker's |", "|---|---|---|---|"]
        for name, times_ms in self.times_ms.items():
            ratio = _p50(times_ms) / _p50(self.times_ms["belt"])
            lines.append(f"| {name} | {_p50(times_ms):.2f} | {np.percentile(times_ms, 99):.2f} | {ratio:.1f} |")
        lines += [
            "",
            "Every goal is reached." if not self.missed else "Goals missed:",
            *(f"- {one}" for one in self.missed),
        ]
        return "\n".join([*lines, "", f"{self.took_s:.0f} s"])

    def _table(self, pitch: str, names: Sequence[str]) -> list[str]:
        present = [name for name in names if (name, (pitch, self.displacements[0])) in self.scores]
        lines = [f"| parts at {pitch} pitch: widths per judged frame | {' | '.join(present)} |"]
        lines.append("|---|" + "---|" * len(present))
        for displacement in self.displacements:
            cells = [_shown(self.scores[name, (pitch, displacement)]) for name in present]
            lines.append(f"| {displacement:g} | {' | '.join(cells)} |")
        return lines


def run(
    *,
    quick: bool = False,
    seeds: int = len(SEEDS),
    python: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> TrackReport:
    """Run all trackers on `seeds` runs of each cell, or on one of a few cells.

    Raises StreamInspectError without the peers' environment.
    """
    began_s = time.monotonic()
    bench = Bench(python or default_python(), *(() if progress is None else (progress,)))
    report = TrackReport(QUICK, SEEDS[:1]) if quick else TrackReport(DISPLACEMENTS, SEEDS[:seeds])
    with tempfile.TemporaryDirectory(prefix="stream-inspect-bench-") as folder:
        bench.measure(Path(folder), report)
    report.took_s = time.monotonic() - began_s
    return report


def default_python() -> Path:
    """The interpreter of the peers' environment."""
    return Path(os.environ.get("STREAM_INSPECT_BENCH_PYTHON", ".venv-bench/bin/python"))


def track_ours(kind: str, one: Run, error: float = 0.0) -> Tracked:
    """Track a run by our tracker of this kind, configured with a speed that is wrong by this share of the true one."""
    belt = BeltConfig(direction="left_to_right", speed_mm_s=one.speed_px_s * (1 + error), mm_per_px=1.0)
    camera = CameraConfig(name="bench", source=FileSource(kind="file", path=Path("none")), belt=belt)
    tracker = registry.load("tracker", kind)(camera, TrackConfig())
    tracks, times_ms, flagged = [], [], 0
    for look in one.looks:
        detections = [
            Detection(defect="scratch", score=score, box_xyxy_px=box)
            for box, score in zip(look.boxes, look.scores, strict=True)
        ]
        began_s = time.perf_counter()
        live, _ = tracker.update(TrackerFrame(look.pts_s, WIDTH_PX, HEIGHT_PX), detections)
        times_ms.append(1e3 * (time.perf_counter() - began_s))
        track_of = {id(update.detection): update.track for update in live}
        tracks.append([track_of.get(id(detection), -1) for detection in detections])
        flagged += bool(tracker.speed_not_observable)
    return Tracked(tracks, flagged / len(one.looks), times_ms)


class Bench:
    """The steps of one benchmark; `progress` is given (what, done, of)."""

    def __init__(self, python: Path, progress: Callable[[str, int, int], None] = lambda *_: None) -> None:
        if not python.exists():
            raise StreamInspectError(f"no environment of peers at {python}: run `make bench-env`")
        self._python, self._progress = python, progress

    def measure(self, folder: Path, report: TrackReport) -> None:
        """Fill the report."""
        cells = list(product(PITCHES, report.displacements))
        runs = {(pitch, one): [generate(one, pitch, seed) for seed in report.seeds] for pitch, one in cells}
        tuning = {(pitch, one): generate(one, pitch, TUNING_SEED, frames=60) for pitch, one in cells}
        for each in (*(one for many in runs.values() for one in many), *tuning.values()):
            write_truth(each, folder / "truth" / f"{each.name}.txt")
            write_boxes(each, folder / "boxes" / f"{each.name}.txt")
        flagged = self._run_ours(folder, runs)
        settings = self._tune(folder, tuning)
        self._run_peers(folder, runs, settings)
        names = [*flagged, *(f"{peer}{tuned}" for peer in PEERS for tuned in ("", " tuned"))]
        scores = self.score(folder, [(name, cell, runs[cell]) for name in names for cell in cells])
        for (name, cell), score in scores.items():
            report.scores[name, cell] = Score(**score, flagged=flagged.get(name, {}).get(cell, 0.0))
        report.times_ms = self._times(folder)

    def _run_ours(self, folder: Path, runs: Mapping[Cell, Sequence[Run]]) -> dict[str, dict[Cell, float]]:
        """Track with the oracle and with ours; of each tracker and cell how often it reported a speed as hidden."""
        jobs = [("belt", _belt(error), error) for error in ERRORS] + [("iou", "iou", 0.0)]
        flagged: dict[str, dict[Cell, float]] = {ORACLE: {}}
        for one in (one for many in runs.values() for one in many):
            write_tracks(one, [look.parts for look in one.looks], folder / "tracks" / ORACLE / f"{one.name}.txt")
        for number, ((kind, name, error), (cell, many)) in enumerate(product(jobs, runs.items())):
            found = [track_ours(kind, one, error) for one in many]
            for one, tracked in zip(many, found, strict=True):
                write_tracks(one, tracked.tracks, folder / "tracks" / name / f"{one.name}.txt")
            flagged.setdefault(name, {})[cell] = float(np.mean([tracked.flagged for tracked in found]))
            self._progress("our trackers", number + 1, len(jobs) * len(runs))
        return flagged

    def _tune(self, folder: Path, tuning: Mapping[Cell, Run]) -> dict[tuple[str, Cell], dict[str, Any]]:
        """The best settings of each peer and cell."""
        jobs = list(product(PEERS, range(len(SETTINGS))))

        def track(job: tuple[str, int]) -> None:
            peer, index = job
            self.follow(folder, peer, f"{peer} {index}", ((one, SETTINGS[index]) for one in tuning.values()))

        self._parallel("tuning the peers", track, jobs)
        asked = [(f"{peer} {index}", cell, [one]) for peer, index in jobs for cell, one in tuning.items()]
        scores = self.score(folder, asked)
        return {
            (peer, cell): SETTINGS[max(range(len(SETTINGS)), key=lambda i: scores[f"{peer} {i}", cell]["idf1"])]
            for peer, cell in product(PEERS, tuning)
        }

    def _run_peers(
        self, folder: Path, runs: Mapping[Cell, Sequence[Run]], settings: Mapping[tuple[str, Cell], dict[str, Any]]
    ) -> None:
        """Run each peer with its defaults and tuned."""

        def track(job: tuple[str, bool]) -> None:
            peer, tuned = job
            asked = ((one, settings[peer, cell] if tuned else {}) for cell, many in runs.items() for one in many)
            self.follow(folder, peer, f"{peer} tuned" if tuned else peer, asked)

        self._parallel("peers", track, list(product(PEERS, (False, True))))

    def _times(self, folder: Path) -> dict[str, list[float]]:
        """Times of updates with 20 boxes: trackers take turns, so that a busy computer slows them all."""
        one = twenty_boxes()
        write_boxes(one, folder / "boxes" / f"{one.name}.txt")
        times_ms: dict[str, list[float]] = {}
        for turn in range(3):
            for kind in ("belt", "iou"):
                times_ms.setdefault(kind, []).extend(track_ours(kind, one).times_ms)
            for peer in PEERS:
                (of_run,) = self.follow(folder, peer, f"{peer} timed", [(one, SETTINGS[0])])
                times_ms.setdefault(peer, []).extend(of_run)
            self._progress("times", turn + 1, 3)
        return times_ms

    def follow(
        self, folder: Path, peer: str, into: str, runs: Iterable[tuple[Run, dict[str, Any]]]
    ) -> list[list[float]]:
        """Track runs by a peer with these settings, its tracks under the name `into`; the times of its updates."""
        asked = [(one.name, len(one.looks), settings) for one, settings in runs]
        request = {"folder": str(folder), "tracker": peer, "rate_hz": RATE_HZ, "into": into, "runs": asked}
        times_ms: list[list[float]] = self._ask("track_peers.py", request)
        return times_ms

    def score(
        self, folder: Path, asked: Sequence[tuple[str, Cell, Sequence[Run]]]
    ) -> dict[tuple[str, Cell], dict[str, Any]]:
        """TrackEval's scores of each (tracker, cell)."""
        parts = [asked[start : start + 16] for start in range(0, len(asked), 16)]

        def score(part: Sequence[tuple[str, Cell, Sequence[Run]]]) -> list[dict[str, Any]]:
            cells = [{"tracker": name, "lengths": {one.name: len(one.looks) for one in runs}} for name, _, runs in part]
            scores: list[dict[str, Any]] = self._ask("track_scores.py", {"folder": str(folder), "cells": cells})
            return scores

        answers = [one for many in self._parallel("scores", score, parts) for one in many]
        return {(name, cell): answer for (name, cell, _), answer in zip(asked, answers, strict=True)}

    def _parallel(self, what: str, work: Callable[[Any], Any], jobs: Sequence[Any]) -> list[Any]:
        """Each job's answer; as many at once as there are processors, each waiting for a process."""
        answers = []
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for number, answer in enumerate(pool.map(work, jobs)):
                answers.append(answer)
                self._progress(what, number + 1, len(jobs))
        return answers

    def _ask(self, script: str, request: dict[str, Any]) -> Any:
        """The answer of a script that runs in the peers' environment."""
        command = [str(self._python), "-I", str(SCRIPTS / script)]
        done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
        if done.returncode:
            last_words = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise StreamInspectError(f"{self._python} could not run {script}: {last_words}; run `make bench-env`")
        return json.loads(done.stdout)


def _belt(error: float) -> str:
    return f"belt {error:+.0%}"


def _shown(score: Score) -> str:
    flag = " (not observable)" if score.flagged >= _REPORTED else ""
    return f"{100 * score.idf1:.1f} / {100 * score.hota:.0f} / {score.switches_per_1000:.0f}{flag}"


def _p50(times_ms: Sequence[float]) -> float:
    return float(np.percentile(times_ms, 50))
