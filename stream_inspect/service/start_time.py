"""How long a start of the service takes until its first frame is judged: measured, and kept for the next one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from stream_inspect.log import get_logger
from stream_inspect.store.durable import whole_file
from stream_inspect.store.files import start_file


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What the last start took, in seconds: until all processes ran, their models loaded, and until judging began."""

    running_after_s: float
    judging_after_s: float


class StartTime:
    """Measures one start, from its making on. The last one is None where none was measured, or with another file."""

    def __init__(self, state_dir: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._path = start_file(state_dir)
        self._clock_s = clock_s
        self._began_s = clock_s()
        self._running_after_s: float | None = None
        self._is_judging = False
        self._log = get_logger("supervisor")
        self.last: Start | None = None
        with suppress(OSError, msgspec.DecodeError, msgspec.ValidationError):
            self.last = msgspec.json.decode(self._path.read_bytes(), type=Start)

    @property
    def judging_in_s(self) -> float | None:
        """In about how many seconds judging begins; None once it has begun, and where nothing is known of it."""
        if self._is_judging or self.last is None:
            return None
        return max(0.0, round(self.last.judging_after_s - self._elapsed_s, 1))

    def note(self, *, all_running: bool, judged: int) -> None:
        """How far this start is: whether all processes run, and how many frames have been judged."""
        if all_running and self._running_after_s is None:
            self._running_after_s = self._elapsed_s
        if judged and not self._is_judging:
            self._is_judging = True
            self._measured()

    @property
    def _elapsed_s(self) -> float:
        return self._clock_s() - self._began_s

    def _measured(self) -> None:
        after_s = self._elapsed_s
        running_after_s = after_s if self._running_after_s is None else self._running_after_s
        start = Start(running_after_s=round(running_after_s, 1), judging_after_s=round(after_s, 1))
        self._log.info("judging", after_s=start.judging_after_s, processes_after_s=start.running_after_s)
        with suppress(OSError), whole_file(self._path) as file:  # the next start is then without a forecast
            file.write(msgspec.json.encode(start))
