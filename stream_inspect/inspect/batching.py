"""Which frames to ask for, which to judge next, and how many at once. Pure: times come in as arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stream_inspect.messages import CREDIT_REPEAT_S, Credit, DueFrame, Output

RESEND_NS = round(CREDIT_REPEAT_S * 1e9)
"""A credit that was not answered for this long is given again: the camera may have been restarted meanwhile."""
MIN_ANSWER_TIMEOUT_NS, MAX_ANSWER_TIMEOUT_NS = 20_000_000, 250_000_000
"""How long to wait for an answer before another camera is asked in its place: half the time of judging a frame, within
these limits. Less would make frames wait here, more would leave the worker idle."""
GROW_AFTER_NS = 60_000_000_000
"""A batch that was halved for lack of memory is doubled again after this long without another shortage."""


@dataclass(slots=True)
class _Asked:
    """The camera's newest ticket, when it was given, and since when the camera has not answered."""

    ticket: int
    given_mono_ns: int
    since_mono_ns: int


class Credits:
    """At most one outstanding ticket a camera. Each has a number of its own, so that an old answer is recognised.

    Only as many cameras are asked as there is room for, so that a frame is fresh when its judging begins, and the
    camera whose turn was longest ago comes first. A camera that does not answer within the time-out (it has nothing
    due, or no picture) takes up no more room: its ticket remains valid, and others are asked. So a worker that has time
    asks all cameras, and each due frame comes at once.
    """

    def __init__(self, worker: str, owner: int, cameras: Sequence[str]) -> None:
        self._worker = worker
        self._owner = owner
        self._cameras = tuple(cameras)
        self._asked: dict[str, _Asked] = {}
        self._last_ticket = 0

    def ask(self, now_mono_ns: int, room: int, waiting: Waiting, answer_timeout_ns: int) -> Iterable[Output]:
        """Credits for `room` cameras, less those that are expected to answer, and again for those that did not.

        A camera of which a frame is waiting is not asked.
        """
        for camera, asked in self._asked.items():
            if now_mono_ns - asked.given_mono_ns >= RESEND_NS:
                yield self._credit(camera, now_mono_ns, asked.since_mono_ns)
        idle = [camera for camera in self._cameras if camera not in self._asked and not waiting.has(camera)]
        idle.sort(key=waiting.last_turn)
        for camera in idle[: max(0, room - self.expected(now_mono_ns, answer_timeout_ns))]:
            yield self._credit(camera, now_mono_ns, now_mono_ns)

    def expected(self, now_mono_ns: int, answer_timeout_ns: int) -> int:
        """Answers that may come at any moment."""
        return sum(now_mono_ns - asked.since_mono_ns < answer_timeout_ns for asked in self._asked.values())

    def answered(self, due: DueFrame) -> None:
        """A frame has arrived. The answer to an older ticket leaves the newer one outstanding."""
        camera = due.header.id.camera
        if camera in self._asked and self._asked[camera].ticket == due.ticket:
            del self._asked[camera]

    def _credit(self, camera: str, now_mono_ns: int, since_mono_ns: int) -> Output:
        self._last_ticket += 1
        self._asked[camera] = _Asked(self._last_ticket, now_mono_ns, since_mono_ns)
        return Output("credit", Credit(worker=self._worker, owner=self._owner, ticket=self._last_ticket), camera)


class Waiting:
    """Frames that have arrived and are not judged yet, and when each camera had its last turn."""

    def __init__(self) -> None:
        self._frames: dict[str, list[DueFrame]] = {}
        self._last_turn: dict[str, int] = {}
        self._turn = 0

    def __len__(self) -> int:
        return sum(len(frames) for frames in self._frames.values())

    def add(self, due: DueFrame) -> None:
        """A frame has arrived."""
        self._frames.setdefault(due.header.id.camera, []).append(due)

    def has(self, camera: str) -> bool:
        """Whether a frame of this camera is waiting."""
        return camera in self._frames

    def last_turn(self, camera: str) -> int:
        """Smaller for cameras that were served longer ago."""
        return self._last_turn.get(camera, 0)

    def take(self, at_most: int) -> list[DueFrame]:
        """The next frames to judge: the camera whose turn was longest ago first, and of each camera the freshest."""
        taken: list[DueFrame] = []
        while len(taken) < at_most and self._frames:
            camera = min(self._frames, key=lambda name: (self.last_turn(name), -self._freshest(name)))
            frames = self._frames[camera]
            freshest = max(frames, key=lambda due: due.header.capture_mono_ns)
            frames.remove(freshest)
            if not frames:
                del self._frames[camera]
            self._turn += 1
            self._last_turn[camera] = self._turn
            taken.append(freshest)
        return taken

    def drain(self) -> list[DueFrame]:
        """All of them, to be accounted for otherwise."""
        frames = [due for waiting in self._frames.values() for due in waiting]
        self._frames.clear()
        return frames

    def _freshest(self, camera: str) -> int:
        return max(due.header.capture_mono_ns for due in self._frames[camera])


class JudgingRate:
    """How long judging takes, measured on the last batch, and what follows from that."""

    def __init__(self, shortest_period_s: float) -> None:
        self._period_ns = shortest_period_s * 1e9
        self._ns_a_frame: float | None = None

    def judged(self, frames: int, took_ns: int) -> None:
        """This many frames took this long together."""
        self._ns_a_frame = took_ns / frames

    def keeps_up(self, frames: int) -> bool:
        """Whether this many frames take less than a sampling period: then the next may wait here meanwhile.

        Otherwise they would be older than those that the cameras have when the batch ends.
        """
        return self._ns_a_frame is not None and self._ns_a_frame * frames < self._period_ns

    def room(self, batch_frames: int) -> int:
        """Frames that may be here or on their way: a batch, or as many as are judged in half a sampling period."""
        if not self._ns_a_frame:
            return batch_frames
        return max(batch_frames, int(self._period_ns / 2 / self._ns_a_frame))

    @property
    def answer_timeout_ns(self) -> int:
        """How long to wait for a camera's answer before another one is asked in its place."""
        if self._ns_a_frame is None:
            return MAX_ANSWER_TIMEOUT_NS
        return round(min(max(self._ns_a_frame / 2, MIN_ANSWER_TIMEOUT_NS), MAX_ANSWER_TIMEOUT_NS))


class BatchLimit:
    """How many frames go into one batch: halved when memory runs out, doubled again after a while without that."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed_mono_ns = 0
        self.frames = most

    def out_of_memory(self, batch: int, now_mono_ns: int) -> bool:
        """A batch of this size did not fit. False when it was a single frame, so that nothing smaller can be tried."""
        if batch <= 1:
            return False
        self.frames = max(1, min(self.frames, batch) // 2)
        self._changed_mono_ns = now_mono_ns
        return True

    def fitted(self, now_mono_ns: int) -> None:
        """A batch fitted into memory."""
        if self.frames < self._most and now_mono_ns - self._changed_mono_ns >= GROW_AFTER_NS:
            self.frames = min(self._most, self.frames * 2)
            self._changed_mono_ns = now_mono_ns
