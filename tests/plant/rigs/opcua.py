"""OPC UA with a server of asyncua, whose clock is seven hours slow."""

from __future__ import annotations

import atexit
import signal
from functools import cache
from pathlib import Path

from stream_inspect.config.inputs.opcua import OpcUaInputConfig
from tests.alerts.receivers import free_port
from tests.plant.rigs import Rig, Served


def served(password: str = "") -> Served:
    server = Served("tests.plant.servers.opcua", free_port(), password)
    server.start()
    return server


def config_of(port: int, **keys: object) -> OpcUaInputConfig:
    values = {
        "encoder": {"node": "ns=2;s=encoder"},
        "photo_eyes": [{"name": "photo_eye", "node": "ns=2;s=photo_eye"}],
        "texts": [{"name": "serial", "node": "ns=2;s=serial"}],
    }
    return OpcUaInputConfig(kind="opcua", name="plc", url=f"opc.tcp://127.0.0.1:{port}/plant", **(values | keys))


@cache
def shared() -> Served:
    """The server of all rigs: it takes a second and more to start."""
    server = Served("tests.plant.servers.opcua", free_port(), "")
    atexit.register(server.kill)
    return server


class OpcUaRig(Rig):
    unreadable = "serial (node ns=2;s=serial): BadSensorFailure"

    def __init__(self, folder: Path) -> None:
        self.server = shared()
        if not self.server.is_running:
            self.server.start()
        super().__init__(config_of(self.server.port))

    def count(self, count: int) -> None:
        self.server.tell(set={"encoder": count})

    def eye(self, covered: bool) -> None:
        self.server.tell(set={"photo_eye": covered})

    def serial(self, text: str) -> None:
        self.server.tell(set={"serial": text})

    def garble(self) -> None:
        self.server.tell(status=["serial", "A-?", "BadSensorFailure"])

    def close(self) -> None:
        self.reader.close()
        if self.server.is_running:
            self.server.signal(signal.SIGCONT)

    def burst(self, changes: int) -> None:
        self.server.tell(count=changes)


RIG = OpcUaRig
