"""The real service as a child process, for the tests that pull its cables."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import psutil

COMMAND = [sys.executable, "-m", "stream_inspect"]

_TINY = files("stream_inspect") / "tiny"
AS_IF_FULL_SIZE = f"inspect: {{detector: {{model: {_TINY}/owlv2}}, segmenter: {{model: {_TINY}/sam}}}}"
"""The embedded models by their folders. By their name they raise a condition on every camera that is real."""

Account = dict[str, Any]
"""Of one camera: captured, judged, not_due, dropped {cause: n}, in_flight, residual."""


def closed(account: Account) -> Account:
    """The same account, which must add up exactly."""
    assert account["residual"] == 0, account
    parts = account["judged"] + account["not_due"] + sum(account["dropped"].values()) + account["in_flight"]
    assert account["captured"] == parts, account
    return account


def crowding() -> float:
    """Wall seconds that a second of work takes on this machine just now: 1 where a core is free, 3 where three share.

    What starts or stops processes takes as much longer, so tests multiply their limits by it.
    """
    wall_s, cpu_s = time.monotonic(), time.process_time()
    while time.process_time() - cpu_s < 0.2:
        pass
    return max(1.0, (time.monotonic() - wall_s) / 0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """`stream-inspect run` on a configuration, watched through /healthz.

    The ledger must close at every look, also while stages are killed, and once more with nothing in flight at the end.
    """

    def __init__(self, config: Path, log: Path, *overrides: str) -> None:
        self.port = free_port()
        settings = [f"metrics.port={self.port}", "log.format=json", *overrides]
        self._log_path = log
        self._log = log.open("wb")
        self.process = subprocess.Popen(
            [*COMMAND, "run", str(config), *(part for one in settings for part in ("--set", one))],
            stderr=self._log,
            stdout=self._log,
        )

    @property
    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    def health(self) -> dict[str, Any]:
        """What /healthz says; empty while it does not answer. Every camera's account must close."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2) as answer:
                document: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            document = json.load(error)
        except OSError:
            return {}
        for account in document["frames"].values():
            closed(account)
        return document

    def account(self) -> Account:
        """The account of the one camera, at present."""
        (account,) = self._answer()["frames"].values()
        return dict(account)

    def processes(self) -> dict[str, dict[str, Any]]:
        """Every process by the name of its row, at present."""
        return dict(self._answer()["processes"])

    def _answer(self) -> dict[str, Any]:
        """/healthz, asked until it answers: one slow answer is no failure."""
        document: dict[str, Any] = {}
        self.wait_for(lambda seen: not document.update(seen), 20, "an answer of /healthz")
        return document

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], within_s: float, what: str) -> float:
        """Seconds until /healthz fulfils the condition; fails with the service's log when it does not in time."""
        start = time.monotonic()
        while time.monotonic() - start < within_s:
            assert self.process.poll() is None, f"the service ended with {self.process.returncode}:\n{self.log}"
            document = self.health()
            if document and condition(document):
                return time.monotonic() - start
            time.sleep(0.05)
        raise AssertionError(f"not within {within_s} s: {what}\n{json.dumps(self.health(), indent=1)}\n{self.log}")

    def wait_judging(self, frames: int = 1, within_s: float = 90.0) -> None:
        """Until this many frames have been judged in all."""

        def judged(document: dict[str, Any]) -> bool:
            return sum(camera["judged"] for camera in document["frames"].values()) >= frames

        self.wait_for(judged, within_s, f"{frames} judged frames")

    def children(self) -> dict[str, psutil.Process]:
        """The stage processes by the name of their row (told from their logs' order of starting: by board row)."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                match = re.search(r"row=(\S+)", " ".join(child.cmdline()))
                if match:
                    found[match[1]] = child
        return found

    def stop(self, number: int = signal.SIGTERM, within_s: float = 30.0) -> int:
        """Send a signal and wait; returns the exit code. After a stop in good order no frame may be in flight."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=within_s)
        if code == 0:
            said = [line for line in self.log.splitlines() if '"frames of this run"' in line]
            assert said, f"the service has not said what became of its frames:\n{self.log}"
            for line in said:
                assert closed(json.loads(line))["in_flight"] == 0, line
        return code

    def close(self) -> None:
        """Kill what is left, by pid."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._log.close()


@contextlib.contextmanager
def running(config: Path, log: Path, *overrides: str) -> Iterator[Service]:
    service = Service(config, log, *overrides)
    try:
        yield service
    finally:
        service.close()
