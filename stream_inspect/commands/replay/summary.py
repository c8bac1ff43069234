"""summary.json and timing.json: the first is the same at each run, and names what must be the same for that."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping

import msgspec

from stream_inspect import __version__
from stream_inspect.config.models import CameraConfig, Config
from stream_inspect.messages import Event, EventState, Reason, Verdict


class Frames(msgspec.Struct, kw_only=True):
    """The ledger of the frames: captured = judged + not_due + dropped + in_flight, the rest is the residual."""

    captured: int = 0
    judged: int = 0
    not_due: int = 0
    dropped: dict[str, int] = {}
    in_flight: int = 0
    residual: int = 0


class Events(msgspec.Struct, kw_only=True):
    """Confirmed events, by name."""

    defects: int = 0
    conditions: int = 0
    by_name: dict[str, int] = {}


class Parts(msgspec.Struct, kw_only=True, frozen=True, rename={"count": "in", "passed": "pass", "failed": "fail"}):
    """The ledger of the parts: in = pass + fail + undecided."""

    count: int
    passed: int
    failed: int
    undecided: int
    undecided_by: dict[Reason, int]


class Pictures(msgspec.Struct, kw_only=True, frozen=True):
    """The pictures, where there is no video: their verdicts, and in how many each defect was found."""

    name: str
    sha256: str
    count: int
    verdicts: dict[str, int]
    found_in: dict[str, int]
    unreadable: dict[str, str]
    """Name and reason of each that could not be read."""
    left_out: list[str]
    """What lies in their folder and is not a picture, and pages after the first."""


class Video(msgspec.Struct, kw_only=True, frozen=True):
    """The recording."""

    name: str
    sha256: str
    codec: str
    width_px: int
    height_px: int
    duration_s: float


class Hashes(msgspec.Struct, kw_only=True, frozen=True):
    """When two replays differ, one of these does too."""

    program: str
    video: str
    """Of the pictures, where there is no video."""
    config: str
    models: str
    prompts: str
    inspections: str


class Recorded(msgspec.Struct, kw_only=True, frozen=True):
    """What the configuration made of recorded detections."""

    refused: dict[str, int]
    """Detections that do not count any more, by reason: threshold, region, size, limit, duplicate."""
    candidates_counted: int
    """Candidates that count now; they have boxes and no masks."""
    prompts_known: bool
    """Whether the file says with which prompts it was made. If not, those of the configuration had no part in it."""


class Summary(msgspec.Struct, kw_only=True, frozen=True):
    """summary.json."""

    camera: str
    line: str
    video: Video | msgspec.UnsetType = msgspec.UNSET
    pictures: Pictures | msgspec.UnsetType = msgspec.UNSET
    frames: Frames
    detections: int
    events: Events
    parts: Parts | msgspec.UnsetType = msgspec.UNSET
    """Where the line's parts are accounted for."""
    hashes: Hashes
    defects_not_configured: list[str] = []
    notes: list[str] = []
    """What the recording says of its pictures, and was done to them before they were judged."""
    warnings: list[str] = []
    """What makes the verdicts worth less than they look."""
    recorded: Recorded | msgspec.UnsetType = msgspec.UNSET


class Timing(msgspec.Struct, kw_only=True, frozen=True):
    """timing.json: all that is wall time, and so differs from run to run."""

    started_utc: str
    load_models_s: float
    judge_s: float
    total_s: float
    judged_fps: float
    times_real_time: float


def count_events(events: list[Event]) -> Events:
    """What was confirmed."""
    confirmed = [event for event in events if event.state is EventState.CONFIRMED]
    return Events(
        defects=sum(event.kind == "defect" for event in confirmed),
        conditions=sum(event.kind == "condition" for event in confirmed),
        by_name=dict(sorted(Counter(event.name for event in confirmed).items())),
    )


def count_parts(verdicts: Mapping[Verdict, int], undecided_by: Mapping[Reason, int]) -> Parts:
    """What became of the parts."""
    return Parts(
        count=sum(verdicts.values()),
        passed=verdicts.get(Verdict.PASS, 0),
        failed=verdicts.get(Verdict.FAIL, 0),
        undecided=verdicts.get(Verdict.UNDECIDED, 0),
        undecided_by=dict(sorted(undecided_by.items())),
    )


def config_hash(config: Config, camera: CameraConfig) -> str:
    """SHA-256 of what the verdicts of this camera depend on. Paths, outputs and the source do not count."""
    parts = {
        "line": config.line_of(camera.name),
        "parts": line.model_dump(mode="json") if (line := config.parts_of(config.line_of(camera.name))) else None,
        "camera": camera.model_dump(mode="json", exclude={"source"}),
        "defects": [defect.model_dump(mode="json") for defect in config.defects],
        "inspect": config.inspect.model_dump(mode="json", exclude={"workers", "batch_max_frames"}),
        "track": config.track.model_dump(mode="json"),
        "decide": config.decide.model_dump(mode="json"),
        "height_px": config.recorder.height_px,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def program() -> str:
    """Name and version of what made the results."""
    return f"stream_inspect {__version__}"
