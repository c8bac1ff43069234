"""The only thread that reads plant inputs: connects again after a failure, queues what is read, counts what is lost."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from stream_inspect.backoff import Backoff, doubling_s
from stream_inspect.log import get_logger
from stream_inspect.plant.input import EncoderCount, PlantInput, PlantInputError, Reading

DEPTH = 4096
"""Readings that wait for the stage: more than ten seconds of an encoder at 200 Hz with its photo-eyes."""
RECONNECT_WAITS_S = doubling_s(0.1, 1.0)
CLOSE_S = 2.0
"""How long `close` waits for the thread: every call of an input ends within a second, but for a name server's."""
FAULT_LOG_S = 10.0
"""A value that is wrong every few milliseconds is logged once in this time."""


class PlantReader:
    """One input in a thread of its own: `open`, `take`, `close` never wait for the other side.

    When more than `depth` readings wait, old ones are dropped and counted: first those that a later one of the same
    name replaces, so that a recipe which changed once outlasts any number of counts.
    """

    def __init__(
        self, plant_input: PlantInput, *, name: str, depth: int = DEPTH, wake: Callable[[], None] = lambda: None
    ) -> None:
        """`wake` is called in the thread after readings were queued."""
        self._input = plant_input
        self._depth = depth
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: deque[Reading] = deque()
        self._latest: dict[str, Reading] = {}
        self._not_connected = "not connected yet"
        self._faults: dict[str, str] = {}
        self._logged_s: dict[str, float] = {}
        self._backoff = Backoff(RECONNECT_WAITS_S)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._name = name
        self._log = get_logger(__name__, input=name)
        self.received = 0
        """Readings that the input has handed over."""
        self.dropped = 0
        """Readings that were lost: not taken in time, or lost on their way as the other side says."""
        self.faults = 0
        """Values that were no reading."""

    @property
    def error(self) -> str:
        """What is wrong now, fit for a log; empty while everything that is configured can be read."""
        with self._lock:
            return self._not_connected or "; ".join(self._faults.values())

    def open(self) -> None:
        """Begin to read. Does not wait for the connection."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=f"plant-{self._name}", daemon=True)
        self._thread.start()

    def take(self) -> list[Reading]:
        """What was read since the last call, oldest first."""
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
        return taken

    def stop(self) -> None:
        """Ask the thread to end; `close` waits for it."""
        self._stopping.set()

    def close(self, within_s: float = CLOSE_S) -> None:
        """End the thread and its connection. May be called in any state."""
        self.stop()
        if self._thread is not None:
            self._thread.join(within_s)
            if self._thread.is_alive():
                self._log.warning("plant input does not stop", waited_s=round(within_s, 1))
            self._thread = None

    # --- the sink: for the input, in the thread ---

    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def wait(self, wait_s: float) -> bool:
        return self._stopping.wait(wait_s)

    def connected(self) -> None:
        with self._lock:
            was_down, self._not_connected = self._not_connected, ""
        if was_down:
            self._log.info("plant input connected")
        self._backoff.reset()

    def put(self, readings: Sequence[Reading]) -> None:
        if not readings:
            return
        with self._lock:
            for reading in readings:
                self._waiting.append(reading)
                self._latest[_name_of(reading)] = reading
            self.received += len(readings)
            before = self.dropped
            while len(self._waiting) > self._depth:
                self._drop_one()
            first_dropped = self.dropped > before and before == 0
        if first_dropped:
            self._log.warning("plant readings dropped: they were not taken in time", depth=self._depth)
        self._wake()

    def fault(self, what: str, text: str) -> None:
        if not text and what not in self._faults:
            return
        with self._lock:
            if text:
                self._faults[what] = text
                self.faults += 1
            else:
                del self._faults[what]
        now_s = time.monotonic()
        if text and now_s >= self._logged_s.get(what, 0.0):
            self._logged_s[what] = now_s + FAULT_LOG_S
            self._log.warning("plant value cannot be read", value=what, error=text)

    def lost(self, count: int) -> None:
        with self._lock:
            before, self.dropped = self.dropped, self.dropped + count
        if before == 0:
            self._log.warning("plant readings lost on their way", count=count)

    # --- the thread ---

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._input.read(self)
            except PlantInputError as error:
                self._failed(str(error))
            except Exception as error:  # a client library's, on what was sent to it: the next connection may work
                self._failed(f"{type(error).__name__}: {error}")
            self._stopping.wait(self._backoff.next_s())

    def _failed(self, text: str) -> None:
        with self._lock:
            is_new, self._not_connected = text != self._not_connected, text
            self._faults.clear()
        if is_new and not self._stopping.is_set():
            self._log.warning("plant input failed", error=text)

    def _drop_one(self) -> None:
        """The oldest that a later one of its name replaces, or, with more names than room, the oldest."""
        replaced = (at for at, one in enumerate(self._waiting) if self._latest[_name_of(one)] is not one)
        del self._waiting[next(replaced, 0)]
        self.dropped += 1


def _name_of(reading: Reading) -> str:
    return "" if isinstance(reading, EncoderCount) else reading.name
