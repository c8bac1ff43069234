"""Reports that one of the line's processes is down: only the supervisor knows, and its log is not read at night."""

from __future__ import annotations

import time

from stream_inspect.levels import Levels
from stream_inspect.messages import ConditionKind
from stream_inspect.transport.channel import Channels

DOWN_AFTER_S = 5.0
"""A process that runs again sooner, at the first attempt, is not an event: judging has hardly stopped."""
DOWN_AFTER_FAILURES = 2


class DownReport:
    """Sends PROCESS_DOWN, one source for each process."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._levels: dict[str, Levels] = {}

    def update(self, failures: dict[str, tuple[int, float]]) -> None:
        """`failures` is, for each process, (failures in a row, seconds for which it has not been running)."""
        now_mono_ns = time.monotonic_ns()
        for process, (in_a_row, down_s) in failures.items():
            levels = self._levels.setdefault(process, Levels(process))
            down = in_a_row >= DOWN_AFTER_FAILURES or (in_a_row > 0 and down_s > DOWN_AFTER_S)
            levels.set(ConditionKind.PROCESS_DOWN, down, _detail(process, in_a_row, down_s) if down else "")
            for output in levels.due(now_mono_ns):
                # A full mailbox means that `track` itself is down: no process would read it.
                self._channels.send(output.topic, output.message)

    def close(self) -> None:
        self._channels.close()


def _detail(process: str, in_a_row: int, down_s: float) -> str:
    if in_a_row >= DOWN_AFTER_FAILURES:
        return f"{process} has failed {in_a_row} times in a row"
    return f"{process} has not been running for {down_s:.0f} s"
