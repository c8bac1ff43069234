"""Stages that run one after the other in one process, as one stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stream_inspect.messages import AnyMessage, Output
from stream_inspect.service.stage import HasFinish, Stage


class Chain:
    """Stages run one after the other in one process: what one sends on `hand_over` reaches the next one at once.

    The message is also sent to its topic, for whoever else listens.
    """

    wake_fd: int | None = None

    def __init__(self, first: Stage, then: Stage, hand_over: str) -> None:
        self._first, self._then, self._hand_over = first, then, hand_over

    def open(self) -> None:
        self._first.open()
        self._then.open()

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        yield from self._pass_on(self._first.process(batch))
        yield from self._then.process(batch)

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        yield from self._pass_on(self._first.tick(now_mono_ns))
        yield from self._then.tick(now_mono_ns)

    def finish(self) -> Iterable[Output]:
        for stage, pass_on in ((self._first, self._pass_on), (self._then, iter)):
            if isinstance(stage, HasFinish):
                yield from pass_on(stage.finish())

    def _pass_on(self, outputs: Iterable[Output]) -> Iterable[Output]:
        for output in outputs:
            if output.topic == self._hand_over:
                yield from self._then.process([output.message])
            yield output

    def undelivered(self, output: Output) -> None:
        self._first.undelivered(output)
        self._then.undelivered(output)

    def close(self) -> None:
        self._then.close()
        self._first.close()
