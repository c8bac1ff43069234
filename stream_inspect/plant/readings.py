"""What the inputs of the plant say, as messages to the stage that follows the belt (to join `messages.py`)."""

from __future__ import annotations

from stream_inspect.messages import Message
from stream_inspect.plant.input import CounterBits, EncoderCount, Level, Reading


class BeltReading(Message, frozen=True, kw_only=True):
    """An encoder's count, good at `mono_ns` give or take half of `round_trip_ns`; it wraps around after `bits` bits."""

    line: str
    input: str
    count: int
    bits: CounterBits
    mono_ns: int
    round_trip_ns: int


class Trigger(Message, frozen=True, kw_only=True):
    """A photo-eye changed to `value`, or its counter of edges did, between `after_ns` and `mono_ns`.

    With `after_ns` None nothing changed: it is how the eye stands, as after a connection. Neither direction nor
    bounces are looked at here.
    """

    line: str
    input: str
    name: str
    value: bool | int
    mono_ns: int
    after_ns: int | None


class PlantValue(Message, frozen=True, kw_only=True):
    """What stands from `mono_ns` on: the line runs or not, the recipe, the lot, the serial number of the next part."""

    line: str
    input: str
    name: str
    value: bool | int | str
    mono_ns: int


def message_of(reading: Reading, *, line: str, source: str, photo_eyes: frozenset[str]) -> Message:
    """The message of a reading of the input `source`, where the levels of these names are photo-eyes."""
    if isinstance(reading, EncoderCount):
        return BeltReading(
            line=line,
            input=source,
            count=reading.count,
            bits=reading.bits,
            mono_ns=reading.mono_ns,
            round_trip_ns=reading.round_trip_ns,
        )
    if isinstance(reading, Level) and reading.name in photo_eyes:
        return Trigger(
            line=line,
            input=source,
            name=reading.name,
            value=reading.value,
            mono_ns=reading.mono_ns,
            after_ns=reading.after_ns,
        )
    return PlantValue(line=line, input=source, name=reading.name, value=reading.value, mono_ns=reading.mono_ns)
