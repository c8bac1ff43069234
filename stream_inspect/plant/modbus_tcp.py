"""A PLC over Modbus TCP: one request a table, at a steady rate.

A request without an answer ends the connection: what hangs in a PLC is often the connection alone, and nothing late
can come over the next one. An exception response is an answer: that table is asked more slowly, the others as before.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator, Sequence

from pymodbus.client import ModbusTcpClient
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from stream_inspect.config.inputs.modbus import (
    ModbusEncoder,
    ModbusInputConfig,
    ModbusLevel,
    ModbusText,
    ModbusValue,
    Span,
)
from stream_inspect.network_errors import error_text
from stream_inspect.plant.input import EncoderCount, Level, PlantInputError, Reading, Sink
from stream_inspect.plant.last_seen import LastSeen
from stream_inspect.plant.values import shown, text_of

AFTER_EXCEPTION_S = 0.5
"""A table whose request was rejected is asked again after this."""

# It logs each failing request, and the last frames with it: what failed is in our error.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL + 1)

_DATATYPES = {
    (16, False): ModbusTcpClient.DATATYPE.UINT16,
    (16, True): ModbusTcpClient.DATATYPE.INT16,
    (32, False): ModbusTcpClient.DATATYPE.UINT32,
    (32, True): ModbusTcpClient.DATATYPE.INT32,
}


class ModbusInput:
    """One connection at a time, one request open in it."""

    def __init__(self, config: ModbusInputConfig) -> None:
        self._config = config
        self._where = f"Modbus server {config.host}:{config.port}"
        values = [one for _, one in config.placed()]
        self._requests = [(span, [one for one in values if one.table == span.table]) for span in config.spans()]
        self._last_seen = LastSeen()

    def read(self, sink: Sink) -> None:
        """Ask until `sink.is_stopping()`. Raises `PlantInputError`."""
        poll_s = 1 / self._config.rate_hz
        not_before_s: dict[Span, float] = {}
        self._last_seen.connected()
        client = self._connect()
        try:
            next_s = time.monotonic()
            while not sink.wait(max(0.0, next_s - time.monotonic())):
                # A poll that came late is not made up for: two requests at once say no more than one.
                next_s = max(next_s + poll_s, time.monotonic())
                self._poll(client, sink, not_before_s)
        finally:
            client.close()  # type: ignore[no-untyped-call]

    def _poll(self, client: ModbusTcpClient, sink: Sink, not_before_s: dict[Span, float]) -> None:
        """One round of requests. Bits are asked before registers, and handed over after them.

        A serial in registers is then never older than the photo-eye's edge that it belongs to.
        """
        readings: list[Reading] = []
        try:
            for span, values in self._requests:
                if time.monotonic() < not_before_s.get(span, 0.0):
                    continue
                answer, mono_ns, round_trip_ns = self._ask(client, span)
                sink.connected()
                text = self._rejection(answer, span)
                sink.fault(str(span), text)
                if text:
                    not_before_s[span] = time.monotonic() + AFTER_EXCEPTION_S
                else:
                    raw = _found(answer, span)
                    readings += self._readings(sink, raw, span, values, mono_ns, round_trip_ns)
        finally:
            sink.put(sorted(readings, key=lambda reading: isinstance(reading, Level)))

    def _connect(self) -> ModbusTcpClient:
        config = self._config
        client = ModbusTcpClient(config.host, port=config.port, timeout=config.timeout_s, retries=0)
        try:
            # Made here, as its own `connect` says why it failed only in its log.
            client.socket = socket.create_connection((config.host, config.port), config.timeout_s)
        except OSError as error:
            raise PlantInputError(f"{self._where}: cannot connect: {error_text(error)}") from error
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def _ask(self, client: ModbusTcpClient, span: Span) -> tuple[ModbusPDU, int, int]:
        """The answer, the middle of the request (monotonic ns) and how long it took (ns). Raises `PlantInputError`."""
        ask = {
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
            "input": client.read_input_registers,
            "holding": client.read_holding_registers,
        }[span.table]
        sent_ns = time.monotonic_ns()
        try:
            answer = ask(span.address, count=span.count, device_id=self._config.unit)
        except ConnectionException as error:
            raise PlantInputError(f"{self._where}: connection lost") from error
        except ModbusException as error:
            text = f"no answer to the read of {span} within {self._config.timeout_s:g} s"
            raise PlantInputError(f"{self._where}: {text}") from error
        except OSError as error:
            raise PlantInputError(f"{self._where}: connection lost: {error_text(error)}") from error
        round_trip_ns = time.monotonic_ns() - sent_ns
        return answer, sent_ns + round_trip_ns // 2, round_trip_ns

    def _rejection(self, answer: ModbusPDU, span: Span) -> str:
        """Why there is no value in this answer; empty where it holds what was asked for."""
        if isinstance(answer, ExceptionResponse):
            code = answer.exception_code
            known = code in {one.value for one in ExcCodes}
            words = f": {ExcCodes(code).name.lower().replace('_', ' ')}" if known else ""
            return f"{self._where} rejected the read of {span}{words} (exception {code})"
        if len(found := _found(answer, span)) < span.count:
            return f"{self._where} answered the read of {span} with {len(found)} values, expected {span.count}"
        return ""

    def _readings(
        self,
        sink: Sink,
        found: Sequence[int],
        span: Span,
        values: Sequence[ModbusValue],
        mono_ns: int,
        round_trip_ns: int,
    ) -> Iterator[Reading]:
        """What one answer says: the count, and of the rest what changed or is new on this connection."""
        for one in values:
            start = one.address - span.address
            raw = list(found[start : start + one.width])
            if isinstance(one, ModbusEncoder):
                yield EncoderCount(self._number(raw, one.bits, one.signed), one.bits, mono_ns, round_trip_ns)
                continue
            try:
                value = _text(raw, one) if isinstance(one, ModbusText) else self._level(raw, one)
            except ValueError as error:
                sink.fault(one.name, f"{self._where}: {one.name} in {span}: {error}")
                continue
            sink.fault(one.name, "")
            if (reading := self._last_seen.polled(one.name, value, mono_ns)) is not None:
                yield reading

    def _level(self, raw: list[int], one: ModbusLevel) -> bool | int:
        return bool(raw[0]) if one.counter_bits is None else self._number(raw, one.counter_bits, signed=False)

    def _number(self, raw: list[int], bits: int, signed: bool) -> int:
        number = ModbusTcpClient.convert_from_registers(raw, _DATATYPES[bits, signed], self._config.word_order)
        assert isinstance(number, int)
        return number


def _found(answer: ModbusPDU, span: Span) -> Sequence[int]:
    """The bits or registers of an answer; bits are filled up to whole bytes."""
    return answer.bits if span.table in ("coil", "discrete") else answer.registers


def _text(raw: list[int], one: ModbusText) -> str:
    """Raises ValueError."""
    data = b"".join(register.to_bytes(2, "little" if one.swap_bytes else "big") for register in raw)
    data = data.partition(b"\0")[0]
    try:
        return text_of(data.decode(one.encoding))
    except UnicodeDecodeError:
        raise ValueError(f"expected {one.encoding} text, got {shown(data)}") from None
