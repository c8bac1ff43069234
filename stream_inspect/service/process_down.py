"""Tells the line that one of its processes is down: only the supervisor knows, and nobody reads its log at night."""

from __future__ import annotations

import time

from stream_inspect.messages import Condition, ConditionKind
from stream_inspect.transport.channel import Channels

REPEAT_S = 2.0
DOWN_AFTER_S = 5.0
"""A process that is back sooner, at the first attempt, is no event: judging has hardly stopped."""
DOWN_AFTER_FAILURES = 2


class DownReport:
    """Sends PROCESS_DOWN as a level, one source a process, every `REPEAT_S`."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._next_s = 0.0
        self._since: dict[str, tuple[int, int]] = {}

    def update(self, failures: dict[str, tuple[int, float]]) -> None:
        """`failures` is, for each process, (failures in a row, seconds for which it has not been running)."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + REPEAT_S
        for process, (in_a_row, down_s) in failures.items():
            down = in_a_row >= DOWN_AFTER_FAILURES or (in_a_row > 0 and down_s > DOWN_AFTER_S)
            if not down:
                self._since.pop(process, None)
            since_mono_ns, since_utc_ns = (
                self._since.setdefault(process, (time.monotonic_ns(), time.time_ns()))
                if down
                else (time.monotonic_ns(), time.time_ns())
            )
            # A full mailbox means that `track` itself is down: there is nobody to tell.
            self._channels.send(
                "conditions",
                Condition(
                    camera="",
                    kind=ConditionKind.PROCESS_DOWN,
                    active=down,
                    source=process,
                    detail=_detail(process, in_a_row, down_s) if down else "",
                    mono_ns=since_mono_ns,
                    utc_ns=since_utc_ns,
                ),
            )

    def close(self) -> None:
        self._channels.close()


def _detail(process: str, in_a_row: int, down_s: float) -> str:
    if in_a_row >= DOWN_AFTER_FAILURES:
        return f"{process} has failed {in_a_row} times in a row"
    return f"{process} has not been running for {down_s:.0f} s"
