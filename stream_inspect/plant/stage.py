"""The plant stage: what the inputs read goes to the process that follows the belt; what cannot be read is reported."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from stream_inspect.config.inputs import InputConfig
from stream_inspect.config.models import Config
from stream_inspect.messages import AnyMessage, Output, PlantReadings
from stream_inspect.plant.build import make_reader
from stream_inspect.plant.reader import PlantReader
from stream_inspect.plant.readings import message_of
from stream_inspect.plant.watch import InputWatch
from stream_inspect.stopping import PLANT_CLOSE_S
from stream_inspect.transport.wake import Wake


class _Input:
    """One configured input: its reader, and what is reported of it."""

    def __init__(self, config: InputConfig, line: str, wake: Wake) -> None:
        self.reader: PlantReader = make_reader(config, wake.set)
        self.watch = InputWatch(config.name)
        self.undelivered = 0
        """Readings whose mailbox was full."""
        self._name = config.name
        self._line = config.line or line
        self._photo_eyes = frozenset(eye.name for eye in config.photo_eyes)

    def take(self) -> list[Output]:
        """What was read since the last call."""
        readings = [
            message_of(one, line=self._line, source=self._name, photo_eyes=self._photo_eyes)
            for one in self.reader.take()
        ]
        return [Output("plant", PlantReadings(readings=readings))] if readings else []

    def update(self, now_mono_ns: int) -> None:
        self.watch.update(self.reader.error, self.reader.dropped + self.undelivered, now_mono_ns)


class PlantStage:
    """Nothing in, what the inputs of the plant say out. One that cannot be reached is a condition, not an error."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._wake = Wake()
        self.wake_fd: int | None = self._wake.fd
        self._inputs: dict[str, _Input] = {}

    def open(self) -> None:
        """Begin to read."""
        self._inputs = {one.name: _Input(one, self._config.line, self._wake) for one in self._config.inputs}
        for each in self._inputs.values():
            each.reader.open()

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        """It reads no topic."""
        return ()

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        """What was read since."""
        self._wake.clear()
        for each in self._inputs.values():
            yield from each.take()
            each.update(now_mono_ns)
            yield from each.watch.due(now_mono_ns)

    def undelivered(self, output: Output) -> None:
        """Readings were lost: that is reported."""
        if isinstance(output.message, PlantReadings):
            self._inputs[output.message.readings[0].input].undelivered += len(output.message.readings)

    def close(self) -> None:
        """Stop all of them at once."""
        until_s = time.monotonic() + PLANT_CLOSE_S
        for each in self._inputs.values():
            each.reader.stop()
        for each in self._inputs.values():
            each.reader.close(max(0.0, until_s - time.monotonic()))
        self._inputs = {}
        self._wake.close()
