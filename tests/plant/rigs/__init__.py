"""Each kind of plant input with a real server of its own process: one file a kind, found by its name.

A rig's file holds `RIG`. What it serves: an encoder of 32 bits, the photo-eye `photo_eye`, the text `serial`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from stream_inspect.config.inputs import InputConfig, input_models
from stream_inspect.plant.build import make_reader
from stream_inspect.plant.input import EncoderCount, Level, Reading, Text
from stream_inspect.plant.reader import PlantReader
from tests.alerts.receivers import wait_until

ROOT = Path(__file__).parents[3]


class Served:
    """A server that is `python -m MODULE PORT ARGUMENTS...`: it says when it is ready, and answers each line."""

    def __init__(self, module: str, port: int, *arguments: str) -> None:
        self.port = port
        self._arguments = arguments
        self._module = module
        self._process: subprocess.Popen[str] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        command = [sys.executable, "-W", "ignore", "-m", self._module, str(self.port), *self._arguments]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        assert self._answer() == "ready"

    def tell(self, **command: Any) -> None:
        """Send a command and wait until it is done."""
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        assert self._answer() == "done"

    def _answer(self) -> str:
        return self._process.stdout.readline().strip()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


class Rig(ABC):
    """One kind of input with its server: up when the test begins, as is the reader that it names."""

    server: Any
    """With `start`, `kill` and `signal`."""

    sends_each_change = True
    """Whether none is missed that the server makes; who asks at a rate misses some."""

    unreadable: str
    """What `garble` makes unreadable, and how the error names it."""

    def __init__(self, config: InputConfig) -> None:
        self.config = config
        self.reader: PlantReader = make_reader(config)
        self.readings: list[Reading] = []

    @abstractmethod
    def count(self, count: int) -> None:
        """The encoder stands at this count."""

    @abstractmethod
    def eye(self, covered: bool) -> None:
        """The photo-eye is covered or not."""

    @abstractmethod
    def serial(self, text: str) -> None:
        """The serial number."""

    @abstractmethod
    def garble(self) -> None:
        """One value becomes what it never should."""

    @abstractmethod
    def burst(self, changes: int) -> None:
        """The encoder counts from 1 to so many, a few hundred times a second."""

    def take(self) -> list[Reading]:
        """All readings so far."""
        self.readings += self.reader.take()
        return self.readings

    def counts(self) -> list[EncoderCount]:
        return [one for one in self.take() if isinstance(one, EncoderCount)]

    def levels(self) -> list[Level]:
        return [one for one in self.take() if isinstance(one, Level)]

    def texts(self) -> list[Text]:
        return [one for one in self.take() if isinstance(one, Text)]

    def arrives(self, condition: Callable[[], bool], timeout_s: float = 5.0) -> bool:
        """Whether it becomes true; the error of the reader where it does not."""
        assert wait_until(condition, timeout_s), f"error: {self.reader.error!r}, last: {self.take()[-5:]}"
        return True

    def close(self) -> None:
        self.reader.close()
        self.server.kill()


def rigs() -> dict[str, type[Rig]]:
    """The rig of each kind. A kind without a file here fails."""
    return {kind: import_module(f"{__name__}.{kind}").RIG for kind in input_models()}
