"""The samples of a growing account that lie within a window of time; each watch compares the first with the last."""

from __future__ import annotations

from collections import deque
from typing import Protocol, TypeVar

LOOKS = 30
"""Samples in one window, at most."""


class Sample(Protocol):
    """What an account held at a time."""

    @property
    def at_s(self) -> float: ...


_One = TypeVar("_One", bound=Sample)


def keep(samples: deque[_One], sample: _One, window_s: float) -> None:
    """Add a sample, and forget those that the window is not needed for."""
    # The last one is replaced until it is a sample's length away from the one before it.
    if len(samples) > 1 and sample.at_s - samples[-2].at_s < window_s / LOOKS:
        samples.pop()
    samples.append(sample)
    while len(samples) > 2 and samples[1].at_s <= sample.at_s - window_s:
        samples.popleft()
