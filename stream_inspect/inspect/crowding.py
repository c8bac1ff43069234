"""Warns of a threshold so low that most pictures have more boxes above it than are compared."""

from __future__ import annotations

from stream_inspect.log import get_logger

WINDOW_PICTURES = 64
"""Pictures that are counted before one defect is blamed, or no longer."""


class Crowding:
    """Counts the pictures whose boxes were cut to the best; logs a change once."""

    def __init__(self) -> None:
        self._pictures = 0
        self._blamed: dict[str, int] = {}
        self._warned = ""
        self._log = get_logger(__name__)

    def judged(self, crowding: str | None) -> None:
        """A picture was judged; `crowding` is the defect with most boxes where there were too many."""
        self._pictures += 1
        if crowding is not None:
            self._blamed[crowding] = self._blamed.get(crowding, 0) + 1
        if self._pictures < WINDOW_PICTURES:
            return
        worst = max(self._blamed, key=lambda name: (self._blamed[name], name), default="")
        crowded = sum(self._blamed.values()) > WINDOW_PICTURES / 2
        self._pictures, self._blamed = 0, {}
        if crowded and worst != self._warned:
            self._log.warning("threshold too low: most pictures have too many boxes above it", defect=worst)
            self._warned = worst
        elif not crowded and self._warned:
            self._log.info("boxes above the threshold are few again", defect=self._warned)
            self._warned = ""
