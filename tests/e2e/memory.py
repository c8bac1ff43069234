"""How the memory of each process of a service grows, in MB an hour, with how far that is known."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scipy.stats import theilslopes

from tests.e2e.service import Service

SAMPLE_EVERY_S = 5.0
ENOUGH_S = 1800.0
"""A shorter run knows no slope: one block of 1 MB that an allocator takes once is 12 MB/h in five minutes."""
_BLOCK_S = 120.0
"""The slope is that of the lowest sample of so long: a process gives back once a minute what it has freed
(`service/heap.py`), and what it takes meanwhile for a clip or a batch is no growth."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Of one process: the slope of its memory with its 95 % interval, in MB an hour, and how it stood."""

    process: str
    minutes: float
    first_mb: float
    last_mb: float
    mb_per_hour: float
    from_mb_per_hour: float
    to_mb_per_hour: float
    pss_mb: float
    """All of its memory at the end, its part of what is shared included."""

    def __str__(self) -> str:
        return (
            f"| {self.process} | {self.minutes:.0f} | {self.first_mb:.1f} | {self.last_mb:.1f} "
            f"| {self.mb_per_hour:+.2f} | {self.from_mb_per_hour:+.2f} to {self.to_mb_per_hour:+.2f} "
            f"| {self.pss_mb:.0f} |"
        )


HEADER = """\
| process | minutes | own memory first, MB | last, MB | MB an hour | 95 % interval | PSS, MB |
|---|---|---|---|---|---|---|"""


class MemoryWatch:
    """Samples every process of a service from a thread, until closed.

    What counts is a process's own memory (`Pss_Anon`: heaps and stacks). Frames and libraries are shared: their share
    of a process changes when another one is restarted, which is no growth. The shared files have a fixed size.
    """

    def __init__(self, service: Service, *, sample_every_s: float = SAMPLE_EVERY_S) -> None:
        self._service = service
        self._every_s = sample_every_s
        self._samples: dict[tuple[str, int], list[tuple[float, float, float]]] = defaultdict(list)
        """(row, pid) -> (monotonic time, own MB, PSS MB)."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(10)

    def growth(self, warm_up_s: float) -> list[Growth]:
        """Of each row's longest process, once it has been watched for so long: one that was killed begins again."""
        longest: dict[str, list[tuple[float, float, float]]] = {}
        for (row, _), samples in self._samples.items():
            late = [sample for sample in samples if sample[0] >= samples[0][0] + warm_up_s]
            if len(late) > len(longest.get(row, [])):
                longest[row] = late
        return [_growth(row, samples) for row, samples in sorted(longest.items())]

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            pids = {row: child.pid for row, child in self._service.children().items()}
            for row, pid in {"supervisor": self._service.process.pid, **pids}.items():
                with contextlib.suppress(OSError):  # it has just exited
                    own_mb, pss_mb = own_and_pss_mb(pid)
                    self._samples[row, pid].append((time.monotonic(), own_mb, pss_mb))


def own_and_pss_mb(pid: int) -> tuple[float, float]:
    """(own, PSS) of a process. Raises OSError when there is none."""
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    own, pss = (int(fields[name].split()[0]) / 1024 for name in ("Pss_Anon", "Pss"))
    return own, pss


def _growth(row: str, samples: list[tuple[float, float, float]]) -> Growth:
    blocks: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for at_s, own_mb, _ in samples:
        blocks[int((at_s - samples[0][0]) / _BLOCK_S)].append((at_s / 3600, own_mb))
    hours = [median(at for at, _ in block) for block in blocks.values()]
    sizes = [min(size for _, size in block) for block in blocks.values()]
    slope, _, low, high = theilslopes(sizes, hours) if len(sizes) > 2 else (0.0, 0.0, float("-inf"), float("inf"))
    return Growth(row, (samples[-1][0] - samples[0][0]) / 60, sizes[0], sizes[-1], slope, low, high, samples[-1][2])
