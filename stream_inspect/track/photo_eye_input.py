"""One line's photo-eye, as its input hands it over: which changes are parts, and when each passed the eye."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stream_inspect.config.sections.lines import TriggerParts
from stream_inspect.log import get_logger
from stream_inspect.messages import PartChange, PlantValue, Trigger
from stream_inspect.track.part_signals import PhotoEye

_BOUNCE = 0.1
"""Of a part's length: two edges that are nearer are one."""
_PLACED_WITHIN = 0.25
"""Of a part's length: when the belt may have moved farther while the edge was waited for, the place is not known."""


class Passed(NamedTuple):
    """So many parts passed the eye between two times, in ns."""

    parts: int
    after_ns: int
    mono_ns: int
    serial: str


class PhotoEyeInput:
    """Messages of the input in, `PartChange` out, once the belt's position at their time is settled.

    A level is a part when it turns on. A counter's step is as many parts as it says; so is one over an outage, but
    where they lie is known only to the way that the belt ran meanwhile. `counter_bits` is the counter's width where it
    is known, and `fastest_mm_s` how fast the belt can run: what counts faster is a counter that was set.
    """

    def __init__(self, parts: TriggerParts, photo_eye: str, *, counter_bits: int | None, fastest_mm_s: float) -> None:
        self._parts = parts
        self._name = photo_eye
        self._bits = counter_bits
        self._fastest_mm_s = fastest_mm_s
        self._eye = PhotoEye(parts.at_mm, parts.length_mm, _BOUNCE * parts.length_mm)
        self._serial = ""
        self.counted: tuple[int, int] | None = None
        """The counter as it was last seen, and when."""
        self._waiting: deque[Passed] = deque()
        self._log = get_logger(__name__, stage="track", input=parts.input)

    def read(self, message: Trigger | PlantValue) -> None:
        """A message of any input of the line; those of others are passed over."""
        if message.input != self._parts.input:
            return
        if isinstance(message, PlantValue):
            if message.name == self._parts.serial:
                self._serial = str(message.value)
        elif message.name == self._name and (passed := self._passed(message)) is not None:
            self._serial = ""
            self._waiting.append(passed)

    def take(self, ready: Callable[[int], bool]) -> Iterator[Passed]:
        """What has passed, in order, up to the first whose time is not `ready`."""
        while self._waiting and ready(self._waiting[0].mono_ns):
            yield self._waiting.popleft()

    def place(self, passed: Passed, before_mm: float, here_mm: float) -> list[PartChange]:
        """The parts that passed while the belt ran from one position to the other."""
        way_mm = here_mm - before_mm
        if passed.parts == 1 and abs(way_mm) <= _PLACED_WITHIN * self._parts.length_mm:
            middle_ns = (passed.after_ns + passed.mono_ns) // 2
            return self._eye.trigger(middle_ns, (before_mm + here_mm) / 2, passed.serial)
        pitch_mm = max(way_mm, 0.0) / passed.parts
        return [self._eye.unread(passed.mono_ns, here_mm - pitch_mm * n) for n in reversed(range(passed.parts))]

    def place_nowhere(self, passed: Passed, known_mm: float) -> list[PartChange]:
        """The parts that passed where the belt's position is not known: they are counted where that was last known."""
        self._eye.interrupt()
        return [self._eye.unplaced(passed.mono_ns, known_mm) for _ in range(passed.parts)]

    def interrupt(self) -> None:
        """The odometer does not continue."""
        self._eye.interrupt()

    def _passed(self, trigger: Trigger) -> Passed | None:
        if isinstance(trigger.value, bool):
            if not trigger.value or trigger.after_ns is None:
                return None
            return Passed(1, trigger.after_ns, trigger.mono_ns, self._serial)
        known, self.counted = self.counted, (trigger.value, trigger.mono_ns)
        if known is None:
            return None
        count, seen_ns = known
        after_ns = seen_ns if trigger.after_ns is None else trigger.after_ns
        parts = trigger.value - count
        if self._bits is not None:
            parts %= 1 << self._bits
        most_mm = self._fastest_mm_s * (trigger.mono_ns - seen_ns) / 1e9 + self._parts.length_mm
        if not 0 <= parts * self._parts.length_mm <= most_mm:
            self._log.warning("photo-eye's counter was set", name=trigger.name, before=count, now=trigger.value)
            return None
        return Passed(parts, after_ns, trigger.mono_ns, self._serial) if parts else None
