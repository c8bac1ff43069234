"""One line's photo-eye, as its input hands it over: which changes are leading edges, and when each passed the eye."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stream_inspect.config.sections.lines import EyeConfig
from stream_inspect.log import get_logger
from stream_inspect.messages import PartChange, PlantValue, Trigger
from stream_inspect.track.part_signals import PartSignal

_PLACED_WITHIN = 0.25
"""Of the spacing of parts: if the belt may have moved farther while an edge was waited for, its place is not known."""


_TOLD_FOR_NS = 2 * 10**9
"""What was wrong with a trigger is reported for this long."""


class Passed(NamedTuple):
    """What passed the eye between two times, in ns: so many parts at least."""

    parts: int
    after_ns: int
    mono_ns: int
    serial: str = ""
    is_counted: bool = False
    """Whether there were no more: a counter says so."""
    unseen_mm: float = 0.0
    """Way of the belt within which nothing can have passed besides."""
    problem: str = ""


class PhotoEyeInput:
    """Messages of the input in, `PartChange` out, once the belt's position at their time is settled.

    A level is a part when it turns on. A counter's step is as many parts as it says; so is one over an outage, but
    where they lie is known only to the way that the belt ran meanwhile. What a level did in an outage is not known: the
    belt that ran past is one part, in doubt; so it is when a counter was set. What each is, `signal` says.
    `counter_bits` is the counter's width where it is known, `spacing_mm` how near parts can follow each other, and
    `fastest_mm_s` how fast the belt can run: what counts faster is a counter that was set.
    """

    def __init__(
        self,
        eye: EyeConfig,
        photo_eye: str,
        signal: PartSignal,
        *,
        spacing_mm: float,
        counter_bits: int | None,
        fastest_mm_s: float,
    ) -> None:
        self._config = eye
        self._name = photo_eye
        self._signal = signal
        self._spacing_mm = spacing_mm
        self._bits = counter_bits
        self._fastest_mm_s = fastest_mm_s
        self._serial = ""
        self.counted: tuple[int, int] | None = None
        """The counter as it was last seen, and when."""
        self._waiting: deque[Passed] = deque()
        self._new_problem = ""
        self._problem = "", 0
        """What was wrong, and until when that is reported."""
        self._log = get_logger(__name__, stage="track", input=eye.input)

    def read(self, message: Trigger | PlantValue) -> None:
        """A message of any input of the line; those of others are passed over."""
        if message.input != self._config.input:
            return
        if isinstance(message, PlantValue):
            if message.name == self._config.serial:
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
        self._note(passed.problem)
        way_mm = abs(here_mm - before_mm)
        if passed.parts == 1 and not passed.problem and way_mm <= _PLACED_WITHIN * self._spacing_mm:
            middle_ns = (passed.after_ns + passed.mono_ns) // 2
            changes = self._signal.trigger(middle_ns, (before_mm + here_mm) / 2, passed.serial)
            self._note(self._signal.problem)
            return changes
        if passed.is_counted:
            self._note(f"{passed.parts} parts passed while it was not read")
            pitch_mm = max(here_mm - before_mm, 0.0) / passed.parts
            places = (here_mm - pitch_mm * n for n in reversed(range(passed.parts)))
            return [change for place_mm in places for change in self._signal.unread(passed.mono_ns, place_mm)]
        if way_mm <= passed.unseen_mm:
            return []
        self._note(passed.problem or f"not read while the belt ran {way_mm:.0f} mm")
        return self._signal.unwatched(passed.mono_ns, min(before_mm, here_mm), max(before_mm, here_mm))

    def place_nowhere(self, passed: Passed, known_mm: float) -> list[PartChange]:
        """The parts that passed where the belt's position is not known: they are counted where that was last known."""
        self._note(passed.problem)
        self._signal.interrupt()
        return [change for _ in range(passed.parts) for change in self._signal.unplaced(passed.mono_ns, known_mm)]

    def problem(self, now_mono_ns: int) -> str:
        """What was wrong with the last triggers; "" while nothing is."""
        if self._new_problem:
            self._problem = self._new_problem, now_mono_ns + _TOLD_FOR_NS
            self._new_problem = ""
        text, until_ns = self._problem
        return text if now_mono_ns < until_ns else ""

    def interrupt(self) -> None:
        """The odometer does not continue."""
        self._signal.interrupt()

    def _note(self, problem: str) -> None:
        if problem:
            self._new_problem = f"photo-eye {self._name}: {problem}"

    def _passed(self, trigger: Trigger) -> Passed | None:
        if not isinstance(trigger.value, bool):
            return self._counted_parts(trigger)
        from_ns, mono_ns = trigger.after_ns, trigger.mono_ns
        if from_ns is None:
            if (from_ns := trigger.unread_from_ns) is None:
                return None
            # As before, and perhaps not in between: while it is covered, that takes no more than the gap to the next.
            unseen_mm = _PLACED_WITHIN * self._spacing_mm if trigger.value else self._spacing_mm
            return Passed(0, from_ns, mono_ns, unseen_mm=unseen_mm)
        if trigger.value:
            return Passed(1, from_ns, mono_ns, self._serial)
        return Passed(0, from_ns, mono_ns, unseen_mm=self._spacing_mm)

    def _counted_parts(self, trigger: Trigger) -> Passed | None:
        known, self.counted = self.counted, (trigger.value, trigger.mono_ns)
        if known is None:
            return None
        count, seen_ns = known
        after_ns = seen_ns if trigger.after_ns is None else trigger.after_ns
        parts = trigger.value - count
        if self._bits is not None:
            parts %= 1 << self._bits
        most_mm = self._fastest_mm_s * (trigger.mono_ns - seen_ns) / 1e9 + self._spacing_mm
        if not 0 <= parts * self._spacing_mm <= most_mm:
            self._log.warning("photo-eye's counter was set", name=trigger.name, before=count, now=trigger.value)
            return Passed(
                1,
                after_ns,
                trigger.mono_ns,
                unseen_mm=_PLACED_WITHIN * self._spacing_mm,
                problem=f"its counter was set from {count} to {trigger.value}",
            )
        return Passed(parts, after_ns, trigger.mono_ns, self._serial, is_counted=True) if parts else None
