"""The parts of the demo's line: parts.jsonl, written while the line runs, and how right their verdicts were."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from stream_inspect.capture.synthetic import make_line
from stream_inspect.commands.demo.truth import CaptureRuns, CountedPart, PartScore
from stream_inspect.commands.parts_file import PartResult, PartsFile
from stream_inspect.config.models import CameraConfig, LineConfig, SyntheticSource
from stream_inspect.messages import PartsShown, PartsStatus
from stream_inspect.service.supervisor import Supervisor
from stream_inspect.transport.channel import Channels

PARTS = "parts.jsonl"


class DemoParts:
    """Follows what the service broadcasts of the parts under one camera. Use as a context manager around the run."""

    def __init__(self, out: Path, line: LineConfig, camera: CameraConfig) -> None:
        self._line, self._camera = line, camera
        self._counted: list[CountedPart] = []
        self._status = PartsStatus(line=line.name, entered=0, passed=0, failed=0, undecided=0, on_belt=0, last=[])
        self._out = (out / PARTS).open("wb", buffering=0)  # each part is in it once it is known
        self._file = PartsFile(self._out, line, camera, self._count)
        self._channels: Channels | None = None

    @property
    def camera(self) -> str:
        """The name of the camera."""
        return self._camera.name

    def __enter__(self) -> DemoParts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take what was sent as the service stopped, and write the parts that had not reached the gate."""
        if self._channels is not None:
            self._receive(self._channels)
            self._channels.close()
        self._file.end()
        self._out.close()

    def follow(self, supervisor: Supervisor) -> None:
        """Take what was broadcast since the last call."""
        if self._channels is None:
            self._channels = supervisor.channels("demo")
            for topic in ("parts_shown", "parts_status"):
                self._channels.subscribe(topic)
        self._receive(self._channels)

    def summary(self, runs: CaptureRuns) -> dict[str, Any]:
        """The sums of the line, and its verdicts on the parts that have passed the gate compared with the truth."""
        return {**self._status.sums, **self._score(runs)}

    def _score(self, runs: CaptureRuns) -> dict[str, Any]:
        camera = self._camera
        if not isinstance(camera.source, SyntheticSource):
            return {}
        line = make_line(camera.source, camera.belt, camera.rotate_deg)
        assert camera.belt is not None
        picture_mm = line.width_px * line.mm_per_px
        trigger_mm = picture_mm / 2
        if self._line.trigger_mm is not None:
            trigger_mm = self._line.trigger_mm - camera.belt.offset_mm
        gate_mm = max(picture_mm, (self._line.gate_mm or 0.0) - camera.belt.offset_mm)
        score = runs.score_parts(line, self._counted, self._line.views, trigger_mm=trigger_mm, gate_mm=gate_mm)
        return _as_dict(score)

    def _receive(self, channels: Channels) -> None:
        while messages := channels.receive(0.0):
            for message in messages:
                if isinstance(message, PartsShown) and message.frame.id.camera == self._camera.name:
                    self._file.note(message)
                elif isinstance(message, PartsStatus) and message.line == self._line.name:
                    self._status = message
                    for verdict in message.last:
                        self._file.note(verdict)

    def _count(self, part: PartResult, mono_ns: int | None) -> None:
        if mono_ns is not None and part.trigger_s is not None:
            self._counted.append(CountedPart(part.trigger_s, mono_ns, part.verdict, part.views, bool(part.defects)))


def _as_dict(score: PartScore) -> dict[str, Any]:
    return {
        "escapes": {"system": score.system_escapes, "model": score.model_escapes},
        "overkill": score.overkill,
        "truth": {"good": score.good, "bad": score.bad, "not_counted": score.not_counted},
        "false": score.false,
    }
