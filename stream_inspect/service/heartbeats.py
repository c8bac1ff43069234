"""Heartbeat table in shared memory: one row a process of the run, with its state, its last heartbeat and its vitals.

Each process writes its own row, and the supervisor reads them all. Every field is one aligned 8-byte store, so that a
killed process leaves no half-written row.
"""

from __future__ import annotations

import os
import time
from enum import IntEnum
from pathlib import Path

import numpy as np


class ProcessState(IntEnum):
    """The state that a process last reported."""

    STARTING = 0
    RUNNING = 1
    STOPPED = 2
    ENDED = 3  # a finite source has been read to its end; the process keeps running


VITALS = ("longest_batch_ns", "waiting", "waiting_since_mono_ns", "stated_rate_mhz")
"""Attributes of a stage that go with each heartbeat, whole numbers; 0 where there is nothing to report.

`longest_batch_ns`: how long the longest recent batch took. `waiting`: events that are not in the event log yet;
`waiting_since_mono_ns`: since when it has taken none of them. `stated_rate_mhz`: frames in 1000 s, as
the camera states.
"""

_OWNER, _STATE, _BEAT_MONO_NS = range(3)
_FIRST_VITAL = 3
_COLUMNS = _FIRST_VITAL + len(VITALS)


class HeartbeatTable:
    """(row, column) int64 in a memory-mapped file."""

    def __init__(self, path: Path, rows: int, *, create: bool = False) -> None:
        if create:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, rows * _COLUMNS * 8)
        self._cells = np.memmap(path, dtype=np.int64, mode="r+", shape=(rows, _COLUMNS))

    def start(self, row: int, owner: int) -> None:
        """The supervisor is about to start this row's process."""
        self._cells[row, _STATE] = ProcessState.STARTING
        self._cells[row, _BEAT_MONO_NS] = time.monotonic_ns()
        self._cells[row, _FIRST_VITAL:] = 0
        self._cells[row, _OWNER] = owner

    def set_state(self, row: int, state: ProcessState) -> None:
        """The process reports its state, which is a heartbeat too: a long start is not a silence."""
        self.beat(row)
        self._cells[row, _STATE] = state

    def beat(self, row: int) -> None:
        """The process reports that it is not stuck."""
        self._cells[row, _BEAT_MONO_NS] = time.monotonic_ns()

    def set_vitals(self, row: int, stage: object) -> None:
        """The process reports the `VITALS` of its stage."""
        for column, name in enumerate(VITALS, _FIRST_VITAL):
            self._cells[row, column] = getattr(stage, name, 0)

    def vital(self, row: int, name: str) -> int:
        """One of `VITALS`, as this row's process last reported it."""
        return int(self._cells[row, _FIRST_VITAL + VITALS.index(name)])

    def longest_batch_s(self, row: int) -> float:
        """Seconds of the longest recent batch of this row's process; 0 where none has been measured."""
        return self.vital(row, "longest_batch_ns") / 1e9

    def state(self, row: int) -> ProcessState:
        """The state that the process last reported."""
        return ProcessState(int(self._cells[row, _STATE]))

    def silence_s(self, row: int) -> float:
        """Seconds since the last heartbeat."""
        return (time.monotonic_ns() - int(self._cells[row, _BEAT_MONO_NS])) / 1e9
