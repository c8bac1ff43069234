"""Tracks and events of a replay: the service's own chain, driven by the recording's clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import BinaryIO

import msgspec

from stream_inspect.commands.parts_file import PartsFile
from stream_inspect.commands.replay.recording import ReplayFrame
from stream_inspect.config.models import Config
from stream_inspect.decide.event_log import MemoryLog
from stream_inspect.messages import Condition, Event, Output, PartsSeen, PartVerdict, Tracked, event_json
from stream_inspect.service.chain import judging_chain

_AFTERWARDS_NS = 3600 * 10**9
"""How far the clock runs past the last frame: longer than the chain waits for anything, so that all tracks end."""


class Verdicts:
    """Passes frames through the chain, in order, and writes the events to `file` as JSON lines.

    `parts` gets what becomes known of parts, where they are accounted for.
    """

    def __init__(self, config: Config, file: BinaryIO, parts: PartsFile | None = None) -> None:
        self._file = file
        self._parts = parts
        self._now_ns = 0
        self._chain = judging_chain(config, MemoryLog(), clock=lambda: self._now_ns)
        self.events: list[Event] = []

    def open(self) -> None:
        """Raises `UnknownPluginError` for a tracker that does not exist."""
        self._chain.open()

    def follow(self, frame: ReplayFrame) -> None:
        """The next frame, with its inspection if it was due; sets its `tracked`."""
        self._now_ns = frame.header.capture_mono_ns
        self._write(self._chain.tick(self._now_ns))
        self._write(self._chain.process(frame.conditions))
        if frame.sight is not None:
            # Which frames are due is known once they are judged.
            self._write(self._chain.process([msgspec.structs.replace(frame.sight, frame=frame.header)]))
        if frame.inspection is not None:
            frame.tracked = self._write(self._chain.process([frame.inspection]))

    def finish(self, conditions: Sequence[Condition]) -> None:
        """After the last frame: what is still open ends, as it does on a line that has fallen silent."""
        self._now_ns += _AFTERWARDS_NS
        self._write(self._chain.tick(self._now_ns))
        self._write(self._chain.process(conditions))
        self._write(self._chain.finish())
        if self._parts is not None:
            self._parts.end()

    def close(self) -> None:
        self._chain.close()

    def _write(self, outputs: Iterable[Output]) -> Tracked | None:
        """Keep the events; the last `Tracked`, if there is one."""
        tracked = None
        for output in outputs:
            if output.topic == "events" and isinstance(output.message, Event):
                self.events.append(output.message)
                self._file.write(event_json(output.message) + b"\n")
            elif self._parts is not None and isinstance(output.message, PartsSeen | PartVerdict):
                self._parts.note(output.message)
            elif isinstance(output.message, Tracked):
                tracked = output.message
        return tracked
