"""How far the belt has run, in millimetres, by whatever drives or measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stream_inspect.belt.position import BeltLimits, Knot, Position, Reckoning, Trace
from stream_inspect.belt.slip import SlipCheck, SlipLimits

_SPEED_OVER_NS = 300_000_000
"""The speed is the mean over this long: one count of 1 mm is 3 mm/s."""


class Odometer(Protocol):
    """The reading that a camera's tracker knows the belt by.

    What the pictures show of the belt's true way is not its business: see `track/belt_motion.py`.
    """

    def advance_to(self, pts_s: float) -> float:
        """The reading in mm at this time, which is not before the last one."""


class LineOdometer(Protocol):
    """The position of one line's belt at any capture time. An answer once given for a time never changes."""

    def settled(self, mono_ns: int) -> bool:
        """Whether the position at this time is decided: nothing that is read later changes it."""

    def at(self, mono_ns: int) -> Position | None:
        """The position at this time; None if it is not known. Asking decides it."""

    def speed_at(self, mono_ns: int) -> float | None:
        """The belt's speed in mm/s, less than 0 backwards; None if it is not known."""

    def stands_at(self, mono_ns: int) -> bool:
        """Whether the belt is known to stand."""


class FixedSpeedOdometer:
    """Integrates a configured speed: the belt is supposed never to stop.

    It answers two clocks: media time for a camera's tracker (`advance_to`), capture time for the line (`at`, a
    `LineOdometer`). Each begins at 0 at its first time.
    """

    def __init__(self, speed_mm_s: float, relative_error: float = 0.1) -> None:
        self._speed_mm_s = speed_mm_s
        self._relative_error = relative_error
        self._last_pts_s: float | None = None
        self._position_mm = 0.0
        self._began_ns: int | None = None

    @property
    def began_ns(self) -> int | None:
        """The capture time at which it was 0; None before it was asked."""
        return self._began_ns

    def resume(self, began_ns: int) -> None:
        """Continue another one, which was 0 at this time."""
        self._began_ns = began_ns

    def advance_to(self, pts_s: float) -> float:
        if self._last_pts_s is not None:
            self._position_mm += (pts_s - self._last_pts_s) * self._speed_mm_s
        self._last_pts_s = pts_s
        return self._position_mm

    def settled(self, mono_ns: int) -> bool:
        return True

    def at(self, mono_ns: int) -> Position:
        if self._began_ns is None:
            self._began_ns = mono_ns
        mm = (mono_ns - self._began_ns) / 1e9 * self._speed_mm_s
        return Position(mm, 0.0, mm * self._relative_error)

    def speed_at(self, mono_ns: int) -> float:
        return self._speed_mm_s

    def stands_at(self, mono_ns: int) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class StandingLimits:
    """From which speed on a belt stands or runs; between the two it does what it did."""

    stands_below_mm_s: float = 5.0
    runs_above_mm_s: float = 10.0


@dataclass(frozen=True, slots=True)
class SourceReading:
    """A source's last reading in its own millimetres, and where its zero lies on the line (mm, drift)."""

    mono_ns: int
    own: Position
    shift: tuple[float, float]


class _Source:
    """The readings of one source, in its own millimetres, and where they lie on the line's."""

    def __init__(self, name: str, limits: BeltLimits) -> None:
        self.name = name
        self.trace = Trace(limits)
        self.alive_since_ns = 0
        """Since when it has been read without a gap."""
        self._silent_after_ns = limits.silent_after_ns
        self._reckoning = Reckoning(limits)
        self._shift = 0.0, 0.0

    @property
    def newest_ns(self) -> int | None:
        """Time of its last reading."""
        return self.trace.newest_ns

    def last_reading(self) -> SourceReading | None:
        """For `resume`; None where it was never read."""
        knots = self.trace.after(None)
        if not knots or knots[-1].position is None:
            return None
        return SourceReading(knots[-1].mono_ns, knots[-1].position, self._shift)

    def resume(self, reading: SourceReading) -> None:
        """Continue after this reading."""
        self._shift = reading.shift
        self.read(reading.mono_ns, reading.own)

    def read(self, mono_ns: int, position: Position) -> None:
        if self.silent(mono_ns):
            self.alive_since_ns = mono_ns
        self.trace.put(Knot(mono_ns, position, mono_ns))
        self._reckoning.read(mono_ns, position)

    def silent(self, mono_ns: int) -> bool:
        """Whether at this time it has not been read for too long, or never."""
        return self.newest_ns is None or mono_ns - self.newest_ns > self._silent_after_ns

    def at(self, mono_ns: int) -> Position | None:
        """The line's position by this source, extrapolated after its last reading."""
        if self.newest_ns is not None and mono_ns > self.newest_ns:
            return self._reckoning.ahead(mono_ns).shifted(*self._shift)
        own = self.trace.at(mono_ns)
        return None if own is None else own.shifted(*self._shift)

    def join(self, own: Position, line: Position) -> None:
        """Have the readings continue from the line's position; how badly both were known there stays as drift."""
        drift_mm = line.drift_mm - own.drift_mm + line.noise_mm + own.noise_mm
        self._shift = line.mm - own.mm, drift_mm

    def after(self, mono_ns: int | None) -> list[Knot]:
        """The readings after this time, on the line."""
        return [
            knot._replace(position=knot.position.shifted(*self._shift))
            for knot in self.trace.after(mono_ns)
            if knot.position is not None
        ]


class MeasuredOdometer:
    """A `LineOdometer` made of the readings of one source or more: an encoder (`Counter`), the picture (`Ways`).

    **Which source.** The first of `sources` is believed while it is alive. When it has been silent for
    `silent_after_s`, the next one that is read continues from the position of the last good reading, and takes back
    what it measured since. The first one is believed again when it has been alive for as long; then too the position
    continues where it is. While both are alive the second one checks the first (`slip`).

    **What is decided when.** A time is settled as soon as the believed source has a reading of it or a later one: the
    position is interpolated, and because each source's readings are accepted in the order of time only, nothing that
    comes later lies before it. So the same readings give the same positions, whatever the delays were and whenever
    they are read out; only where one source takes over from another does it matter which was delivered first.

    A caller that asks about a time that is not settled decides it: the position is extrapolated by the last speed, or
    None after `silent_after_s`. A reading that is delivered afterwards changes only what comes after that time. In the
    service a caller therefore waits for `settled`, until a deadline of its own; a deadline longer than
    `silent_after_s` leaves a second source the time to take over. In a replay every reading is added before any later
    frame is judged, so there is nothing to wait for. With the picture as the only source each captured frame is a
    reading, added before any result of that frame, and every answer is settled in both.

    No clock is read. Positions are kept for a minute; before that they are None. The next process continues from
    `readings` by `resume`, before it adds any.
    """

    def __init__(
        self,
        sources: Sequence[str],
        limits: BeltLimits,
        *,
        slip: SlipLimits | None = None,
        standing: StandingLimits | None = None,
    ) -> None:
        if not sources:
            raise ValueError("expected at least one source")
        self._limits = limits
        self._standing = standing or StandingLimits()
        self._sources = {name: _Source(name, limits) for name in sources}
        self._ranks = {name: rank for rank, name in enumerate(sources)}
        self._believed = self._sources[sources[0]]
        self._began_ns: int | None = None
        self._line = Trace(limits)
        self._slip: SlipCheck | None = None
        if len(sources) > 1:
            first, second = (self._sources[name] for name in sources[:2])
            names, traces = (first.name, second.name), (first.trace, second.trace)
            self._slip = SlipCheck(names, traces, slip or SlipLimits())

    # --- restarts ---

    def readings(self) -> dict[str, SourceReading]:
        """The last reading of each source that has been read."""
        return {name: last for name, source in self._sources.items() if (last := source.last_reading()) is not None}

    def resume(self, believed: str, readings: Mapping[str, SourceReading]) -> None:
        """Begin where another odometer was, which believed this source last. Raises KeyError for an unknown source."""
        for name, reading in readings.items():
            self._sources[name].resume(reading)
        self._began_ns = min(reading.mono_ns for reading in readings.values())
        self._believed = self._sources[believed]
        self._extend()

    # --- what is read ---

    def add(self, source: str, mono_ns: int, position: Position) -> bool:
        """A source's reading, in its own millimetres; False, and nothing changes, if it is not later than its last one.

        Raises KeyError for a source that is not configured.
        """
        read = self._sources[source]
        if read.newest_ns is not None and mono_ns <= read.newest_ns:
            return False
        if self._began_ns is None:
            self._began_ns = mono_ns
        silent = self._is_silent(mono_ns)  # before this reading
        read.read(mono_ns, position)
        self._check(source, mono_ns)
        if read is self._believed:
            self._extend()
        elif silent or self._proven(read, mono_ns):
            self._take_over(read, mono_ns)
        return True

    def _is_silent(self, mono_ns: int) -> bool:
        """Whether the believed source has been silent, at first since anything was read."""
        began_ns = self._began_ns if self._began_ns is not None else mono_ns
        return self._believed.silent(mono_ns) and mono_ns - began_ns > self._limits.silent_after_ns

    def _proven(self, source: _Source, mono_ns: int) -> bool:
        """Whether a source that comes before the believed one has been alive for long enough."""
        alive_ns = mono_ns - source.alive_since_ns
        return self._ranks[source.name] < self._ranks[self._believed.name] and alive_ns > self._limits.silent_after_ns

    def _check(self, source: str, mono_ns: int) -> None:
        if self._slip is not None and self._ranks[source] == 0:
            self._slip.first_read()
        elif self._slip is not None and self._ranks[source] == 1:
            self._slip.second_read(mono_ns)

    def _take_over(self, source: _Source, mono_ns: int) -> None:
        """Believe this source from now on: its readings continue from the last time that the other one knew."""
        if self._believed.newest_ns is not None:
            joins_ns = min(self._believed.newest_ns, mono_ns)
            own = source.trace.at(joins_ns)
            if own is None and (first := source.trace.first_after(joins_ns)) is not None:
                joins_ns, own = first.mono_ns, first.position  # it was not read before
            line = self._believed.at(joins_ns)
            if own is None or line is None:
                return
            source.join(own, line)
        self._believed = source
        self._extend()

    def _extend(self) -> None:
        """What the believed source was read to be, after what is settled."""
        for knot in self._believed.after(self._line.newest_ns):
            self._settle(knot.mono_ns, knot.position, knot.read_ns)

    # --- what it answers ---

    def settled(self, mono_ns: int) -> bool:
        return self._line.newest_ns is not None and mono_ns <= self._line.newest_ns

    def at(self, mono_ns: int) -> Position | None:
        if not self.settled(mono_ns):
            known = None if self._believed.silent(mono_ns) else self._believed.at(mono_ns)
            self._settle(mono_ns, known, self._believed.newest_ns or mono_ns)
        return self._line.at(mono_ns)

    def speed_at(self, mono_ns: int) -> float | None:
        return self._speed(mono_ns, self.at(mono_ns))

    def stands_at(self, mono_ns: int) -> bool:
        known = self.at(mono_ns) is not None
        last = self._line.last(mono_ns)
        return known and last is not None and last.stands

    def _settle(self, mono_ns: int, position: Position | None, read_ns: int) -> None:
        """Decide the line's position, and whether it stands, up to this time."""
        last = self._line.last(mono_ns)
        speed = self._speed(mono_ns, position)
        stood = last is not None and last.stands
        limit = self._standing.runs_above_mm_s if stood else self._standing.stands_below_mm_s
        self._line.put(Knot(mono_ns, position, read_ns, stands=speed is not None and abs(speed) < limit))

    def _speed(self, mono_ns: int, position: Position | None) -> float | None:
        since_ns = mono_ns - _SPEED_OVER_NS
        before = self._line.at(since_ns)
        if before is None:  # the position was not known before, or is read more seldom
            knot = self._line.first_after(since_ns) or self._line.last(mono_ns)
            if knot is None or not 0 < mono_ns - knot.mono_ns <= self._limits.silent_after_ns:
                return None
            since_ns, before = knot.mono_ns, knot.position
        if position is None or before is None:
            return None
        return (position.mm - before.mm) / (mono_ns - since_ns) * 1e9

    # --- what is wrong ---

    @property
    def believed(self) -> str:
        """The source that gives the position."""
        return self._believed.name

    @property
    def slip(self) -> str:
        """By how much the first two sources disagree, in words and numbers; "" while they agree."""
        return self._slip.detail if self._slip is not None else ""

    def silent(self, now_mono_ns: int) -> dict[str, str]:
        """The sources that are silent at this time, and what is known of each: "last read 2.4 s ago"."""
        return {
            source.name: (
                "never read"
                if source.newest_ns is None
                else f"last read {(now_mono_ns - source.newest_ns) / 1e9:.1f} s ago"
            )
            for source in self._sources.values()
            if source.silent(now_mono_ns)
        }
