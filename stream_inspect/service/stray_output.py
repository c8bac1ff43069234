"""What the child processes write to stderr past their logs becomes lines of the log.

C libraries print there (FFmpeg, OpenCV, x264, malloc before it aborts), and so does Python when it crashes or cannot
even start. The process itself cannot turn that into log lines: it may be dying. So its stderr is a pipe that the
supervisor reads; its log goes to another descriptor.
"""

from __future__ import annotations

import os
import selectors
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from stream_inspect.log import get_logger

_QUIET_S = 0.2
"""What is written within this time is one output, a crash's list of threads for example."""
_WHOLE_AFTER_S = 1.0
"""So is what a library prints without a pause, up to here."""
_LONGEST_BYTES = 12_000
"""The last ones: a crash's words come after whatever was printed before."""
_LOG_EVERY_S = 10.0
"""One line of each process in this time: some libraries print something for each frame."""


@dataclass(slots=True)
class _Pipe:
    process: str
    text: bytes = b""
    began_mono_s: float = 0.0
    read_mono_s: float = 0.0


class StrayOutput:
    """Reads the pipes of all children in one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = os.pipe()
        self._selector.register(self._wake_r, selectors.EVENT_READ, None)
        self._pipes: dict[int, _Pipe] = {}
        self._next_line_mono_s: dict[str, float] = {}
        self._left_out: dict[str, int] = {}
        self._closing = False
        self._lock = threading.Lock()
        self._log = get_logger("stderr")
        self._thread = threading.Thread(target=self._run, name="stray-output", daemon=True)
        self._thread.start()

    def pipe(self, process: str) -> int:
        """A descriptor for the stderr of this process; close it when the process has inherited it."""
        read_end, write_end = os.pipe()
        # A library must lose its text rather than wait, should we ever not read.
        os.set_blocking(write_end, False)
        with self._lock:
            self._pipes[read_end] = _Pipe(process)
        self._selector.register(read_end, selectors.EVENT_READ, process)
        os.write(self._wake_w, b"+")
        return write_end

    def close(self) -> None:
        """Log what has been written, and stop reading."""
        if self._closing:
            return
        self._closing = True
        os.write(self._wake_w, b".")
        self._thread.join()
        for descriptor in (*self._pipes, self._wake_r, self._wake_w):
            os.close(descriptor)
        self._pipes.clear()
        self._selector.close()

    # --- in the thread ---

    def _run(self) -> None:
        while not self._closing:
            waits = any(pipe.text for pipe in list(self._pipes.values()))
            for key, _ in self._selector.select(_QUIET_S / 2 if waits else None):
                if key.fd == self._wake_r:
                    os.read(self._wake_r, 4096)
                else:
                    self._read(key.fd)
            now_s = time.monotonic()
            for pipe in list(self._pipes.values()):
                is_whole = now_s - pipe.read_mono_s > _QUIET_S or now_s - pipe.began_mono_s > _WHOLE_AFTER_S
                if pipe.text and is_whole:
                    self._flush(pipe)
        for descriptor, pipe in list(self._pipes.items()):
            os.set_blocking(descriptor, False)
            with suppress(BlockingIOError):
                self._read(descriptor)
            self._flush(pipe, is_last=True)

    def _read(self, descriptor: int) -> None:
        pipe = self._pipes[descriptor]
        if text := os.read(descriptor, 65536):
            pipe.read_mono_s = time.monotonic()
            pipe.began_mono_s = pipe.began_mono_s if pipe.text else pipe.read_mono_s
            pipe.text = (pipe.text + text)[-_LONGEST_BYTES:]
            return
        self._flush(pipe, is_last=True)
        self._selector.unregister(descriptor)
        with self._lock:
            del self._pipes[descriptor]
        os.close(descriptor)

    def _flush(self, pipe: _Pipe, *, is_last: bool = False) -> None:
        """Log it, unless the process has had its line; its last words are always logged."""
        text, pipe.text = pipe.text.decode(errors="replace").strip(), b""
        now_s = time.monotonic()
        if not text:
            return
        if not is_last and now_s < self._next_line_mono_s.get(pipe.process, 0.0):
            self._left_out[pipe.process] = self._left_out.get(pipe.process, 0) + 1
            return
        self._next_line_mono_s[pipe.process] = now_s + _LOG_EVERY_S
        details = {"left_out": left_out} if (left_out := self._left_out.pop(pipe.process, 0)) else {}
        self._log.warning("output of a library", process=pipe.process, text=text, **details)
