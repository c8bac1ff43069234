"""Gives back to the system what the C library keeps of freed memory.

The library keeps whatever lies below the last block in use, in each thread's heap. A peak now and then (a locked event
log, a full queue) so leaves a heap that is larger by what was free at that moment: `track` grew by a megabyte in an
hour though nothing more was in use, which looks like a leak and hides one.
"""

from __future__ import annotations

import ctypes
import time

EVERY_S = 60.0
"""Takes a fraction of a millisecond; what is needed again costs a page fault for each 4 kB."""

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""None where the C library is not glibc."""


def give_back() -> None:
    """Give back the pages of all heaps that hold no block in use."""
    if _trim is not None:
        _trim(0)


class HeapTrimmer:
    """Call `beat` in every turn of a loop."""

    def __init__(self) -> None:
        self._at_s = time.monotonic() + EVERY_S

    def beat(self) -> None:
        """Give back what is free, every `EVERY_S`."""
        if (now_s := time.monotonic()) >= self._at_s:
            self._at_s = now_s + EVERY_S
            give_back()
