"""What is shown of one line's parts: where they are in each picture, how many there were, and the last verdicts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from stream_inspect.belt.geometry import BeltView
from stream_inspect.belt.lanes import Lane
from stream_inspect.decide.part_verdict import Part
from stream_inspect.decide.part_views import CameraWindow
from stream_inspect.decide.parts import LaneCounts
from stream_inspect.decide.parts_in_picture import PartsInPicture
from stream_inspect.messages import PartsSeen, PartsShown, PartsStatus, PartVerdict

_LAST = 20
"""Verdicts that are shown."""


class ShownParts:
    """Frames and verdicts of one line in, what `live` and `web` show of them out."""

    def __init__(self, line: str, lanes: Sequence[Lane]) -> None:
        self._line, self._lanes = line, lanes
        self._pictures: dict[str, PartsInPicture] = {}
        self._untaken: list[PartsShown] = []
        self._last: dict[int, PartVerdict] = {}
        """The last verdicts, by part, in the order in which they were given."""
        self._awaited: set[int] = set()
        """Parts that have a verdict which is not final."""

    def see(self, seen: PartsSeen, view: BeltView, window: CameraWindow, parts: Sequence[Part]) -> None:
        """A frame of a camera that sees this of the belt; `parts` are those in it."""
        camera = seen.frame.id.camera
        if camera not in self._pictures:
            self._pictures[camera] = PartsInPicture(camera, view, window, self._lanes)
        if seen.by_result:
            self._pictures[camera].judged(seen, parts)
        else:
            self._untaken.append(self._pictures[camera].see(seen, parts))

    def note(self, verdict: PartVerdict) -> None:
        """A verdict. One that is repeated as final, of a part that is not among the last ones any more, is old."""
        if verdict.part in self._last or verdict.part not in self._awaited:
            self._last[verdict.part] = verdict
        if len(self._last) > _LAST:
            del self._last[next(iter(self._last))]
        (self._awaited.discard if verdict.is_final else self._awaited.add)(verdict.part)

    def take(self) -> list[PartsShown]:
        """Where the parts are in the pictures that were seen since the last call."""
        taken, self._untaken = self._untaken, []
        return taken

    def status(self, lanes: Collection[LaneCounts]) -> PartsStatus:
        """How the parts stand, by the sums of their lanes."""
        return PartsStatus(
            line=self._line,
            entered=sum(lane.entered for lane in lanes),
            passed=sum(lane.passed for lane in lanes),
            failed=sum(lane.failed for lane in lanes),
            undecided=sum(lane.undecided for lane in lanes),
            on_belt=sum(lane.on_belt for lane in lanes),
            last=list(self._last.values()),
        )
