"""Modbus with a server of pymodbus."""

from __future__ import annotations

from pathlib import Path

from stream_inspect.config.inputs.modbus import ModbusInputConfig
from tests.alerts.receivers import free_port
from tests.plant.rigs import Rig, Served

ENCODER, SERIAL, EYE = 100, 110, 7


def served() -> Served:
    server = Served("tests.plant.servers.modbus", free_port())
    server.start()
    return server


def config_of(port: int, **keys: object) -> ModbusInputConfig:
    return ModbusInputConfig(kind="modbus", name="plc", host="127.0.0.1", port=port, **keys)


class ModbusRig(Rig):
    sends_each_change = False
    unreadable = "serial in holding registers 100 to 117: expected utf-8 text, got b'\\xff\\xfe'"

    def __init__(self, folder: Path) -> None:
        self.server = served()
        super().__init__(
            config_of(
                self.server.port,
                encoder={"address": ENCODER},
                photo_eyes=[{"name": "photo_eye", "address": EYE}],
                texts=[{"name": "serial", "address": SERIAL, "registers": 8}],
            )
        )

    def count(self, count: int) -> None:
        self.server.tell(holding={ENCODER: [count >> 16, count & 0xFFFF]})

    def eye(self, covered: bool) -> None:
        self.server.tell(discrete={EYE: [covered]})

    def serial(self, text: str) -> None:
        data = text.encode().ljust(16, b"\0")
        self.server.tell(holding={SERIAL: [int.from_bytes(data[at : at + 2]) for at in range(0, 16, 2)]})

    def garble(self) -> None:
        self.server.tell(holding={SERIAL: [0xFFFE, 0]})

    def burst(self, changes: int) -> None:
        for count in range(1, changes + 1):
            self.count(count)


RIG = ModbusRig
