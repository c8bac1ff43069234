"""How well events fit the synthetic line's truth: what the demo's summary and the seed table report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stream_inspect.messages import Box, Event
from stream_inspect.sim.line import SyntheticLine


@dataclass(frozen=True, slots=True)
class DefectScore:
    """Counts of defects, not of frames."""

    truth: int
    found: int
    false: int

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


def score_events(line: SyntheticLine, events: Iterable[Event], last_index: int) -> DefectScore:
    """Score confirmed defect events of a run that captured frames 0 to `last_index` of this line.

    Truth is every defect that has left the picture by then, judged or not. An event finds a defect when it has its
    name and its box, in the very frame the event rests on, overlaps the defect's. A second event for the same
    defect is false, and so is one for nothing. Events for defects that are still in the picture do not count.
    """
    gone = {passed.object_id for passed in line.passed_defects(last_index)}
    found: set[int] = set()
    false = 0
    for event in events:
        if event.frame is None or event.box_xyxy_px is None:
            continue
        index = round(event.frame.pts_s * line.fps)
        hit = _overlapped(line, index, event.name, event.box_xyxy_px)
        if hit is None or hit in found:
            false += 1
        else:
            found.add(hit)
    return DefectScore(truth=len(gone), found=len(found & gone), false=false)


def _overlapped(line: SyntheticLine, index: int, name: str, box: Box) -> int | None:
    candidates = [
        (_overlap(box, defect.box_xyxy_px), defect.defect_id)
        for defect in line.truth(index).defects
        if defect.name == name
    ]
    best = max(candidates, default=(0.0, -1))
    return best[1] if best[0] > 0.1 else None


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two (left, top, right, bottom) boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
