"""Everything between an inspection and its events, as one stage: the service and the replay build the same one."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from stream_inspect.config.models import Config
from stream_inspect.decide.event_log import EventLog
from stream_inspect.decide.stage import DecideStage
from stream_inspect.decide.tallies import CountLog
from stream_inspect.messages import AnyMessage, Output
from stream_inspect.service.stage import HasFinish, HasHeld, Stage
from stream_inspect.track.line_belt import LineBelt
from stream_inspect.track.stage import TrackStage
from stream_inspect.transport.ledger import Ledger


def judging_chain(
    config: Config,
    log: EventLog,
    *,
    clock: Callable[[], int] = time.monotonic_ns,
    process_run: int = 0,
    ledger: Ledger | None = None,
    records: Path | None = None,
    next_run: Callable[[str], int] = lambda _: 1,
    counts: CountLog | None = None,
    kept: Collection[str] = (),
) -> Chain:
    """Track, then decide: `Inspection`, `Missed`, `BeltSight`, `Condition` and what the plant's inputs say in,
    `Tracked`, `PartVerdict`, what is shown of the parts, and `Event` out.

    Each event is in `log` before it is sent. What joins the line between the two joins it here, and is then in every
    replay. `clock` gives the nanoseconds that the frames' `capture_mono_ns` and the ticks are in: the host's, or a
    recording's own. `process_run` keeps the numbers of tracks apart over restarts, and `ledger` knows which frames may
    still come, see `TrackStage`. `records` is where the sums of parts and their places outlive the process, `next_run`
    numbers a line's runs, and `counts` keeps the counts by lot and shift, see `DecideStage` and `LineBelt`. `kept` are
    topics that no other process reads: their messages stay in the chain.
    """
    belts = [
        LineBelt(line, config.cameras_of(line.name), config.inputs, records / f"belt.{line.name}" if records else None)
        for line in config.lines
    ]
    track = TrackStage(config.cameras, config.track, belts=belts, clock=clock, process_run=process_run, ledger=ledger)
    return Chain(
        track, DecideStage(config, log, records, next_run, counts), "tracked", "parts", "conditions", kept=kept
    )


class Chain:
    """Stages run one after the other in one process: what one sends on a topic of `hand_over` reaches the next at once.

    The message is also sent to its topic, for every other reader.
    """

    def __init__(self, first: Stage, then: Stage, *hand_over: str, kept: Collection[str] = ()) -> None:
        self._first, self._then, self._hand_over, self._kept = first, then, hand_over, kept
        self.wake_fd: int | None = then.wake_fd
        """What wakes an earlier stage arrives as a message."""

    @property
    def waiting(self) -> int:
        """See `DecideStage.waiting`: the last stage is the one that writes the event log."""
        return int(getattr(self._then, "waiting", 0))

    @property
    def waiting_since_mono_ns(self) -> int:
        """See `DecideStage.waiting_since_mono_ns`."""
        return int(getattr(self._then, "waiting_since_mono_ns", 0))

    def open(self) -> None:
        self._first.open()
        self._then.open()

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        yield from self._pass_on(self._first.process(batch))
        yield from self._sent(self._then.process(batch))

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        yield from self._pass_on(self._first.tick(now_mono_ns))
        yield from self._sent(self._then.tick(now_mono_ns))

    def finish(self) -> Iterable[Output]:
        for stage, pass_on in ((self._first, self._pass_on), (self._then, self._sent)):
            if isinstance(stage, HasFinish):
                yield from pass_on(stage.finish())

    def _pass_on(self, outputs: Iterable[Output]) -> Iterable[Output]:
        for output in outputs:
            if output.topic in self._hand_over:
                yield from self._sent(self._then.process([output.message]))
            yield from self._sent([output])

    def _sent(self, outputs: Iterable[Output]) -> Iterable[Output]:
        return (output for output in outputs if output.topic not in self._kept)

    def held(self) -> dict[str, tuple[int, int]]:
        """What its stages hold."""
        return {
            what: held
            for stage in (self._first, self._then)
            if isinstance(stage, HasHeld)
            for what, held in stage.held().items()
        }

    def undelivered(self, output: Output) -> None:
        self._first.undelivered(output)
        self._then.undelivered(output)

    def close(self) -> None:
        self._then.close()
        self._first.close()
