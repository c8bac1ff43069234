"""Whether every frame of a camera is accounted for, see `transport/ledger.py`."""

from __future__ import annotations

from stream_inspect.transport.ledger import Totals

_LASTS_S = 1.0
"""Of ten looks. No way of a frame makes a residual, not even for a moment: one look alone proves nothing, ten do."""


class ResidualWatch:
    """One camera's residual; give it the totals every time they are collected."""

    def __init__(self) -> None:
        self._since_s: float | None = None

    def update(self, totals: Totals, now_s: float) -> str:
        """How many frames are missing, or are there twice, in words; "" while the account closes."""
        if not totals.residual:
            self._since_s = None
            return ""
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s < _LASTS_S:
            return ""
        frames = "1 frame is" if abs(totals.residual) == 1 else f"{abs(totals.residual)} frames are"
        wrong = "not accounted for" if totals.residual > 0 else "accounted for twice"
        return f"{frames} {wrong}, of {totals.captured} captured: a fault of the program, restart the service"
