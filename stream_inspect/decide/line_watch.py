"""What a line's frames and verdicts lack: belt that passed without its judged frames, parts without their views."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from stream_inspect import metrics
from stream_inspect.decide.belt_coverage import BeltCoverage, CoverageRecord
from stream_inspect.decide.part_views import CameraWindow
from stream_inspect.decide.views_watch import ViewsWatch
from stream_inspect.messages import Condition, ConditionKind, FrameHeader, PartVerdict

_SPEED_OVER_NS = 10**9


class LineWatch:
    """Notes of frames and verdicts in, conditions out. It reads no clock."""

    def __init__(self, line: str, records: Mapping[str, CoverageRecord] | None = None) -> None:
        """`records` are those of the process before, by camera."""
        self._line = line
        self._records = dict(records or {})
        self._belts: dict[str, BeltCoverage] = {}
        self._views = ViewsWatch()
        self._given: list[PartVerdict] = []
        """Verdicts since the last tick."""
        self._not_final: set[int] = set()
        """Parts whose verdict was given and will be given once more."""
        self._ways: deque[tuple[int, float]] = deque()
        """(time, odometer in mm) of the frames of the last second."""
        self._latest: FrameHeader | None = None

    def frame(self, frame: FrameHeader, odometer_mm: float, window: CameraWindow) -> None:
        """A captured frame of a camera that sees this stretch of the line."""
        camera, mono_ns = frame.id.camera, frame.capture_mono_ns
        if camera not in self._belts:
            self._belts[camera] = BeltCoverage(window, self._records.pop(camera, None))
        self._belts[camera].frame(odometer_mm, mono_ns, frame.due)
        self._latest = frame
        self._ways.append((mono_ns, odometer_mm))
        while mono_ns - self._ways[0][0] > _SPEED_OVER_NS:
            self._ways.popleft()

    def report(self, frame: FrameHeader, *, judged: bool) -> None:
        """A due frame was judged, or will not be."""
        if frame.due is not None and (belt := self._belts.get(frame.id.camera)) is not None:
            belt.report(frame.due, judged=judged)

    def verdict(self, verdict: PartVerdict) -> None:
        """A verdict as it is given, or as it is final."""
        if verdict.is_final:
            metrics.PART_VIEWS.labels(self._line).observe(verdict.views)
        if verdict.part not in self._not_final:
            self._given.append(verdict)
        (self._not_final.discard if verdict.is_final else self._not_final.add)(verdict.part)

    def lose_belt(self) -> None:
        """The odometer does not continue."""
        for belt in self._belts.values():
            belt.lose_belt()
        self._records.clear()
        self._ways.clear()

    def conditions(self, now_ns: int) -> list[Condition]:
        """How the conditions of the line and its cameras stand; none before the first frame."""
        if self._latest is None:
            return []
        for verdict in self._given:
            self._views.note(verdict, now_ns)
        self._given.clear()
        levels = [self._level(ConditionKind.TOO_FEW_VIEWS, "", self._views.lacking(now_ns, self._speed_mm_s), now_ns)]
        for camera, belt in self._belts.items():
            belt.settle(now_ns)
            levels.append(self._level(ConditionKind.BELT_NOT_JUDGED, camera, belt.lacking(now_ns), now_ns))
        return levels

    def export(self) -> None:
        """Put the belt's sums into the metrics."""
        for camera, belt in self._belts.items():
            metrics.BELT_MM.labels(self._line, camera, "passed").set(belt.passed_mm)
            metrics.BELT_MM.labels(self._line, camera, "judged").set(belt.judged_mm)
            if belt.passed_mm:
                metrics.BELT_JUDGED_SHARE.labels(self._line, camera).set(belt.judged_mm / belt.passed_mm)

    def records(self) -> dict[str, CoverageRecord]:
        """For the next process."""
        return self._records | {camera: belt.record() for camera, belt in self._belts.items()}

    @property
    def _speed_mm_s(self) -> float | None:
        if len(self._ways) < 2:
            return None
        (since_ns, before_mm), (until_ns, after_mm) = self._ways[0], self._ways[-1]
        return (after_mm - before_mm) / (until_ns - since_ns) * 1e9 if until_ns > since_ns else None

    def _level(self, kind: ConditionKind, camera: str, detail: str, now_ns: int) -> Condition:
        assert self._latest is not None
        return Condition(
            camera=camera,
            kind=kind,
            active=bool(detail),
            source=self._line,
            detail=detail,
            mono_ns=now_ns,
            utc_ns=self._latest.capture_utc_ns + now_ns - self._latest.capture_mono_ns,
            frame=self._latest if self._latest.id.camera == camera else None,
        )
