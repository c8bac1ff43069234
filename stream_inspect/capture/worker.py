"""The only read loop, for all cameras: open, read until it fails, wait a little, open again, until stopped.

It runs in a thread of its own because devices and sockets block inside libraries; the stage never waits for it. Frames
pass from the thread to the stage through one bounded queue.
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stream_inspect import metrics
from stream_inspect.backoff import Backoff, doubling_s
from stream_inspect.capture.camera import (
    Camera,
    CameraError,
    CameraInfo,
    CapturedFrame,
    EndOfMediaError,
    NoPictureError,
)
from stream_inspect.capture.ring_sink import RingSink
from stream_inspect.log import Logger, get_logger
from stream_inspect.messages import Clock, RingSlot
from stream_inspect.stopping import CAPTURE_CLOSE_S
from stream_inspect.transport.ring import NoRoomError
from stream_inspect.transport.wake import Wake

_WAITS_S, _JITTER = doubling_s(0.1, 1.0), 0.5
"""Between attempts to connect. The jitter keeps the cameras of a site from connecting all at once after a power cut."""
_STEADY_S = _WAITS_S[-1]
"""A session that lasted as long as the longest wait worked: the next failure starts with the shortest wait again."""
_ONLY_BAD_S = 3.0
"""A source that sends only corrupt frames for this long has changed its codec or is garbage: reconnect ..."""
_ONLY_BAD_FRAMES = 5
"""... and for this many of its frames, where it is slow."""
_ERRORS_LOGGED = 5
"""Different errors logged in one outage: a camera that is off all night is logged once, not 30,000 times."""
_NUMBER = re.compile(r"\d+(\.\d+)?")
_MIN_SESSION_S = 0.1
"""From the start of one session to the start of the next: a very short recording, looped, would otherwise reconnect in
a tight loop."""
_JOIN_S = CAPTURE_CLOSE_S
"""A thread that is inside a library call is not waited for any longer: its process is about to exit anyway."""
_STOP_POLL_S = _JOIN_S / 3
"""How often a thread that waits for space in the queue checks for a stop: well within `_JOIN_S`."""


@dataclass(frozen=True, slots=True)
class QueuedFrame:
    """A frame in its ring slot, with its place in the session."""

    frame: CapturedFrame
    slot: RingSlot
    session: int
    seq: int


@dataclass(frozen=True, slots=True)
class CorruptFrame:
    """A frame that the source delivered corrupt: it is counted and has no picture."""

    mono_ns: int
    before_first: bool = False
    """No good frame of its session came before it: often a picture that began before the connection."""


class ReadLoop:
    """Reads one camera in a thread and queues its frames.

    `loop` restarts a finite source at its end, one frame interval after its last frame where it is `paced`. The queue
    holds `depth` frames; when it is full, reading pauses until `take`. `next_session` must not raise, and return within
    about a second: a camera is read whatever the disk does.
    """

    def __init__(
        self,
        name: str,
        camera: Camera,
        sink: RingSink,
        next_session: Callable[[], int],
        *,
        loop: bool = False,
        paced: bool = True,
        depth: int = 8,
    ) -> None:
        self._name = name
        self._camera = camera
        self._sink = sink
        self._next_session = next_session
        self._loop = loop
        self._paced = paced
        self._items: queue.Queue[QueuedFrame | CorruptFrame] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"read-{name}", daemon=True)
        self._log = get_logger(__name__, camera=name)
        self._up = metrics.CAMERA_UP.labels(name)
        self.wake = Wake()
        """Set when there is something to take."""
        self.info: CameraInfo | None = None
        """Of the latest session."""
        self.ended = False
        """A finite source has been read to its end; nothing more will come."""
        self.error = ""
        """Why the camera delivers no frames, as the log says; "" while it delivers some, and where nothing is known."""
        self.failure: Exception | None = None
        """The exception that ended the loop: a bug of ours, not a failure of the source."""
        self._call_began_s: float | None = None

    def start(self) -> None:
        self._up.set(0)
        self._thread.start()

    def take(self) -> QueuedFrame | CorruptFrame | None:
        """The oldest frame not yet taken, or None."""
        try:
            return self._items.get_nowait()
        except queue.Empty:
            return None

    @property
    def queued(self) -> tuple[int, int]:
        """Frames not yet taken, and how many there may be."""
        return self._items.qsize(), self._items.maxsize

    def blocked_s(self, now_s: float) -> float:
        """How long the thread has been inside the present call of the camera's library; 0 outside of one."""
        began_s = self._call_began_s
        return 0.0 if began_s is None else now_s - began_s

    def stop(self) -> bool:
        """Stop reading, within 0.3 s. False: the thread is still in a call of the camera's library and is abandoned."""
        if self._stop.is_set():
            return not self._thread.is_alive()
        self._stop.set()
        self._sink.stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            self._log.warning("camera library call did not return; abandoning the reader thread", waited_s=_JOIN_S)
            return False  # its descriptor stays open: the thread may still write to it
        self.wake.close()
        return True

    # --- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._read_until_stopped()
        except Exception as error:
            self.failure = error
        finally:
            self._up.set(0)
            self.wake.set()

    def _read_until_stopped(self) -> None:
        backoff = Backoff(_WAITS_S, _JITTER)
        outage = _Outage(self._log)
        shortfall = ""
        while not self._stop.is_set():
            began_s = time.monotonic()
            frames = _Count()
            try:
                self._read_session(frames, outage)
            except EndOfMediaError as end:
                if frames.good and not self._loop:
                    self.ended = True
                    self._log_end(end, frames)
                    return
                if frames.good and end.shortfall != shortfall:  # once, not at each turn
                    shortfall = end.shortfall
                    self._log_end(end, frames)
                if not frames.good:
                    self._failed(CameraError(f"{end}, without a frame"), outage)
                elif self._paced and self.info is not None and self.info.fps:
                    self._stop.wait(1 / self.info.fps)
            except (CameraError, NoRoomError) as error:
                self._failed(error, outage)
            finally:
                self._up.set(0)
                with self._in_library_call():
                    self._camera.close()
            if frames.good and time.monotonic() - began_s >= _STEADY_S:
                backoff.reset()
            if outage.lasts:
                self._stop.wait(backoff.next_s())
            self._stop.wait(max(0.0, began_s + _MIN_SESSION_S - time.monotonic()))

    def _log_end(self, end: EndOfMediaError, frames: _Count) -> None:
        counted = {"frames": frames.good, "bad_frames": frames.bad}
        if end.shortfall:
            self._log.warning("end of file", **counted, shortfall=end.shortfall)
        else:
            self._log.info("end of file", **counted)

    def _failed(self, error: Exception, outage: _Outage) -> None:
        self._hand_over_bad(getattr(error, "bad_frames", 0))
        metrics.CAPTURE_FAILURES.labels(self._name).inc()
        self.error = str(error)
        outage.failed(self.error, reached=isinstance(error, NoPictureError))

    def _read_session(self, frames: _Count, outage: _Outage) -> None:
        """One connection, until it fails or the loop is stopped."""
        self._sink.fps = None
        with self._in_library_call():
            self.info = info = self._camera.open()
        self._sink.fps = info.fps
        session = self._next_session()
        metrics.CAPTURE_SESSIONS.labels(self._name).inc()
        self._hand_over_bad(info.bad_frames)
        frames.bad = info.bad_frames
        last_good_s = time.monotonic()
        while not self._stop.is_set():
            with self._in_library_call():
                frame = self._camera.read(self._sink)
            if frame is None:
                frames.bad += 1
                self._hand_over_bad(1, before_first=frames.good == 0)
                is_live = info.clock is not Clock.MEDIA  # a recording is read to its end, also by a slow host
                only_bad_s = max(_ONLY_BAD_S, _ONLY_BAD_FRAMES / info.fps) if info.fps else _ONLY_BAD_S
                if is_live and time.monotonic() - last_good_s > only_bad_s:
                    raise CameraError(f"only corrupt frames for {only_bad_s:g} s")
                continue
            last_good_s = time.monotonic()
            if frames.good == 0:
                self._up.set(1)
                self.error = ""
                outage.over(info, session)
            self._hand_over(QueuedFrame(frame, self._sink.commit(), session, frames.good))
            frames.good += 1
            del frame  # its picture keeps the ring in memory, and the next one may need another ring

    @contextlib.contextmanager
    def _in_library_call(self) -> Iterator[None]:
        self._call_began_s = time.monotonic()
        try:
            yield
        finally:
            self._call_began_s = None

    def _hand_over_bad(self, count: int, *, before_first: bool = True) -> None:
        for _ in range(count):
            metrics.BAD_FRAMES.labels(self._name).inc()
            self._hand_over(CorruptFrame(time.monotonic_ns(), before_first))

    def _hand_over(self, item: QueuedFrame | CorruptFrame) -> None:
        while True:
            try:
                self._items.put(item, timeout=_STOP_POLL_S)
            except queue.Full:
                if self._stop.is_set():
                    return  # the stage has stopped reading; the frame counts as not captured
            else:
                self.wake.set()
                return


@dataclass(slots=True)
class _Count:
    good: int = 0
    bad: int = 0


class _Outage:
    """Logs once that the camera is lost and why, and once that it has reconnected."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._since_s = time.monotonic()
        self._errors: set[str] = set()
        self._seen = False

    @property
    def lasts(self) -> bool:
        return bool(self._errors)

    def failed(self, error: str, *, reached: bool) -> None:
        if not self._errors:
            self._since_s = time.monotonic()
        kind = _NUMBER.sub("", error)  # a count or a rate that differs does not make it another error
        if kind not in self._errors and len(self._errors) < _ERRORS_LOGGED:
            self._errors.add(kind)
            failure = "camera lost" if self._seen else "cannot connect to camera"
            self._log.warning("camera sends no picture" if reached else failure, error=error)

    def over(self, info: CameraInfo, session: int) -> None:
        details = {
            "session": session,
            "size_px": f"{info.width_px}x{info.height_px}",
            "fps": info.fps,
            "codec": info.codec,
        }
        if info.notes.honoured:
            details["pictures"] = "; ".join(info.notes.honoured)
        if self._errors:
            after_s = round(time.monotonic() - self._since_s, 2)
            self._log.info("camera reconnected" if self._seen else "camera connected", after_s=after_s, **details)
        elif not self._seen:
            self._log.info("camera connected", **details)
        for note in () if self._seen else info.notes.ignored:
            self._log.warning("pictures may not be judged as they are meant", pictures=note)
        self._seen = True
        self._errors.clear()
