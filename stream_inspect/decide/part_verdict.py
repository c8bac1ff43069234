"""The verdict of one part: what each camera saw of it, what was found on it, and the rule that decides.

PASS needs the views that every camera has to give, no doubt about the part, and no confirmed defect. FAIL needs one
confirmed defect. Everything else is UNDECIDED, with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from stream_inspect.decide.part_views import CameraViews, CameraWindow, View
from stream_inspect.messages import Doubt, Interval, PartDefect, Reason, Verdict

REASON_OF_DOUBT = {
    Doubt.AT_START: Reason.AT_START,
    Doubt.UNWATCHED: Reason.UNWATCHED,
    Doubt.NOT_SEEN: Reason.NOT_SEEN,
    Doubt.TWO_TRIGGERS: Reason.TWO_TRIGGERS,
    Doubt.UNREAD: Reason.UNREAD,
    Doubt.OUT_OF_STEP: Reason.OUT_OF_STEP,
    Doubt.STATIC: Reason.STATIC,
}

_WHY = {
    **{reason: str(doubt) for doubt, reason in REASON_OF_DOUBT.items()},
    Reason.ODOMETER_UNKNOWN: "the odometer was not known while the part was on the belt",
    Reason.RESTARTED: "the service was restarted while the part was on the belt",
    Reason.ENDED: "the recording ended while the part was on the belt",
}


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

    def see(self, camera: str, due: int, view: View, odometer_mm: float, window: CameraWindow) -> None:
        """Note what a due frame of a camera, captured at this reading, shows of it."""
        self.views.setdefault(camera, CameraViews()).see(due, view, odometer_mm, window, self.along)

    def counts(self, cameras: Mapping[str, CameraWindow]) -> dict[str, Counter[View]]:
        """How many due frames of each camera show what of it."""
        return {
            name: self.views[name].counts(window, self.along) if name in self.views else Counter()
            for name, window in cameras.items()
        }

    def find(self, found: PartDefect) -> None:
        """Note a sight of a defect. It keeps its best score, and once confirmed it stays so."""
        for index, known in enumerate(self.defects):
            if (known.camera, known.track) == (found.camera, found.track):
                self.defects[index] = msgspec.structs.replace(
                    found, score=max(known.score, found.score), confirmed=known.confirmed or found.confirmed
                )
                return
        self.defects.append(found)

    def decide(self, cameras: Mapping[str, CameraWindow]) -> None:
        """Give the verdict by what is known now."""
        if (best := self._surest) is not None:
            return self._give(Verdict.FAIL, Reason.DEFECT, f"{best.defect} {best.score:.2f}")
        if self.doubt is not None:
            return self._give(Verdict.UNDECIDED, self.doubt, _WHY[self.doubt])
        counts = self.counts(cameras)
        lacking = {
            name: window.views_needed - counts[name][View.USABLE]
            for name, window in cameras.items()
            if counts[name][View.USABLE] < window.views_needed
        }
        why = "; ".join(
            (f"{name}: " if len(cameras) > 1 else "") + _sentence(counts[name], cameras[name].views_needed)
            for name in lacking or cameras
        )
        if not lacking:
            return self._give(Verdict.PASS, Reason.ENOUGH_VIEWS, why)
        would_do = all(counts[name][View.NOT_JUDGED] >= views for name, views in lacking.items())
        return self._give(Verdict.UNDECIDED, Reason.NOT_JUDGED if would_do else Reason.TOO_FEW_VIEWS, why)

    def decide_late(self, waits_for: Mapping[str, int]) -> None:
        """Give the verdict of a part whose deadline came before these due frames of its cameras were reported."""
        if self.doubt is not None:
            return self._give(Verdict.UNDECIDED, self.doubt, _WHY[self.doubt])
        frames = ", ".join(f"{count} of {camera}" for camera, count in sorted(waits_for.items()))
        return self._give(Verdict.UNDECIDED, Reason.TOO_LATE, f"too late: due frames not reported: {frames}")

    @property
    def failed_by(self) -> str:
        """The name of the defect that it failed for; "" if it did not."""
        return self._surest.defect if self.verdict is Verdict.FAIL and self._surest is not None else ""

    @property
    def _surest(self) -> PartDefect | None:
        confirmed = [found for found in self.defects if found.confirmed]
        return max(confirmed, key=lambda found: found.score, default=None)

    def _give(self, verdict: Verdict, reason: Reason, why: str) -> None:
        self.verdict, self.reason, self.why = verdict, reason, why


def _sentence(counts: Counter[View], needed: int) -> str:
    """For example "2 usable views, 3 needed; 1 cut, 1 out of focus"."""
    others = ", ".join(f"{counts[view]} {view}" for view in View if counts[view] and view is not View.USABLE)
    return f"{counts[View.USABLE]} usable views, {needed} needed" + (f"; {others}" if others else "")
