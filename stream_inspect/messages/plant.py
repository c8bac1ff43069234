"""What the inputs of the plant say, to the process that follows the belt. Times are CLOCK_MONOTONIC of this host."""

from __future__ import annotations

from typing import Literal

import msgspec

from stream_inspect.messages.base import Message

CounterBits = Literal[16, 32, 64]


class BeltReading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """An encoder's count, good at `mono_ns` give or take half of `round_trip_ns`; it wraps around after `bits` bits."""

    line: str
    input: str
    count: int
    bits: CounterBits
    mono_ns: int
    round_trip_ns: int


class Trigger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """A photo-eye changed to `value`, or its counter of edges did, between `after_ns` and `mono_ns`.

    With `after_ns` None nothing changed: it is how the eye stands, as after a connection; it was last read at
    `unread_from_ns`, if it was. Neither direction nor bounces are looked at here.
    """

    line: str
    input: str
    name: str
    value: bool | int
    mono_ns: int
    after_ns: int | None
    unread_from_ns: int | None = None


class PlantValue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """What stands from `mono_ns` on: the line runs or not, the recipe, the lot, the serial number of the next part."""

    line: str
    input: str
    name: str
    value: bool | int | str
    mono_ns: int


class PlantReadings(Message, frozen=True, kw_only=True):
    """What one input has said since the last of these, in order; what is of one moment is together."""

    readings: list[BeltReading | Trigger | PlantValue]
