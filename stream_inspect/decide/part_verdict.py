"""The verdict of one part: what each camera saw of it, what was found on it, and the rule that decides.

PASS needs `needed` usable views by every camera, no doubt about the part, and no confirmed defect. FAIL needs one
confirmed defect. Everything else is UNDECIDED, with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from stream_inspect.messages import Doubt, Interval, PartDefect, Reason, Verdict


class View(StrEnum):
    """What a due frame shows of a part that is in it. Only a usable one is a view that counts."""

    USABLE = "usable"
    CUT = "cut"
    OUT_OF_FOCUS = "out of focus"
    OVER_EXPOSED = "over-exposed"
    OUTSIDE_REGION = "outside the region"
    NOT_FOUND = "in which it is not found"
    NOT_JUDGED = "not judged"


_UNUSABLE = [view for view in View if view is not View.USABLE]
_NEWEST = 256
"""Frames of one camera that are known one by one, for each part."""


REASON_OF_DOUBT = {
    Doubt.AT_START: Reason.AT_START,
    Doubt.UNWATCHED: Reason.UNWATCHED,
    Doubt.TWO_TRIGGERS: Reason.TWO_TRIGGERS,
}

_WHY = {
    **{reason: str(doubt) for doubt, reason in REASON_OF_DOUBT.items()},
    Reason.ODOMETER_UNKNOWN: "the odometer was not known while the part was on the belt",
    Reason.RESTARTED: "the service was restarted while the part was on the belt",
    Reason.ENDED: "the recording ended while the part was on the belt",
}


class CameraViews(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What one camera's due frames show of a part; each frame counts once, however often it is noted."""

    counts: dict[View, int] = {}
    newest: dict[int, View] = {}
    """By number. A frame that is older than all of a full list has been counted: a part may stand in view for hours."""

    def see(self, due: int, view: View) -> None:
        """Note a frame; a result replaces the note that there would be none."""
        before = self.newest.get(due)
        if before is None and len(self.newest) == _NEWEST:
            oldest = min(self.newest)
            if due < oldest:
                return
            del self.newest[oldest]
        if before is not None and before is not View.NOT_JUDGED:
            return
        if before is not None:
            self.counts[before] -= 1
        self.newest[due] = view
        self.counts[view] = self.counts.get(view, 0) + 1


class Part(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One part from its entry until it is forgotten. `along` is in line coordinates, in mm."""

    id: int
    lane: int
    along: Interval
    serial: str = ""
    doubt: Reason | None = None
    """Why it cannot pass, whatever is seen of it."""
    numbers: dict[str, int] = {}
    """Its number at each finder that has found it."""
    views: dict[str, CameraViews] = {}
    """By camera."""
    defects: list[PartDefect] = []
    verdict: Verdict | None = None
    reason: Reason | None = None
    why: str = ""
    is_late: bool = False
    """Whether a defect was confirmed after another verdict had been given."""
    is_finished: bool = False
    """Whether it is decided and nothing more can become known of it."""

    def count(self, camera: str, view: View) -> int:
        """Due frames of this camera that show it so."""
        views = self.views.get(camera)
        return views.counts.get(view, 0) if views else 0

    def see(self, camera: str, due: int, view: View) -> None:
        """Note what a due frame of a camera shows of it."""
        self.views.setdefault(camera, CameraViews()).see(due, view)

    def find(self, found: PartDefect) -> None:
        """Note a sight of a defect. It keeps its best score, and once confirmed it stays so."""
        for index, known in enumerate(self.defects):
            if (known.camera, known.track) == (found.camera, found.track):
                self.defects[index] = msgspec.structs.replace(
                    found, score=max(known.score, found.score), confirmed=known.confirmed or found.confirmed
                )
                return
        self.defects.append(found)

    def decide(self, needed: Mapping[str, int]) -> None:
        """Give the verdict by what is known now; `needed` are the usable views needed of each camera."""
        confirmed = [found for found in self.defects if found.confirmed]
        if confirmed:
            best = max(confirmed, key=lambda found: found.score)
            return self._give(Verdict.FAIL, Reason.DEFECT, f"{best.defect} {best.score:.2f}")
        if self.doubt is not None:
            return self._give(Verdict.UNDECIDED, self.doubt, _WHY[self.doubt])
        short = {camera: views for camera, views in needed.items() if self.count(camera, View.USABLE) < views}
        why = "; ".join(self._views_sentence(camera, needed[camera], len(needed) > 1) for camera in short or needed)
        if not short:
            return self._give(Verdict.PASS, Reason.ENOUGH_VIEWS, why)
        would_do = all(
            self.count(camera, View.USABLE) + self.count(camera, View.NOT_JUDGED) >= views
            for camera, views in short.items()
        )
        return self._give(Verdict.UNDECIDED, Reason.NOT_JUDGED if would_do else Reason.TOO_FEW_VIEWS, why)

    def decide_late(self, waits_for: Mapping[str, int]) -> None:
        """Give the verdict of a part whose deadline came before these due frames of its cameras were reported."""
        if self.doubt is not None:
            return self._give(Verdict.UNDECIDED, self.doubt, _WHY[self.doubt])
        frames = ", ".join(f"{count} of {camera}" for camera, count in sorted(waits_for.items()))
        return self._give(Verdict.UNDECIDED, Reason.TOO_LATE, f"too late: due frames not reported: {frames}")

    def _give(self, verdict: Verdict, reason: Reason, why: str) -> None:
        self.verdict, self.reason, self.why = verdict, reason, why

    def _views_sentence(self, camera: str, needed: int, is_named: bool) -> str:
        views = f"{self.count(camera, View.USABLE)} of {needed} usable views"
        others = [f"{count} {view}" for view in _UNUSABLE if (count := self.count(camera, view))]
        return (f"{camera}: " if is_named else "") + views + (f": {', '.join(others)}" if others else "")
