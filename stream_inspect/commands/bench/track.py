"""Measures linking defects on a belt: our trackers against ByteTrack, SORT and OC-SORT of the `trackers` package.

Every tracker gets the same detections: things on a belt, judged five times a second, moving by a quarter of their width
to four widths between two judged frames, with a tenth of them missed and one false box per frame. Peers run in an
environment of their own (`make bench-env`), because that package brings the GUI build of OpenCV.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from stream_inspect import registry
from stream_inspect.boxes import clip
from stream_inspect.config.models import BeltConfig, CameraConfig, FileSource, TrackConfig
from stream_inspect.errors import StreamInspectError
from stream_inspect.messages import Box, Detection
from stream_inspect.track.tracker import TrackerFrame

WIDTH_PX, HEIGHT_PX, SIZE_PX = 1280, 720, 48.0
RATE_HZ = 5.0
SAMPLES = 150
DISPLACEMENTS = (0.25, 0.5, 1.0, 2.0, 4.0)
MISS, JITTER_PX = 0.1, 2.0
PITCHES = ("random", "regular")
PITCH_WIDTHS = 1.5
SEEDS = (1, 2, 3)
OURS = {
    "belt": ("belt", 0.0),
    "belt, runs 10 % fast": ("belt", 0.1),
    "belt, runs 10 % slow": ("belt", -0.1),
    "iou": ("iou", 0.0),
}
"""Title -> (tracker, relative error of the true speed against the configured one)."""
PEERS = ("bytetrack", "sort", "ocsort")
PEER_SCRIPT = Path(__file__).with_name("track_peers.py")
FALSE_BOX = -1
"""The thing number of a false box."""


@dataclass(frozen=True, slots=True)
class Look:
    """A judged frame: its boxes, and for each the thing that it shows. `visible` things could have been seen."""

    pts_s: float
    boxes: list[Box]
    scores: list[float]
    things: list[int]
    visible: int


@dataclass(frozen=True, slots=True)
class Score:
    """How well tracks match the things."""

    idf1: float
    switches: float

    def __str__(self) -> str:
        return f"{100 * self.idf1:.0f} / {self.switches:.0f}"


@dataclass(frozen=True, slots=True)
class TrackReport:
    """Scores by (tracker, pitch, displacement), means over the seeds."""

    scores: dict[tuple[str, str, float], Score]
    peers_missing: str

    def to_text(self) -> str:
        """One Markdown table for each pitch."""
        trackers = list(dict.fromkeys(name for name, _, _ in self.scores))
        lines = [
            f"IDF1 in percent / identity switches per run of {SAMPLES} judged frames at {RATE_HZ:g} per second:",
            f"means of {len(SEEDS)} runs, {100 * MISS:.0f} % missed, one false box per frame.",
            f"The highest possible IDF1 is {100 * ceiling():.0f}.",
        ]
        for pitch in PITCHES:
            header = [f"parts at {pitch} pitch: widths per judged frame", *trackers]
            lines += ["", f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
            for displacement in DISPLACEMENTS:
                cells = [str(self.scores[name, pitch, displacement]) for name in trackers]
                lines.append(f"| {displacement:g} | {' | '.join(cells)} |")
        if self.peers_missing:
            lines += ["", self.peers_missing]
        return "\n".join(lines)


def run(peer_python: Path | None = None) -> TrackReport:
    """Run all trackers on all lines. Peers without their environment are skipped, and the report says so."""
    python = peer_python or Path(os.environ.get("STREAM_INSPECT_BENCH_PYTHON", ".venv-bench/bin/python"))
    peers = PEERS if python.exists() else ()
    lines = {
        (pitch, displacement): [looks(displacement, pitch == "regular", seed) for seed in SEEDS]
        for pitch in PITCHES
        for displacement in DISPLACEMENTS
    }
    scores: dict[tuple[str, str, float], Score] = {}
    for title, (kind, error) in OURS.items():
        for (pitch, displacement), runs in lines.items():
            speed_px_s = displacement * SIZE_PX * RATE_HZ / (1 + error)
            found = [track_ours(kind, one, speed_px_s) for one in runs]
            scores[title, pitch, displacement] = _mean(runs, found)
    for name in peers:
        answers = iter(track_peer(name, [one for runs in lines.values() for one in runs], python))
        for (pitch, displacement), runs in lines.items():
            scores[name, pitch, displacement] = _mean(runs, [next(answers) for _ in runs])
    missing = "" if peers else f"Peers skipped: no environment at {python} (`make bench-env`)."
    return TrackReport(scores, missing)


def ceiling() -> float:
    """IDF1 of a tracker that links every detection correctly; it cannot recover missed ones."""
    return 2 * (1 - MISS) / (2 - MISS)


def looks(displacement_widths: float, regular: bool, seed: int) -> list[Look]:
    """The judged frames of one run: two lanes, left to right."""
    rng = random.Random(seed)
    step_px = displacement_widths * SIZE_PX
    way_px = WIDTH_PX + SAMPLES * step_px
    things: list[tuple[float, float]] = []
    for lane_px in (200.0, 500.0):
        place = WIDTH_PX - SIZE_PX
        while place > -way_px:
            things.append((place, lane_px + (0.0 if regular else rng.uniform(-60, 60))))
            place -= SIZE_PX * (PITCH_WIDTHS if regular else PITCH_WIDTHS + rng.expovariate(0.5))
    result = []
    for sample in range(SAMPLES):
        boxes: list[Box] = []
        shown: list[int] = []
        visible = 0
        for number, (place, across) in enumerate(things):
            left = place + sample * step_px
            if left + SIZE_PX < 8 or left > WIDTH_PX - 8:
                continue
            visible += 1
            if rng.random() < MISS:
                continue
            corners = (left, across, left + SIZE_PX, across + SIZE_PX)
            left, top, right, bottom = (value + rng.gauss(0, JITTER_PX) for value in corners)
            boxes.append(clip((left, top, right, bottom), float(WIDTH_PX), float(HEIGHT_PX)))
            shown.append(number)
        x, y = rng.uniform(0, WIDTH_PX - SIZE_PX), rng.uniform(0, HEIGHT_PX - SIZE_PX)
        boxes.append((x, y, x + SIZE_PX * rng.uniform(0.5, 1.5), y + SIZE_PX * rng.uniform(0.5, 1.5)))
        shown.append(FALSE_BOX)
        scores = [rng.uniform(0.1, 0.5) for _ in boxes]
        result.append(Look(sample / RATE_HZ, boxes, scores, shown, visible))
    return result


def track_ours(kind: str, line: Sequence[Look], speed_px_s: float) -> list[list[int]]:
    """The track of each box, by our tracker of this kind, configured with this speed."""
    belt = BeltConfig(direction="left_to_right", speed_mm_s=speed_px_s, mm_per_px=1.0)
    camera = CameraConfig(name="bench", source=FileSource(kind="file", path=Path("none")), belt=belt)
    tracker = registry.load("tracker", kind)(camera, TrackConfig())
    ids = []
    for look in line:
        detections = [
            Detection(defect="scratch", score=score, box_xyxy_px=box)
            for box, score in zip(look.boxes, look.scores, strict=True)
        ]
        live, _ = tracker.update(TrackerFrame(look.pts_s, WIDTH_PX, HEIGHT_PX), detections)
        track_of = {id(update.detection): update.track for update in live}
        ids.append([track_of.get(id(detection), FALSE_BOX) for detection in detections])
    return ids


def track_peer(name: str, lines: Sequence[Sequence[Look]], python: Path) -> list[list[list[int]]]:
    """The track of each box of each line, by a tracker of the `trackers` package."""
    request = {
        "tracker": name,
        "rate_hz": RATE_HZ,
        "lines": [[{"boxes": look.boxes, "scores": look.scores} for look in line] for line in lines],
    }
    done = subprocess.run(
        [str(python), "-I", str(PEER_SCRIPT)], input=json.dumps(request), capture_output=True, text=True, check=False
    )
    if done.returncode:
        last_words = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise StreamInspectError(f"{python} could not run {name}: {last_words}")
    ids: list[list[list[int]]] = json.loads(done.stdout)
    return ids


def score(line: Sequence[Look], ids: Sequence[Sequence[int]]) -> Score:
    """IDF1 and identity switches. A track with a single box does not count for any tracker: it makes no event."""
    sightings = Counter(track for frame in ids for track in frame)
    together: Counter[tuple[int, int]] = Counter()
    last: dict[int, int] = {}
    switches = tracked = 0
    for look, frame in zip(line, ids, strict=True):
        for thing, track in zip(look.things, frame, strict=True):
            if track == FALSE_BOX or sightings[track] < 2:
                continue
            tracked += 1
            if thing == FALSE_BOX:
                continue
            together[thing, track] += 1
            switches += last.get(thing, track) != track
            last[thing] = track
    true = _best_total(together)
    visible = sum(look.visible for look in line)
    return Score(2 * true / (visible + tracked), switches)


def _best_total(together: Counter[tuple[int, int]]) -> int:
    """The most boxes that can agree when each thing is assigned at most one track, and each track one thing."""
    if not together:
        return 0
    things = {thing: row for row, thing in enumerate(sorted({thing for thing, _ in together}))}
    tracks = {track: column for column, track in enumerate(sorted({track for _, track in together}))}
    counts = np.zeros((len(things), len(tracks)), dtype=np.int64)
    for (thing, track), count in together.items():
        counts[things[thing], tracks[track]] = count
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return int(counts[rows, columns].sum())


def _mean(lines: Sequence[Sequence[Look]], ids: Sequence[Sequence[Sequence[int]]]) -> Score:
    scores = [score(line, found) for line, found in zip(lines, ids, strict=True)]
    return Score(sum(s.idf1 for s in scores) / len(scores), sum(s.switches for s in scores) / len(scores))
