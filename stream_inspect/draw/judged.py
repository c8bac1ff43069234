"""The judged frames of one camera, lately: what is known about the boxes at any time near them."""

from __future__ import annotations

import bisect

from stream_inspect.draw.annotate import HIDE_UNSEEN_AFTER_S, Mark, marks_at
from stream_inspect.messages import FrameHeader, FrameId, FrameOrder, Tracked


class JudgedFrames:
    """`Tracked` messages in the order of their frames, those of the last `keep_s` seconds.

    Seconds of the media clock within the newest session, of the host's clock for frames of other sessions: whatever a
    camera does, no more are held than are judged in that time. Severities are as many as there are defects.

    A track that a frame does not show has the severity with which its defect was last detected: the configuration's is
    that of the inspect workers, where it may change while the service runs.
    """

    def __init__(self, keep_s: float, hide_unseen_after_s: float = HIDE_UNSEEN_AFTER_S) -> None:
        self._keep_s = keep_s
        self._severity: dict[str, str] = {}
        self._hide_unseen_after_s = hide_unseen_after_s
        self._frames: list[Tracked] = []

    def add(self, tracked: Tracked) -> None:
        """Add one, usually the newest; one that is known already replaces itself."""
        for update in tracked.tracks:
            if update.detection is not None:
                self._severity[update.detection.defect] = update.detection.severity
        order = tracked.frame.id.order
        place = bisect.bisect_left(self._frames, order, key=_order)
        if place < len(self._frames) and _order(self._frames[place]) == order:
            self._frames[place] = tracked
        else:
            self._frames.insert(place, tracked)
        newest = self._frames[-1].frame
        self._frames = [one for one in self._frames if _apart_s(one.frame, newest) <= self._keep_s]

    def marks(self, frame: FrameId) -> list[Mark]:
        """What to draw on this frame: interpolated between judged frames of its session, or moved by velocity."""
        place = bisect.bisect_right(self._frames, frame.order, key=_order)
        before = self._frames[place - 1] if place else None
        after = self._frames[place] if place < len(self._frames) else None
        if before is not None and before.frame.id.session != frame.session:
            before = None
        if after is not None and after.frame.id.session != frame.session:
            after = None
        return marks_at(frame.pts_s, before, after, self._severity, self._hide_unseen_after_s)


def _apart_s(one: FrameHeader, newest: FrameHeader) -> float:
    """Seconds between two frames. The media clocks of two sessions have nothing in common, the host's is one."""
    if one.id.session == newest.id.session:
        return abs(newest.id.pts_s - one.id.pts_s)
    return abs(newest.capture_mono_ns - one.capture_mono_ns) / 1e9


def _order(tracked: Tracked) -> FrameOrder:
    return tracked.frame.id.order
