"""The process `track` as the supervisor starts it, fed with inspections over its real channels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_inspect.config.models import Config
from stream_inspect.messages import AnyMessage, Event, Inspection, Tracked
from stream_inspect.service.heartbeats import HeartbeatTable, ProcessState
from stream_inspect.service.plan import plan
from stream_inspect.service.process import LOG_FD, LaunchSpec
from stream_inspect.service.run_dir import heartbeats_path, ledger_path, records_path
from stream_inspect.store.events import EventStore
from stream_inspect.store.files import events_database
from stream_inspect.transport.ledger import Ledger
from stream_inspect.transport.zmq import ZmqChannels
from tests.track.test_track_stage import inspection

FEEDER = "inspect.0"
FRAMES_S = 30


class TrackProcess:
    """`track` of a line with one camera, in which a new defect shows every second frame, each in two frames.

    Defect k is confirmed by frame 2k + 1: once that frame has been answered with its `Tracked`, the event is due.
    """

    def __init__(self, run_dir: Path, state_dir: Path, log: Path, **more: Any) -> None:
        """`more` are sections of the configuration."""
        self.state_dir, self._run_dir, self._log_path = state_dir, run_dir, log
        self.config = Config.model_validate(
            {
                "version": 1,
                "state_dir": str(state_dir),
                "cameras": [{"name": "top", "source": {"kind": "synthetic"}}],
                "defects": [{"name": "scratch", "prompts": ["a scratch"]}],
                "track": {"forget_after_s": 1},
                "transport": {"ring_dir": str(run_dir)},
                "log": {"format": "json"},
                "web": {"enabled": False},
                "recorder": {"enabled": False},
                **more,
            }
        )
        the_plan = plan(self.config)
        self._index = next(index for index, row in enumerate(the_plan.rows) if row.name == "track")
        records_path(run_dir).mkdir(exist_ok=True)
        self._heartbeats = HeartbeatTable(heartbeats_path(run_dir), len(the_plan.rows), create=True)
        self._ledger = Ledger.create(ledger_path(run_dir), ["top"])
        self._channels = ZmqChannels(run_dir, FEEDER, the_plan.writers())
        self._channels.subscribe("tracked")
        self._channels.subscribe("events")
        self._owner = 0
        self._frame = 0
        self._sent_s: dict[int, float] = {}
        self.answered: set[int] = set()
        self.announced: list[Event] = []
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, with a number of its own as after each restart, and wait until its stage is open."""
        self._owner += 1
        self._heartbeats.start(self._index, self._owner)
        spec = LaunchSpec("track", self._owner, 0, self._run_dir, self.config, None, ())
        with self._log_path.open("ab") as log:
            # Through a pipe: a process whose files cannot grow must still be able to log.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stream_inspect.service.process", str(os.getpid()), "row=track"],
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, LOG_FD: "2"},
                text=True,
            )
            self._logger = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=log)
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.process.stdin.write(spec.to_json())
        self.process.stdin.close()
        self._until(lambda: self._heartbeats.state(self._index) is ProcessState.RUNNING, 30)
        self._frame += 6 + self._frame % 2  # a new defect: what was half seen is unknown to the new process

    def feed(self, seconds: float) -> list[float]:
        """Judged frames in real time: the seconds from each one to its `Tracked`. The heartbeat must never be late."""
        answers_s: list[float] = []
        end_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < end_s:
            self._send_frame(now_s)
            while time.monotonic() < now_s + 1 / FRAMES_S:
                answers_s += self._receive(0.005)
            assert self._heartbeats.silence_s(self._index) < 8, "the supervisor would soon have killed it"
            assert self.process is not None
            assert self.process.poll() is None, self.log
        return answers_s

    def send(self, topic: str, message: AnyMessage) -> None:
        """Send it a message, which waits for its next process where there is none."""
        if isinstance(message, Inspection):
            self._sent_s[message.frame.id.seq] = time.monotonic()
        assert self._channels.send(topic, message)

    def wait_for(self, condition: Callable[[], bool], within_s: float = 30.0) -> None:
        """Until this holds."""
        self._until(condition, within_s)

    def settle(self, within_s: float = 30.0) -> None:
        """Until the event log holds what is due and everything in it of this process has been announced."""
        self._until(lambda: self.due() <= self.confirmed(), within_s)
        self._until(lambda: self._receive(0.05) == [] and self.in_log()[-1] in self.announced, within_s)

    def kill(self) -> None:
        """As the kernel does when memory is out."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._logger.wait()

    def stop(self) -> None:
        """As the supervisor does."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(10) == 0
        self._logger.wait()

    def close(self) -> None:
        if self.process is not None:
            self.kill()
        self._channels.close()

    def due(self) -> set[int]:
        """The frames that have confirmed a defect, by what came back from the process."""
        return {frame for frame in self.answered if frame % 2}

    def confirmed(self) -> set[int]:
        """The frames whose events are in the log."""
        return {event.frame.seq for event in self.in_log() if event.state == "confirmed" and event.frame}

    def in_log(self) -> list[Event]:
        store = EventStore(events_database(self.state_dir))
        events = [event for _, event in store.after(0, 100_000)]
        store.close()
        return events

    @property
    def log(self) -> str:
        return self._log_path.read_text()

    def said(self, text: str) -> list[dict[str, Any]]:
        """The lines of its log with this text."""
        return [line for line in map(json.loads, self.log.splitlines()) if text in line["event"]]

    def _send_frame(self, now_s: float) -> None:
        k = self._frame // 2
        x, y = 50.0 + 120 * (k % 10), 50.0 + 120 * (k // 10 % 5)
        self._sent_s[self._frame] = now_s
        assert self._channels.send("inspections", inspection(self._frame, (x, y, x + 40, y + 40), camera="top"))
        self._frame += 1

    def _receive(self, timeout_s: float) -> list[float]:
        answers_s = []
        for message in self._channels.receive(timeout_s):
            if isinstance(message, Tracked):
                self.answered.add(message.frame.id.seq)
                answers_s.append(time.monotonic() - self._sent_s[message.frame.id.seq])
            elif isinstance(message, Event):
                self.announced.append(message)
        return answers_s

    def _until(self, condition: Callable[[], bool], within_s: float) -> None:
        deadline_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline_s, self.log
            self._receive(0.02)
