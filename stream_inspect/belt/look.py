"""What a camera's picture shows of its belt: how far it moved, and the parts on it. For every captured frame."""

from __future__ import annotations

from dataclasses import dataclass

from stream_inspect.belt.background import BackgroundParts, BackgroundSettings, LearnedBelt
from stream_inspect.belt.rectified import Rectifier
from stream_inspect.belt.visual_odometer import VisualOdometer
from stream_inspect.config.models import BeltConfig
from stream_inspect.messages import PartSight
from stream_inspect.picture import Picture


@dataclass(frozen=True, slots=True)
class BeltLooked:
    """One picture of the belt."""

    moved_mm: float | None
    """Since the last picture that showed the belt's way; None where this one does not."""
    sigma_mm: float | None
    confidence: float
    """0 to 1, of `moved_mm`."""
    parts: tuple[PartSight, ...]
    since_s: float | None
    """The pts of the picture from which `moved_mm` counts."""
    learning: bool
    """Whether the empty belt is not known, so that parts are not seen."""


class BeltLook:
    """Looks at the frames of one camera, in order. It reads no clock: the same frames give the same answers."""

    measures_way = True

    def __init__(self, belt: BeltConfig, settings: BackgroundSettings | None = None) -> None:
        self._rectifier = Rectifier(belt)
        self._odometer = VisualOdometer(belt)
        self._background = BackgroundParts(settings)

    @property
    def learned(self) -> LearnedBelt | None:
        """See `BackgroundParts.learned`."""
        return self._background.learned

    def recall(self, learned: LearnedBelt) -> None:
        """See `BackgroundParts.recall`."""
        self._background.recall(learned)

    def reset(self) -> None:
        """Begin another session: nothing is known of the way since the last frame; the empty belt still is."""
        self._odometer.reset()

    def see(self, picture: Picture, pts_s: float) -> BeltLooked:
        """What the next frame shows."""
        shown = self._rectifier.see(picture)
        moved = self._odometer.see(shown, pts_s)
        parts = self._background.see(shown, moved.mm)
        return BeltLooked(
            moved.mm,
            moved.sigma_mm,
            moved.confidence,
            tuple(parts),
            since_s=moved.since_s,
            learning=self._background.learning,
        )
