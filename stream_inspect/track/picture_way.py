"""One camera's way as a source of its line's odometer: what its pictures show of how far the belt has run."""

from __future__ import annotations

from stream_inspect.belt.odometer import MeasuredOdometer
from stream_inspect.belt.position import BeltLimits, Position
from stream_inspect.messages import BeltSight

_TOLD_FOR_NS = 2 * 10**9
"""A way that was lost, and is known again from the next frame, is reported for this long."""


class PictureWay:
    """Sights of one camera, as the `source` of its name. It reads no clock.

    A session of the camera is one way. Where the next one begins is not known: the position is *lost* there, and the
    drift says how far the belt can have run meanwhile.
    """

    def __init__(self, camera: str, limits: BeltLimits) -> None:
        self.source = camera
        self.session: int | None = None
        self.begins = Position(0.0)
        """Where the session's way begins, in the source's own millimetres."""
        self._limits = limits
        self._newest: tuple[int, Position] | None = None
        """The last reading in the source's own millimetres, and its time."""
        self._lost: tuple[int, str] | None = None
        """When the way was lost last, and why."""

    def resume(self, session: int, begins: Position, mono_ns: int, position: Position) -> None:
        """Continue what another process read before, last of all this position."""
        self.session, self.begins, self._newest = session, begins, (mono_ns, position)

    def read(self, sight: BeltSight, odometer: MeasuredOdometer) -> None:
        """The next frame of the camera."""
        if sight.way_mm is None:
            return
        session, mono_ns = sight.frame.id.session, sight.frame.capture_mono_ns
        if session != self.session:
            self._begin(session, mono_ns)
        way = Position(sight.way_mm, sight.way_noise_mm, sight.way_drift_mm)
        position = way.shifted(self.begins.mm, self.begins.drift_mm)
        self._newest = mono_ns, position
        odometer.add(self.source, mono_ns, position)

    def lost_between(self, after_ns: int, until_ns: int) -> bool:
        """As `Encoder.lost_between`."""
        return self._lost is not None and after_ns < self._lost[0] <= until_ns

    def unknown(self, now_mono_ns: int) -> str:
        """Why the way was lost, for a while after it was; else ""."""
        if self._lost is None or now_mono_ns - self._lost[0] >= _TOLD_FOR_NS:
            return ""
        return self._lost[1]

    def _begin(self, session: int, mono_ns: int) -> None:
        self.session = session
        if self._newest is None:
            return
        last_ns, last = self._newest
        gap_s = (mono_ns - last_ns) / 1e9
        self.begins = last.shifted(0.0, self._limits.max_speed_mm_s * gap_s)
        self._lost = mono_ns, f"{self.source} was connected again: how far the belt ran in {gap_s:.1f} s is not known"
