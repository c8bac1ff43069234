"""The stage contract, and the one loop that runs every stage.

A stage is a plain object. It owns no socket and no signal; `run_stage` does the loop, heartbeat, metrics and stop, so
the same object runs in a test, in a local process, or in a Ray actor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from stream_inspect.messages import AnyMessage, Output


class Stage(Protocol):
    """One step of the line."""

    wake_fd: int | None
    """A file descriptor that becomes readable when `tick` has something to do (capture's reader), or None."""

    def open(self) -> None:
        """Get ready: files, models, connections. Raises to be restarted with back-off."""

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        """Handle what arrived, oldest first."""

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        """Called after every batch and at least every `TICK_S`: time-outs, housekeeping, and what a source produces."""

    def undelivered(self, output: Output) -> None:
        """This output found its mailbox full and was not sent: account for it."""

    def close(self) -> None:
        """Let go of everything. Never raises."""
