"""The tracker contract: two methods are enough. One tracker a camera, each with its own ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stream_inspect.messages import Box, Detection, TrackUpdate


@dataclass(frozen=True, slots=True)
class TrackerFrame:
    """What a tracker may know of a judged frame: its time in seconds of the media clock and its size.

    `belt_mm` is how far the belt had run by its line's odometer, None where that is not measured or not known.
    """

    pts_s: float
    width_px: int
    height_px: int
    belt_mm: float | None = None


class Tracker(Protocol):
    """Links the detections of judged frames. Gaps are measured in seconds, because frames are sampled.

    A constructor takes the camera's config and the `track` section, and does no work.
    """

    @property
    def static_finds(self) -> Sequence[Box]:
        """Where in the picture the last frames showed something that does not move with the belt: dirt on the lens,
        glare, a stuck part. It takes no part in tracking. Empty without a belt."""

    @property
    def not_followed(self) -> str:
        """Why the last finds were not found again where the belt should have carried them, in words: nothing of what
        passes is confirmed then. "" while they are, and without a belt."""

    @property
    def speed_not_observable(self) -> str:
        """Why the judged frames do not show how fast the belt runs, in words: a burst of frames would. "" while they
        do, and without a belt."""

    def update(
        self, frame: TrackerFrame, detections: Sequence[Detection]
    ) -> tuple[list[TrackUpdate], list[TrackUpdate]]:
        """(live tracks after this frame, tracks that ended in it). Frames come in order of time.

        Every detection is in at most one track's `detection`, and only in one with `seen`. A live track that no
        detection fits is reported unseen, with its predicted box, until it ends. The size of frames changes only after
        a `reset`.
        """

    def reset(self) -> list[TrackUpdate]:
        """End all tracks (a new session, a changed picture size) and return them; ids keep counting."""
