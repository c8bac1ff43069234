"""The contract of a plant input: reads one PLC, server or broker and hands over typed readings.

An input is three files: `config/inputs/<kind>.py` (model, cross-checks, example), `plant/<kind>.py` (the class) and
`tests/plant/rigs/<kind>.py`. It knows how one connection is read; the thread, the queue and the next connection are
the business of `plant/reader.py`, written once.

Every time is this host's monotonic clock in ns: the middle of the request where a value was asked for (Modbus), its
arrival where it was sent (OPC UA, MQTT). The clock of the sender is another one, and no time is ever read from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stream_inspect.errors import StreamInspectError
from stream_inspect.messages import CounterBits


class PlantInputError(StreamInspectError):
    """The connection failed (rejected, lost, no answer): it is closed and made again.

    The text is fit for a log: it names what failed and where, and carries no password.
    """


@dataclass(frozen=True, slots=True)
class EncoderCount:
    """What the encoder's counter showed, give or take half of `round_trip_ns`, at `mono_ns`.

    `count` wraps around after `bits` bits, signed or not. `round_trip_ns` is 0 where nothing was asked: how old such a
    count was when it arrived cannot be known.
    """

    count: int
    bits: CounterBits
    mono_ns: int
    round_trip_ns: int = 0


@dataclass(frozen=True, slots=True)
class Level:
    """How a photo-eye or a signal stands, or what a counter of edges shows.

    The change to `value` took place between `after_ns` (the last time that the value before was seen, or may have
    been) and `mono_ns`: a poll interval apart as a rule, a whole outage after one. None: no change was seen, this is
    how it stands, as after a connection. If it had this value before the connection, it was last seen, or may have
    been, at `unread_from_ns`: it may have changed and changed back since.
    """

    name: str
    value: bool | int
    mono_ns: int
    after_ns: int | None = None
    unread_from_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A recipe, a lot, a serial number: handed over when it changes, and once after each connection."""

    name: str
    value: str
    mono_ns: int


Reading = EncoderCount | Level | Text


class Sink(Protocol):
    """Where an input puts what it reads; all of it is for the input's own thread and never blocks."""

    def is_stopping(self) -> bool:
        """Whether `read` has to return."""

    def wait(self, wait_s: float) -> bool:
        """Sleep this long, or until `read` has to return: then True."""

    def connected(self) -> None:
        """The other side has answered."""

    def put(self, readings: Sequence[Reading]) -> None:
        """Hand over readings. Those of one moment come together, texts before levels: a serial before its edge."""

    def fault(self, what: str, text: str) -> None:
        """The connection works, and this one value cannot be had, for the reason `text`; empty: it can."""

    def lost(self, count: int) -> None:
        """The other side says that so many readings were lost on the way."""


class PlantInput(Protocol):
    """One kind of input. A constructor takes the config of the input and does no work."""

    def read(self, sink: Sink) -> None:
        """Connect, and hand over readings until `sink.is_stopping()`; notices that within a quarter of a second.

        Every call has a time limit: raises `PlantInputError` when the other side does not answer, and leaves nothing
        of the connection behind. Called again for the next one.
        """
