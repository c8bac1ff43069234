"""A PLC that is read over Modbus TCP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from stream_inspect.config.base import ConfigFinding, Host, Model, Name
from stream_inspect.config.inputs.base import ENCODER_HZ, InputModel, Named

Table = Literal["coil", "discrete", "input", "holding"]
ONE_REQUEST: dict[Table, int] = {"coil": 2000, "discrete": 2000, "input": 125, "holding": 125}
"""How many bits or registers of each table one request can read."""
TABLE_NAMES: dict[Table, str] = {
    "coil": "coils",
    "discrete": "discrete inputs",
    "input": "input registers",
    "holding": "holding registers",
}
_ADDRESS = "Address, counted from 0: 40001 and 30001 of a PLC's list are 0."


class ModbusEncoder(Model):
    """The encoder's counter, in one or two registers."""

    table: Literal["holding", "input"] = Field("holding", description="Table of the registers.")
    address: int = Field(ge=0, le=65535, description=_ADDRESS)
    bits: Literal[16, 32] = Field(32, description="Width of the counter: one register or two.")
    signed: bool = Field(False, description="Whether the counter goes below zero.")

    @property
    def width(self) -> int:
        """How many registers it takes."""
        return self.bits // 16


class ModbusLevel(Named):
    """A photo-eye or a signal: a bit, a register, or a counter of its edges, which misses none between two polls."""

    table: Table = Field("discrete", description="Table of the bit or of the registers.")
    address: int = Field(ge=0, le=65535, description=_ADDRESS)
    counter_bits: Literal[16, 32] | None = Field(
        None, description="The registers count edges and are this wide; if absent, a register is on unless it is 0."
    )

    @property
    def width(self) -> int:
        """How many bits or registers it takes."""
        return (self.counter_bits or 16) // 16


class ModbusText(Named):
    """A text in registers, two characters each, ended by a zero or by its length; spaces around it are dropped."""

    table: Literal["holding", "input"] = Field("holding", description="Table of the registers.")
    address: int = Field(ge=0, le=65535, description=_ADDRESS)
    registers: int = Field(ge=1, le=125, description="How many registers it takes.")
    encoding: Literal["ascii", "utf-8", "latin-1"] = Field("utf-8", description="Encoding of its characters.")
    swap_bytes: bool = Field(False, description="The first character is in the low byte of its register.")

    @property
    def width(self) -> int:
        """How many registers it takes."""
        return self.registers


ModbusValue = ModbusEncoder | ModbusLevel | ModbusText


@dataclass(frozen=True, slots=True)
class Span:
    """What one request reads: bits or registers of one table, from the lowest to the highest that is configured."""

    table: Table
    address: int
    count: int

    def __str__(self) -> str:
        last = self.address + self.count - 1
        return f"{TABLE_NAMES[self.table]} {self.address}{f' to {last}' if self.count > 1 else ''}"


class ModbusInputConfig(InputModel):
    """A PLC over Modbus TCP, asked at a steady rate. All registers of one table are read by one request, so that what
    belongs together (both words of a count, a serial number and its photo-eye) is of one moment.
    """

    kind: Literal["modbus"]
    name: Name = Field("modbus", description="Names this input in logs, metrics and readings.")
    host: Host = Field(description="Host name or address of the PLC.")
    port: int = Field(502, ge=1, le=65535, description="502 is usual.")
    unit: int = Field(1, ge=0, le=255, description="Unit identifier; behind a gateway, the device's.")
    rate_hz: float = Field(
        100.0, ge=0.1, le=500, description="How often it is asked. Many PLCs answer once in a scan: then at most that."
    )
    timeout_s: float = Field(0.2, ge=0.05, le=10, description="Connect again after this long without an answer.")
    word_order: Literal["big", "little"] = Field(
        "big", description="Which word of a 32-bit counter has the lower address: the high one (big) or the low one."
    )
    encoder: ModbusEncoder | None = Field(None, description="The encoder's counter.")
    photo_eyes: list[ModbusLevel] = Field([], max_length=64, description="Photo-eyes: each edge is a trigger.")
    levels: list[ModbusLevel] = Field([], max_length=64, description="Other signals, such as line running.")
    texts: list[ModbusText] = Field([], max_length=64, description="Texts: recipe, lot, serial number.")

    example: ClassVar[str] = """\
inputs:
  - kind: modbus
    host: 192.168.0.20
    word_order: little
    encoder: {table: input, address: 100, bits: 32, signed: true}
    photo_eyes: [{name: photo_eye, table: input, address: 102, counter_bits: 16}]
    levels: [{name: line_running, table: discrete, address: 7}]
    texts: [{name: serial, table: input, address: 110, registers: 8}]
"""

    def placed(self) -> list[tuple[tuple[str | int, ...], ModbusValue]]:
        """Every value with its place in this entry: the encoder, then texts, then what changes with them."""
        keyed: dict[str, Sequence[ModbusValue]] = {"texts": self.texts, "levels": self.levels}
        keyed["photo_eyes"] = self.photo_eyes
        first = [] if self.encoder is None else [(("encoder",), self.encoder)]
        return [*first, *(((key, index), one) for key, values in keyed.items() for index, one in enumerate(values))]

    def spans(self) -> list[Span]:
        """The requests of one poll, one for each table."""
        found = []
        for table in TABLE_NAMES:
            here = [one for _, one in self.placed() if one.table == table]
            if here:
                start = min(one.address for one in here)
                found.append(Span(table, start, max(one.address + one.width for one in here) - start))
        return found

    def encoder_too_seldom(self) -> str:
        if self.rate_hz >= ENCODER_HZ:
            return ""
        return f"{self.name} is read at {self.rate_hz:g} Hz, needed are {ENCODER_HZ:g}"

    def crosscheck(self) -> Iterator[ConfigFinding]:
        """As every input; and what no request can read."""
        yield from super().crosscheck()
        for key, one in self.placed():
            if one.address + one.width > 65536:
                yield ConfigFinding((*key, "address"), f"{one.width} registers from here end after the last, 65535")
            if isinstance(one, ModbusLevel) and one.counter_bits and one.table in ("coil", "discrete"):
                yield ConfigFinding((*key, "counter_bits"), f"has no effect on {TABLE_NAMES[one.table]}")
        for span in self.spans():
            if span.count > (most := ONE_REQUEST[span.table]):
                yield ConfigFinding(
                    (),
                    f"{span} do not fit one request of {most}: read what belongs together within {most}, and the rest "
                    "as another input",
                )
