"""The stage contract, and the one loop that runs every stage.

A stage is a plain object. It owns no socket and no signal; `run_stage` does the loop, heartbeat, metrics and stop, so
the same object runs in a test, in a local process, or in a Ray actor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from stream_inspect import metrics
from stream_inspect.log import get_logger
from stream_inspect.messages import AnyMessage, Output
from stream_inspect.stopping import DRAIN_S
from stream_inspect.transport.channel import Channels
from stream_inspect.transport.envelope import MessageTooLargeError

HELD_EVERY_S = 1.0
"""How often what a stage holds is exported."""
TICK_S = 0.05
"""A stage with nothing to do is ticked this often: the floor of every time-out and of the heartbeat."""


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
        """Release everything. Never raises."""


@runtime_checkable
class HasFinish(Protocol):
    """A stage that still holds something when its input has ended."""

    def finish(self) -> Iterable[Output]:
        """What is left, called once after the last batch of a stage that stops in good order."""


@runtime_checkable
class HasHeld(Protocol):
    """A stage with containers that grow when what empties them is slow."""

    def held(self) -> Mapping[str, tuple[int, int]]:
        """Of each such container (items, bound)."""


def run_stage(
    name: str,
    stage: Stage,
    channels: Channels,
    subscriptions: Iterable[tuple[str, str]],
    *,
    ready: Callable[[], None],
    beat: Callable[[], None],
    stopping: Callable[[], bool],
) -> None:
    """Open the stage, run it until `stopping()`, empty its mailbox, close it.

    `subscriptions` are (topic, key); `ready` is called once the stage is open, `beat` in every turn. Raises what the
    stage raises, after everything has been closed.
    """

    def send(outputs: Iterable[Output]) -> None:
        for output in outputs:
            try:
                sent = channels.send(output.topic, output.message, output.key)
            except MessageTooLargeError as error:  # trying again would not help
                metrics.MALFORMED.labels(output.topic).inc()
                _log.error("message dropped", topic=output.topic, error=str(error))
                continue
            if not sent:
                metrics.UNDELIVERED.labels(output.topic).inc()
                stage.undelivered(output)

    _log = get_logger(__name__)
    depth = metrics.QUEUE_DEPTH.labels(name)
    holder, held_at_s = stage if isinstance(stage, HasHeld) else None, 0.0
    try:
        for topic, key in subscriptions:
            channels.subscribe(topic, key)
        stage.open()
        ready()
        while not stopping():
            batch = channels.receive(TICK_S, stage.wake_fd)
            beat()
            depth.set(len(batch))
            if batch:
                send(stage.process(batch))
            send(stage.tick(time.monotonic_ns()))
            if holder is not None and time.monotonic() >= held_at_s:
                held_at_s = time.monotonic() + HELD_EVERY_S
                metrics.export_held(name, holder.held())
        drain_until = time.monotonic() + DRAIN_S
        while time.monotonic() < drain_until and (batch := channels.receive(0.0)):
            send(stage.process(batch))
        if isinstance(stage, HasFinish):
            send(stage.finish())
    finally:
        stage.close()
        channels.close()
