"""The synthetic line with a belt that stops and starts again; the lamp flickers and the sensor's noise goes on."""

from __future__ import annotations

from stream_inspect.sim.line import SyntheticLine, _noise_fields

RUN_IN_S = 2.0
"""The belt has run for this long before the first frame: parts are in view."""


class StandingLine(SyntheticLine):
    """Stands from `stops_at_s` for `stands_s`. Frame 0 shows the belt with parts."""

    def __init__(
        self,
        *args: float,
        stops_at_s: float,
        stands_s: float = 3600.0,
        noise: float | None = None,
        **settings: float,
    ) -> None:
        self._stop, self._stand = stops_at_s, stands_s
        super().__init__(*args, **settings)  # type: ignore[arg-type]
        if noise is not None:
            self._noise = _noise_fields(self.seed, noise, self.width_px, self.height_px)

    def _travel_px(self, index: int) -> int:
        at_s = index / self.fps
        ran_s = RUN_IN_S + min(at_s, self._stop) + max(0.0, at_s - self._stop - self._stand)
        return super()._travel_px(round(ran_s * self.fps))
