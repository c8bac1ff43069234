"""One line's encoder: its counts become positions for the line's odometer, and it is said when they do not."""

from __future__ import annotations

from stream_inspect.belt.counter import Counter
from stream_inspect.belt.odometer import MeasuredOdometer
from stream_inspect.belt.position import BeltLimits, Position
from stream_inspect.config.sections.lines import EncoderOdometer
from stream_inspect.log import get_logger
from stream_inspect.messages import BeltReading

_TOLD_FOR_NS = 2 * 10**9
"""A position that was lost, and is known again from the next count, is reported for this long."""


class Encoder:
    """Counts of one input, as `source` of a `MeasuredOdometer`. It reads no clock."""

    def __init__(self, config: EncoderOdometer, bits: int, limits: BeltLimits) -> None:
        self.source = f"encoder {config.input}"
        """A name that no camera can have."""
        self._input = config.input
        self._bits = bits
        self._counter = Counter(
            bits=bits,
            mm_per_count=config.mm_per_count,
            max_speed_mm_s=limits.max_speed_mm_s,
            reverse=config.reverse,
        )
        self.count = 0
        """The last one that was believed."""
        self._since_ns: int | None = None
        """When it was first asked for."""
        self._silent_after_ns = limits.silent_after_ns
        self._lost: tuple[int, str] | None = None
        """When the position was lost last, and why."""
        self._log = get_logger(__name__, stage="track", input=config.input)

    def resume(self, count: int, mono_ns: int, position: Position) -> None:
        """Continue what another process read before, last of all this count, at this position."""
        self.count = count
        self._counter.resume(mono_ns, count, position)

    def read(self, message: BeltReading, odometer: MeasuredOdometer) -> None:
        """A count; one of another input is passed over."""
        if message.input != self._input:
            return
        lost = self._counter.lost
        # Modulo its width, a signed count is an unsigned one.
        count = message.count % (1 << self._bits)
        position = self._counter.read(message.mono_ns, count)
        if self._counter.lost != lost:
            self._lost = message.mono_ns, self._counter.problem
            self._log.warning("position of the belt lost", problem=self._counter.problem)
        if position is not None:
            self.count = count
            odometer.add(self.source, message.mono_ns, position)

    def lost_between(self, after_ns: int, until_ns: int) -> bool:
        """Whether the position was lost after the one time and up to the other: what it says of both does not agree."""
        return self._lost is not None and after_ns < self._lost[0] <= until_ns

    def unknown(self, now_mono_ns: int, odometer: MeasuredOdometer) -> str:
        """Why the line's position is not known at this time, or was lost just now; "" where it is known.

        Without a count since the start that is so after as long as a silence takes.
        """
        if self._since_ns is None:
            self._since_ns = now_mono_ns
        silent = odometer.silent(now_mono_ns).get(self.source)
        if silent and odometer.believed == self.source and now_mono_ns - self._since_ns > self._silent_after_ns:
            problem = self._counter.problem
            return f"{self.source}: {problem or silent}"
        if self._lost is not None and now_mono_ns - self._lost[0] < _TOLD_FOR_NS:
            return f"{self.source}: {self._lost[1]}"
        return ""
