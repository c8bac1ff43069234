"""How long to wait before the next attempt to connect."""

from __future__ import annotations

import random

_FIRST_S = 0.1
_LONGEST_S = 1.0


class Backoff:
    """0.1 s, doubled with every failure up to 1 s, each time shortened by up to half at random.

    The randomness keeps the cameras of a site from knocking all at once after a power cut.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()
        self._failures = 0

    def next_s(self) -> float:
        """The time to wait after one more failure."""
        longest = min(_LONGEST_S, _FIRST_S * 2 ** min(self._failures, 10))
        self._failures += 1
        return max(_FIRST_S, self._rng.uniform(longest / 2, longest))

    def reset(self) -> None:
        """The source works again."""
        self._failures = 0
