"""How long to wait before the next attempt at what keeps failing."""

from __future__ import annotations

import random
from collections.abc import Sequence


def doubling_s(first_s: float, longest_s: float) -> tuple[float, ...]:
    """Waits from `first_s`, each twice the one before, up to `longest_s`."""
    waits_s: list[float] = []
    while (wait_s := first_s * 2 ** len(waits_s)) < longest_s:
        waits_s.append(wait_s)
    return (*waits_s, longest_s)


class Backoff:
    """The waits of a list, one after each failure in a row; the last one is repeated.

    With `jitter` (0..1) a wait is shortened at random by up to this share, though not below the first of the list, so
    that what failed together is not tried again together.
    """

    def __init__(self, waits_s: Sequence[float], jitter: float = 0.0, rng: random.Random | None = None) -> None:
        self._waits_s = waits_s
        self._jitter = jitter
        self._rng = rng or random.Random()
        self.failures = 0
        """Failures in a row."""

    def next_s(self) -> float:
        """The time to wait after one more failure."""
        longest_s = self._waits_s[min(self.failures, len(self._waits_s) - 1)]
        self.failures += 1
        return self._rng.uniform(max(self._waits_s[0], (1 - self._jitter) * longest_s), longest_s)

    def reset(self) -> None:
        """It has worked."""
        self.failures = 0
