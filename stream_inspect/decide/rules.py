"""The rule that makes a suspect a defect: seen in n of the last m judged frames that show it."""

from __future__ import annotations

from collections import deque

from stream_inspect.messages import Box, TrackUpdate

_SHOWN = 0.5
"""A judged frame shows a defect when at least this much of its box lies in the picture."""


class NOfM:
    """Counts sightings in a window of judged frames."""

    def __init__(self, hits: int, window: int) -> None:
        self._hits = hits
        self._seen: deque[bool] = deque(maxlen=window)

    def add(self, seen: bool) -> bool:
        """One more judged frame; whether there are enough sightings now. Only a sighting can make it enough."""
        self._seen.append(seen)
        return seen and sum(self._seen) >= self._hits


def shows(update: TrackUpdate, width_px: int, height_px: int) -> bool:
    """Whether this judged frame had a chance to see the defect: it did, or the defect lay well in the picture."""
    return update.seen or _visible(update.box_xyxy_px, width_px, height_px) >= _SHOWN


def _visible(box: Box, width_px: int, height_px: int) -> float:
    """Share of a box that lies in the picture."""
    left, top, right, bottom = box
    area = (right - left) * (bottom - top)
    width = min(right, width_px) - max(left, 0.0)
    height = min(bottom, height_px) - max(top, 0.0)
    return max(0.0, width) * max(0.0, height) / area if area > 0 else 0.0
