"""The lot on a line, as a text of its input names it."""

from __future__ import annotations

from collections import deque

from stream_inspect.config.sections.lines import LotConfig
from stream_inspect.messages import BeltReading, PlantValue, Trigger

_MOST_WAITING = 1024
"""Changes that no frame was captured after yet; of an input that sends more of them the latest are kept."""


class LotInput:
    """Messages of the inputs in; which lot was on the line at a time out. An input that is silent changes nothing."""

    def __init__(self, lot: LotConfig) -> None:
        self._lot = lot
        self._now = ""
        self._waiting: deque[tuple[int, str]] = deque(maxlen=_MOST_WAITING)

    def read(self, message: BeltReading | Trigger | PlantValue) -> None:
        """What an input says; what is not this text is passed over."""
        if isinstance(message, PlantValue) and (message.input, message.name) == (self._lot.input, self._lot.text):
            self._waiting.append((message.mono_ns, str(message.value)))

    def at(self, mono_ns: int) -> str:
        """The lot at this time, which is not before that of the last call; "" while none is known."""
        while self._waiting and self._waiting[0][0] <= mono_ns:
            self._now = self._waiting.popleft()[1]
        return self._now
