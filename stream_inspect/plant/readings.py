"""From a reading of an input to the message that says what it is for."""

from __future__ import annotations

from stream_inspect.messages import BeltReading, PlantValue, Trigger
from stream_inspect.plant.input import EncoderCount, Level, Reading


def message_of(
    reading: Reading, *, line: str, source: str, photo_eyes: frozenset[str]
) -> BeltReading | Trigger | PlantValue:
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
            unread_from_ns=reading.unread_from_ns,
        )
    return PlantValue(line=line, input=source, name=reading.name, value=reading.value, mono_ns=reading.mono_ns)
