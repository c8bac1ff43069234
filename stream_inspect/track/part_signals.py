"""Parts that no picture has to find: a photo-eye says when one passes, or they come at a fixed pitch."""

from __future__ import annotations

import math
from collections import deque

from stream_inspect.messages import Doubt, Interval, PartChange, What

_REMEMBERED = 256
"""Parts of a photo-eye that a late or repeated trigger is compared with."""


class PhotoEye:
    """Position FIFO: a part of `length_mm` for each trigger, at the odometer's reading of the trigger's own time.

    The eye sees leading edges at `eye_mm` on the line. Triggers nearer than `bounce_mm` to a known one are that one
    again, late or not. A trigger within the length of a known part is a doubt about that part, and not a second part.
    """

    def __init__(self, eye_mm: float, length_mm: float, bounce_mm: float, *, lane: int = 0, first: int = 1) -> None:
        self._eye_mm = eye_mm
        self._length_mm = length_mm
        self._bounce_mm = bounce_mm
        self._lane = lane
        self._next_number = first
        self._parts: deque[PartChange] = deque(maxlen=_REMEMBERED)

    def trigger(self, mono_ns: int, odometer_mm: float, serial: str = "") -> list[PartChange]:
        """A trigger, `odometer_mm` being the reading at its time; it may come after later ones."""
        leading = odometer_mm - self._eye_mm
        index = min(range(len(self._parts)), key=lambda at: abs(leading - self._parts[at].along.low), default=None)
        if index is not None:
            known = self._parts[index]
            off_mm = abs(leading - known.along.low)
            if off_mm < self._length_mm:
                doubt = None if off_mm <= self._bounce_mm else Doubt.TWO_TRIGGERS
                return self._again(index, doubt or known.doubt, serial or known.serial)
        part = self._entered(mono_ns, odometer_mm, serial=serial)
        self._parts.append(part)
        return [part]

    def unread(self, mono_ns: int, odometer_mm: float) -> PartChange:
        """A part that passed while the eye was not read, so that its place is only about this one."""
        return self._entered(mono_ns, odometer_mm, Doubt.UNREAD)

    def unplaced(self, mono_ns: int, odometer_mm: float) -> PartChange:
        """A part that passed while the odometer was not known: this place is as good as any."""
        return self._entered(mono_ns, odometer_mm)

    def interrupt(self) -> None:
        """The odometer does not continue: no later trigger is compared with a known part."""
        self._parts.clear()

    def _entered(self, mono_ns: int, odometer_mm: float, doubt: Doubt | None = None, serial: str = "") -> PartChange:
        leading = odometer_mm - self._eye_mm
        along = Interval(leading, leading + self._length_mm)
        part = PartChange(What.ENTERED, self._next_number, self._lane, along, mono_ns, doubt, serial)
        self._next_number += 1
        return part

    def _again(self, index: int, doubt: Doubt | None, serial: str) -> list[PartChange]:
        """The part at `index` with what this trigger adds, if that is anything."""
        known = self._parts[index]
        if (doubt, serial) == (known.doubt, known.serial):
            return []
        after = PartChange(What.UPDATED, known.number, known.lane, known.along, known.mono_ns, doubt, serial)
        self._parts[index] = after
        return [after]


class FixedPitch:
    """Shift register: part n is the stretch from n pitches to n + 1, whether or not there is something on it.

    A part enters when its leading edge passes `entry_mm` on the line. At the first reading the `watched_mm` below the
    entry hold parts that are there already.
    """

    def __init__(self, pitch_mm: float, entry_mm: float, watched_mm: float, *, lane: int = 0) -> None:
        self._pitch_mm = pitch_mm
        self._entry_mm = entry_mm
        self._watched_mm = watched_mm
        self._lane = lane
        self._entered_to: int | None = None
        """The newest part that has entered."""

    def advance(self, mono_ns: int, odometer_mm: float) -> list[PartChange]:
        """The parts that have entered by this reading. A belt that runs backwards takes none away."""
        edge_mm = odometer_mm - self._entry_mm
        newest = math.floor(edge_mm / self._pitch_mm)
        doubt = None
        if self._entered_to is None:
            doubt = Doubt.AT_START
            self._entered_to = math.floor((edge_mm - self._watched_mm) / self._pitch_mm) - 1
        numbers = range(self._entered_to + 1, newest + 1)
        self._entered_to = max(self._entered_to, newest)
        return [
            PartChange(
                What.ENTERED,
                n,
                self._lane,
                Interval(n * self._pitch_mm, (n + 1) * self._pitch_mm),
                mono_ns,
                # The part that is passing the entry now is not on the belt yet: its trailing edge comes in.
                None if n == newest else doubt,
            )
            for n in numbers
        ]
