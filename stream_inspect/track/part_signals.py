"""Parts that no picture has to find: a photo-eye says when one passes, or they come at a fixed pitch."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple, Protocol

from stream_inspect.messages import Doubt, Interval, PartChange, What

_REMEMBERED = 256
"""Parts of a photo-eye that a late or repeated trigger is compared with."""
_FOLLOWED = 0.25
"""Share of a leading edge's distance from its place by which the places are moved."""
_IN_STEP = 0.25
"""Share of the pitch beyond which a leading edge is not where the pitch has it."""


class PartSignal(Protocol):
    """What a photo-eye's triggers are handed to. `odometer_mm` is the belt's position, in the time of the trigger."""

    problem: str
    """What was wrong with the last trigger; "" for one that was right."""

    def trigger(self, mono_ns: int, odometer_mm: float, serial: str = "") -> list[PartChange]:
        """A leading edge; it may come after later ones."""

    def unwatched(self, mono_ns: int, from_mm: float, to_mm: float) -> list[PartChange]:
        """A stretch of belt that ran past the eye while that was not read: what lay on it is not known."""

    def unread(self, mono_ns: int, odometer_mm: float) -> list[PartChange]:
        """One that passed while the eye was not read, so that its place is only about this one."""

    def unplaced(self, mono_ns: int, odometer_mm: float) -> list[PartChange]:
        """One that passed while the odometer was not known: this place is as good as any."""

    def interrupt(self) -> None:
        """The odometer does not continue: no later trigger is compared with a known part."""


class Pitch:
    """Places at a fixed pitch along the belt, numbered as they come: place n begins at the phase and n pitches.

    Without a `phase_mm` the first leading edge that is seen gives it. Each further one draws it nearer to where it was
    seen, so that a pitch that is a little wrong does not add up.
    """

    def __init__(self, pitch_mm: float, length_mm: float, phase_mm: float | None = None) -> None:
        self._pitch_mm = pitch_mm
        self._length_mm = length_mm
        self._stated_mm = phase_mm
        self._phase_mm = phase_mm or 0.0
        self.is_known = phase_mm is not None
        """Whether it is known where places begin."""

    def see(self, leading_mm: float) -> tuple[int, bool]:
        """The place of a leading edge, and whether it is so far from where that begins that it may be another's."""
        if not self.is_known:
            self.is_known, self._phase_mm = True, leading_mm
        place = round((leading_mm - self._phase_mm) / self._pitch_mm)
        off_mm = leading_mm - self.along(place).low
        self._phase_mm += _FOLLOWED * off_mm
        return place, abs(off_mm) > _IN_STEP * self._pitch_mm

    def last_begun(self, s_mm: float) -> int:
        """The newest place that begins no farther upstream than this."""
        return math.floor((s_mm - self._phase_mm) / self._pitch_mm)

    def along(self, place: int) -> Interval:
        """Where the part in this place lies."""
        leading_mm = self._phase_mm + place * self._pitch_mm
        return Interval(leading_mm, leading_mm + self._length_mm)

    def forget(self) -> None:
        """The odometer does not continue: a phase that was seen is not one any more."""
        self.is_known = self._stated_mm is not None


class _Known(NamedTuple):
    """A part of a photo-eye, where its leading edge was seen, and its place where there is a pitch."""

    leading_mm: float
    place: int | None
    part: PartChange


class PhotoEye:
    """Position FIFO: a part of `length_mm` for each trigger, at the odometer's reading of the trigger's own time.

    The eye sees leading edges at `eye_mm` on the line. Triggers nearer than `bounce_mm` to a known one are that one
    again, late or not. A trigger within the length of a known part is a doubt about that part, and not a second part.
    With a `pitch` it is a shift register: the eye says which places are occupied, and the pitch where they lie.
    """

    def __init__(self, eye_mm: float, length_mm: float, bounce_mm: float, pitch: Pitch | None = None) -> None:
        self._eye_mm = eye_mm
        self._length_mm = length_mm
        self._bounce_mm = bounce_mm
        self._pitch = pitch
        self._next_number = 1
        self._parts: deque[_Known] = deque(maxlen=_REMEMBERED)
        self.problem = ""

    def trigger(self, mono_ns: int, odometer_mm: float, serial: str = "") -> list[PartChange]:
        self.problem = ""
        leading = odometer_mm - self._eye_mm
        index = min(range(len(self._parts)), key=lambda at: abs(leading - self._parts[at].leading_mm), default=None)
        if index is not None and (off_mm := abs(leading - self._parts[index].leading_mm)) < self._length_mm:
            self.problem = f"two triggers {off_mm:.0f} mm apart, parts are {self._length_mm:g} mm long"
            return self._again(index, None if off_mm <= self._bounce_mm else Doubt.TWO_TRIGGERS, serial)
        place, along, doubt = None, Interval(leading, leading + self._length_mm), None
        if self._pitch is not None:
            place, is_off = self._pitch.see(leading)
            taken = [at for at, known in enumerate(self._parts) if known.place == place]
            if taken:
                self.problem = "two triggers in one place of the pitch"
                return self._again(taken[0], Doubt.TWO_TRIGGERS, serial)
            along, doubt = self._pitch.along(place), Doubt.OUT_OF_STEP if is_off else None
            self.problem = "a trigger between two places of the pitch" if is_off else ""
        part = self._entered(mono_ns, along, doubt, serial)
        self._parts.append(_Known(leading, place, part))
        return [part]

    def unread(self, mono_ns: int, odometer_mm: float) -> list[PartChange]:
        leading = odometer_mm - self._eye_mm
        return [self._entered(mono_ns, Interval(leading, leading + self._length_mm), Doubt.UNREAD)]

    def unwatched(self, mono_ns: int, from_mm: float, to_mm: float) -> list[PartChange]:
        along = Interval(from_mm - self._eye_mm, to_mm - self._eye_mm + self._length_mm)
        return [self._entered(mono_ns, along, Doubt.UNREAD)]

    def unplaced(self, mono_ns: int, odometer_mm: float) -> list[PartChange]:
        leading = odometer_mm - self._eye_mm
        return [self._entered(mono_ns, Interval(leading, leading + self._length_mm))]

    def interrupt(self) -> None:
        self._parts.clear()
        if self._pitch is not None:
            self._pitch.forget()

    def _entered(self, mono_ns: int, along: Interval, doubt: Doubt | None = None, serial: str = "") -> PartChange:
        number, self._next_number = self._next_number, self._next_number + 1
        return PartChange(What.ENTERED, number, 0, along, mono_ns, doubt, serial)

    def _again(self, index: int, doubt: Doubt | None, serial: str) -> list[PartChange]:
        """The part at `index` with what this trigger adds, if that is anything."""
        known = self._parts[index].part
        doubt, serial = doubt or known.doubt, serial or known.serial
        if (doubt, serial) == (known.doubt, known.serial):
            return []
        after = PartChange(What.UPDATED, known.number, known.lane, known.along, known.mono_ns, doubt, serial)
        self._parts[index] = self._parts[index]._replace(part=after)
        return [after]


class EveryPlace:
    """Shift register: each place is a part, whether or not there is something in it.

    A part enters when its leading edge passes `entry_mm` on the line. With `eye_mm`, the photo-eye there sees where
    places begin, and nothing is known of them before its first trigger.
    """

    def __init__(self, pitch: Pitch, entry_mm: float, eye_mm: float = 0.0) -> None:
        self._pitch = pitch
        self._entry_mm = entry_mm
        self._eye_mm = eye_mm
        self._next_number = 1
        self._began_mm: float | None = None
        """What lay farther downstream at the first reading had left every camera."""
        self._entered_to: int | None = None
        """The newest place that has entered."""
        self.problem = ""

    def advance(self, mono_ns: int, odometer_mm: float, end_mm: float) -> list[PartChange]:
        """The parts that have entered by this reading, at which the cameras see the line as far as `end_mm`.

        At the first one these are also the parts that are there already. A belt that runs backwards takes none away.
        """
        if self._began_mm is None:
            self._began_mm = odometer_mm - end_mm
        if not self._pitch.is_known:
            return []
        newest = self._pitch.last_begun(odometer_mm - self._entry_mm)
        doubt = None
        if self._entered_to is None:
            doubt = Doubt.AT_START
            first = self._pitch.last_begun(self._began_mm)
            self._entered_to = first - (self._pitch.along(first).high > self._began_mm)
        places = range(self._entered_to + 1, newest + 1)
        self._entered_to = max(self._entered_to, newest)
        # The part that is passing the entry now is not on the belt yet: its trailing edge comes in.
        return [self._entered(place, mono_ns, None if place == newest else doubt) for place in places]

    def trigger(self, mono_ns: int, odometer_mm: float, serial: str = "") -> list[PartChange]:
        """A place begins."""
        _, is_off = self._pitch.see(odometer_mm - self._eye_mm)
        self.problem = "a trigger between two places of the pitch" if is_off else ""
        return []

    def unread(self, mono_ns: int, odometer_mm: float) -> list[PartChange]:
        """Nothing: places are counted by the pitch, seen or not."""
        return []

    def unwatched(self, mono_ns: int, from_mm: float, to_mm: float) -> list[PartChange]:
        """As `unread`."""
        return []

    def unplaced(self, mono_ns: int, odometer_mm: float) -> list[PartChange]:
        """As `unread`."""
        return []

    def interrupt(self) -> None:
        """The odometer does not continue: what is seen of the belt next lies there already."""
        self._began_mm, self._entered_to = None, None
        self._pitch.forget()

    def _entered(self, place: int, mono_ns: int, doubt: Doubt | None) -> PartChange:
        number, self._next_number = self._next_number, self._next_number + 1
        return PartChange(What.ENTERED, number, 0, self._pitch.along(place), mono_ns, doubt)
