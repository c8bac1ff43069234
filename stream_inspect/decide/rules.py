"""The rules that make a suspect a confirmed defect. A rule states itself in words: they are an event's reason."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from stream_inspect.boxes import share_inside
from stream_inspect.config.models import CONFIRMED_WHEN, DecideConfig
from stream_inspect.messages import FrameHeader, TrackUpdate

_SHOWN = 0.5
"""A judged frame shows a defect when at least this share of its box lies in the picture."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one judged frame says of one tracked defect: all that a rule may go by."""

    pts_s: float
    """Time of the frame in seconds of the media clock."""
    seen: bool
    """The detector found it."""
    score: float
    """Of the detection; where it was not seen, of the last one."""
    shown: bool
    """The frame could show it: it was seen, or it lay well in the picture."""

    @classmethod
    def of(cls, update: TrackUpdate, frame: FrameHeader) -> Sighting:
        """The sighting of a track in the frame that it was updated with."""
        picture = (0.0, 0.0, float(frame.width_px), float(frame.height_px))
        shown = update.seen or share_inside(update.box_xyxy_px, picture) >= _SHOWN
        return cls(pts_s=frame.id.pts_s, seen=update.seen, score=update.score, shown=shown)


class Rule(Protocol):
    """Decides when one tracked defect is confirmed. Sightings come in the order of their frames."""

    def see(self, sighting: Sighting) -> bool:
        """Add one more judged frame. True: by this frame the defect is confirmed."""

    def sentence(self) -> str:
        """What confirms a defect, with this rule's numbers: "seen in ..."."""


class NOfM:
    """Counts the sightings in a window of the judged frames that show the defect. Only a sighting can confirm it."""

    def __init__(self, hits: int, window: int) -> None:
        self._hits = hits
        self._window = window
        self._seen: deque[bool] = deque(maxlen=window)

    def see(self, sighting: Sighting) -> bool:
        if not sighting.shown:
            return False
        self._seen.append(sighting.seen)
        return sighting.seen and sum(self._seen) >= self._hits

    def sentence(self) -> str:
        return CONFIRMED_WHEN.format(n=self._hits, m=self._window)


class InOnePicture:
    """A picture that stands alone is all there is to go by."""

    def see(self, sighting: Sighting) -> bool:
        return sighting.seen

    def sentence(self) -> str:
        return "seen in this picture"


def make_rule(decide: DecideConfig, *, stills: bool = False) -> Rule:
    """The configured rule, for one tracked defect; that of pictures which stand alone, for one of `stills`."""
    return InOnePicture() if stills else NOfM(decide.confirm_hits, decide.confirm_window)
