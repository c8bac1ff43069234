"""Which frames to ask for, which to judge next, and how many at once. Pure: times come in as arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stream_inspect.messages import Credit, DueFrame, Output

RESEND_NS = 1_000_000_000
"""A credit that nobody answered for this long is given anew: the camera may have been restarted meanwhile."""
GROW_AFTER_NS = 60_000_000_000
"""A batch that was halved for lack of memory is doubled again after this long without another lack."""


class Credits:
    """One outstanding ticket a camera. Each new one has a number of its own, so that an old answer is told apart."""

    def __init__(self, worker: str, owner: int, cameras: Sequence[str]) -> None:
        self._worker = worker
        self._owner = owner
        self._cameras = tuple(cameras)
        self._outstanding: dict[str, tuple[int, int]] = {}
        self._last_ticket = 0

    def ask(self, now_mono_ns: int) -> Iterable[Output]:
        """Credits for all cameras that have none, or one that was not answered in time."""
        for camera in self._cameras:
            outstanding = self._outstanding.get(camera)
            if outstanding is None or now_mono_ns - outstanding[1] >= RESEND_NS:
                self._last_ticket += 1
                self._outstanding[camera] = (self._last_ticket, now_mono_ns)
                credit = Credit(worker=self._worker, owner=self._owner, ticket=self._last_ticket)
                yield Output("credit", credit, camera)

    def answered(self, due: DueFrame) -> None:
        """A frame has come. The answer to an older ticket leaves the newer one outstanding."""
        camera = due.header.id.camera
        if camera in self._outstanding and self._outstanding[camera][0] == due.ticket:
            del self._outstanding[camera]


class Waiting:
    """Frames that have come and are not judged yet: hardly more than one a camera."""

    def __init__(self) -> None:
        self._frames: dict[str, list[DueFrame]] = {}
        self._last_turn: dict[str, int] = {}
        self._turn = 0

    def __len__(self) -> int:
        return sum(len(frames) for frames in self._frames.values())

    def add(self, due: DueFrame) -> None:
        """A frame has come."""
        self._frames.setdefault(due.header.id.camera, []).append(due)

    def take(self, at_most: int) -> list[DueFrame]:
        """The next frames to judge: the camera whose turn was longest ago first, and of each camera the freshest."""
        taken: list[DueFrame] = []
        while len(taken) < at_most and self._frames:
            camera = min(self._frames, key=lambda name: (self._last_turn.get(name, 0), -self._freshest(name)))
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


class BatchLimit:
    """How many frames go into one batch: halved when memory runs out, doubled again when it has sufficed for long."""

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
        """A batch went well."""
        if self.frames < self._most and now_mono_ns - self._changed_mono_ns >= GROW_AFTER_NS:
            self.frames = min(self._most, self.frames * 2)
            self._changed_mono_ns = now_mono_ns
