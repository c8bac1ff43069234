"""Recorded material at the pace of its recording."""

from __future__ import annotations

import time

_LONGEST_WAIT_S = 2.0
"""A longer gap in a recording is skipped: reading must be able to stop, and edited videos have gaps of hours."""


class Pacer:
    """Delays each frame until its time; the first frame sets the time origin."""

    def __init__(self) -> None:
        self._origin_s: float | None = None

    def wait(self, pts_s: float) -> None:
        """Sleep until `pts_s`. A late frame returns at once; a gap or a stall of over 2 s resets the time origin."""
        now_s = time.monotonic()
        if self._origin_s is None:
            self._origin_s = now_s - pts_s
        ahead_s = self._origin_s + pts_s - now_s
        if not -_LONGEST_WAIT_S <= ahead_s <= _LONGEST_WAIT_S:
            ahead_s = min(max(ahead_s, 0.0), _LONGEST_WAIT_S)
            self._origin_s = now_s + ahead_s - pts_s
        if ahead_s > 0:
            time.sleep(ahead_s)
