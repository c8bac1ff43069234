"""How well events and verdicts fit the synthetic line's truth: what the demo's summary and the seed table report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from stream_inspect.boxes import iou
from stream_inspect.messages import Box, Event, Verdict
from stream_inspect.rotation import Rotation, rotated_box
from stream_inspect.sim.line import SyntheticLine


@dataclass(frozen=True, slots=True)
class DefectScore:
    """Counts of defects, not of frames."""

    truth: int = 0
    found: int = 0
    false: int = 0

    def __add__(self, other: DefectScore) -> DefectScore:
        return DefectScore(self.truth + other.truth, self.found + other.found, self.false + other.false)

    @property
    def missed(self) -> int:
        return self.truth - self.found

    @property
    def recall(self) -> float:
        """Share of true defects found; 1 when there were none."""
        return self.found / self.truth if self.truth else 1.0

    @property
    def precision(self) -> float:
        """Share of events that are true defects; 1 when there were none."""
        return self.found / (self.found + self.false) if self.found + self.false else 1.0


_SAME_PART_OF_PITCH = 0.25
"""A part that was counted is the true one whose middle was so near to it, as a share of the pitch."""


@dataclass(frozen=True, slots=True)
class CountedPart:
    """A part that has a verdict."""

    trigger_s: float
    """The pts in s at which its middle was at the trigger."""
    mono_ns: int
    """The capture of a frame then."""
    verdict: Verdict
    views: int
    has_defect: bool
    """Whether a defect on it was confirmed, before its verdict or after."""


@dataclass(frozen=True, slots=True)
class PartScore:
    """Counts of parts. All but `false` are true ones that have passed the gate."""

    good: int = 0
    bad: int = 0
    not_counted: int = 0
    """Without a verdict: each bad one is an escape too."""
    system_escapes: int = 0
    """Bad parts that passed although a defect was known, or with too few views, or without a verdict."""
    model_escapes: int = 0
    """Bad parts that passed because the models found nothing."""
    overkill: int = 0
    false: int = 0
    """Counted, and not there."""

    def __add__(self, other: PartScore) -> PartScore:
        return PartScore(*(one + another for one, another in zip(astuple(self), astuple(other), strict=True)))


@dataclass(slots=True)
class _CaptureRun:
    frames: int
    ended_mono_ns: int


class CaptureRuns:
    """What each run of a synthetic camera's process captured: after a restart the line begins again, at frame 0.

    A run is known by the process's `owner` number in the ledger. Its events are found by time: the frame of an event
    was captured before that run ended and after the previous one did.
    """

    def __init__(self) -> None:
        self._runs: dict[int, _CaptureRun] = {}

    def note(self, owner: int, captured: int, now_mono_ns: int) -> None:
        """The camera has `captured` frames so far, in all of its runs; `owner` is the current or the latest one.

        To be called at least once between the end of a run and the start of the next.
        """
        earlier = sum(run.frames for other, run in self._runs.items() if other != owner)
        self._runs[owner] = _CaptureRun(captured - earlier, now_mono_ns)

    @property
    def sessions(self) -> int:
        """Runs that captured anything."""
        return sum(run.frames > 0 for run in self._runs.values())

    def score(self, line: SyntheticLine, events: Iterable[Event], rotate_deg: Rotation = 0) -> DefectScore:
        """The score of all runs together; `events` are of this camera, which turns its pictures by `rotate_deg`."""
        all_events = list(events)
        total, before_ns = DefectScore(), -1
        for run in self._runs.values():
            mine = [
                one for one in all_events if one.frame and before_ns < one.frame.capture_mono_ns <= run.ended_mono_ns
            ]
            total += score_events(line, mine, run.frames - 1, rotate_deg)
            before_ns = run.ended_mono_ns
        return total

    def score_parts(
        self, line: SyntheticLine, counted: Iterable[CountedPart], views: int, *, trigger_mm: float, gate_mm: float
    ) -> PartScore:
        """The score of the verdicts in all runs together; see `score_parts` below."""
        all_parts = list(counted)
        total, before_ns = PartScore(), -1
        for run in self._runs.values():
            mine = [one for one in all_parts if before_ns < one.mono_ns <= run.ended_mono_ns]
            total += score_parts(line, mine, views, run.frames - 1, trigger_mm=trigger_mm, gate_mm=gate_mm)
            before_ns = run.ended_mono_ns
        return total


def score_parts(
    line: SyntheticLine,
    counted: Iterable[CountedPart],
    views: int,
    last_index: int,
    *,
    trigger_mm: float,
    gate_mm: float,
) -> PartScore:
    """Score the verdicts of a run that captured frames 0 to `last_index` of this line, whose parts need so many views.

    Places are from the picture's upstream edge. Parts that have not reached the gate by then do not count.
    """
    true_parts = line.entered_parts(last_index)
    verdicts: dict[int, CountedPart] = {}
    false = 0
    for part in counted:
        at_px = part.trigger_s * line.speed_px_s - trigger_mm / line.mm_per_px
        nearest = min(true_parts, key=lambda one: abs(one.middle_px - at_px), default=None)
        far_px = _SAME_PART_OF_PITCH * line.world.pitch_mm / line.mm_per_px
        if nearest is None or abs(nearest.middle_px - at_px) > far_px or nearest.part_id in verdicts:
            false += 1
        else:
            verdicts[nearest.part_id] = part
    passed_px = last_index * line.speed_px_s / line.fps - gate_mm / line.mm_per_px
    score = PartScore(false=false)
    for one in true_parts:
        if one.middle_px < passed_px:
            score += _score_of(verdicts.get(one.part_id), views, is_bad=one.is_defective)
    return score


def _score_of(found: CountedPart | None, views: int, *, is_bad: bool) -> PartScore:
    """The score of one true part, with its verdict."""
    if not is_bad:
        is_overkill = found is not None and found.verdict is Verdict.FAIL
        return PartScore(good=1, not_counted=found is None, overkill=is_overkill)
    escaped = found is None or found.verdict is Verdict.PASS
    by_system = found is None or found.has_defect or found.views < views
    return PartScore(
        bad=1,
        not_counted=found is None,
        system_escapes=escaped and by_system,
        model_escapes=escaped and not by_system,
    )


def score_events(
    line: SyntheticLine, events: Iterable[Event], last_index: int, rotate_deg: Rotation = 0
) -> DefectScore:
    """Score confirmed defect events of a run that captured frames 0 to `last_index` of this line.

    Truth is every defect that has left the picture by then, judged or not. An event finds a defect when it has its
    name and its box, in the very frame the event rests on, overlaps the defect's: truth is of the sensor picture, and
    is turned by `rotate_deg` as that is. A second event for the same defect is false, and so is one for nothing. Events
    for defects that are still in the picture do not count.
    """
    gone = {passed.object_id for passed in line.passed_defects(last_index)}
    found: set[int] = set()
    false = 0
    for event in events:
        if event.frame is None or event.box_xyxy_px is None:
            continue
        index = round(event.frame.pts_s * line.fps)
        hit = _overlapped(line, index, event.name, event.box_xyxy_px, rotate_deg)
        if hit is None or hit in found:
            false += 1
        else:
            found.add(hit)
    return DefectScore(truth=len(gone), found=len(found & gone), false=false)


def _overlapped(line: SyntheticLine, index: int, name: str, box: Box, rotate_deg: Rotation) -> int | None:
    candidates = [
        (iou(box, rotated_box(defect.box_xyxy_px, line.width_px, line.height_px, rotate_deg)), defect.defect_id)
        for defect in line.truth(index).defects
        if defect.name == name
    ]
    best = max(candidates, default=(0.0, -1))
    return best[1] if best[0] > 0.1 else None
