"""What a line's cameras see of its parts: a view is a judged frame that shows a part whole and usable.

Whether a part was whole in a frame depends on its length, which is known only once all of it has been seen. So frames
are kept with the belt's place, and are counted by what is known of the part when it is decided.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from stream_inspect.messages import Interval

_NEWEST = 256
"""Frames of one camera that are known one by one, for each part."""


@dataclass(frozen=True, slots=True)
class CameraWindow:
    """The stretch of the line that one camera sees, and the views that it has to give of each part."""

    offset_mm: float
    length_mm: float
    views_needed: int

    def shows(self, along: Interval, odometer_mm: float) -> bool:
        """Whether any of the part is in the picture."""
        here = odometer_mm - self.offset_mm
        return along.low < here and along.high > here - self.length_mm

    def shows_whole(self, along: Interval, odometer_mm: float) -> bool:
        """Whether all of the part is in the picture."""
        here = odometer_mm - self.offset_mm
        return here - self.length_mm <= along.low and along.high <= here and along.whole

    def left_by(self, along: Interval, odometer_mm: float) -> bool:
        """Whether the part's trailing edge is beyond the downstream edge."""
        return along.high <= odometer_mm - self.offset_mm - self.length_mm


class View(StrEnum):
    """What a due frame shows of a part that is in it. Only a usable one is a view that counts."""

    USABLE = "usable"
    CUT = "cut"
    OUT_OF_FOCUS = "out of focus"
    OVER_EXPOSED = "over-exposed"
    OUTSIDE_REGION = "outside the region"
    NOT_FOUND = "not found in the picture"
    NOT_JUDGED = "not judged"


class CameraViews(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What one camera's due frames show of a part; each frame is one, however often it is noted."""

    newest: dict[int, tuple[View, float]] = {}
    """By number, with the odometer's reading: no more than `_NEWEST`, for a part may stay in view for hours."""
    older: dict[View, int] = {}
    """Those that are not kept, counted. A frame that is older than all of a full `newest` is one of them."""

    def see(self, due: int, view: View, odometer_mm: float, window: CameraWindow, along: Interval) -> None:
        """Note a frame; a result replaces the note that there would be none. `along` is the part as it is known."""
        known = self.newest.get(due)
        if known is None and len(self.newest) == _NEWEST:
            oldest = min(self.newest)
            if due < oldest:
                return
            gone = _counted(*self.newest.pop(oldest), window, along)
            self.older[gone] = self.older.get(gone, 0) + 1
        if known is None or known[0] is View.NOT_JUDGED:
            self.newest[due] = view, odometer_mm

    def counts(self, window: CameraWindow, along: Interval) -> Counter[View]:
        """How many frames show what, of the part as it is known now."""
        return Counter(self.older) + Counter(_counted(*frame, window, along) for frame in self.newest.values())


def _counted(view: View, odometer_mm: float, window: CameraWindow, along: Interval) -> View:
    return view if window.shows_whole(along, odometer_mm) else View.CUT
