"""Recorded material at the pace of its recording."""

from __future__ import annotations

import time

_LONGEST_WAIT_S = 2.0
"""A longer gap in a recording is not waited out: reading must stay able to stop, and cut films have gaps of hours."""


class Pacer:
    """Holds each frame back until its time has come; the first one sets the zero."""

    def __init__(self) -> None:
        self._zero_s: float | None = None

    def wait(self, pts_s: float) -> None:
        """Sleep until `pts_s` is due. Late frames are not waited for; after a gap or a stall the zero is set anew."""
        now_s = time.monotonic()
        if self._zero_s is None:
            self._zero_s = now_s - pts_s
        ahead_s = self._zero_s + pts_s - now_s
        if not -_LONGEST_WAIT_S <= ahead_s <= _LONGEST_WAIT_S:
            ahead_s = min(max(ahead_s, 0.0), _LONGEST_WAIT_S)
            self._zero_s = now_s + ahead_s - pts_s
        if ahead_s > 0:
            time.sleep(ahead_s)
