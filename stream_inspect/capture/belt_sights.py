"""What a camera's frames show of its belt, one after the other: how far it has run in the session, and its parts.

The way is added up here, where no frame is missed: a process that was killed meanwhile finds it in the next sight.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from stream_inspect.belt.background import LearnedBelt
from stream_inspect.belt.look import BeltLook, BeltLooked
from stream_inspect.belt.position import BeltLimits, Position
from stream_inspect.belt.ways import Ways
from stream_inspect.capture.belt_look import WayLook, make_look
from stream_inspect.capture.reports import belt_sight
from stream_inspect.config.models import CameraConfig, LineConfig
from stream_inspect.log import get_logger
from stream_inspect.messages import BeltSight, FrameHeader
from stream_inspect.picture import Picture

_KEPT_EVERY_NS = 5 * 10**9


class BeltSights:
    """The sights of one camera, in order. It reads no clock: the same frames give the same sights.

    The way is counted in the session's own time: how late a frame arrives says nothing of the belt. `memory` is a file
    in memory that outlives the process and has what it learned of the empty belt: the next one, to which the belt never
    shows itself empty, would see no part.
    """

    def __init__(self, look: BeltLook | WayLook, limits: BeltLimits, memory: Path | None = None) -> None:
        self._look = look
        self._memory = memory
        self._kept_ns: int | None = None
        """When that was kept, by the frames' capture."""
        self._is_kept = True
        self._log = get_logger(__name__, stage="capture")
        if memory is not None and isinstance(look, BeltLook):
            self._recall(look, memory)
        self._limits = limits
        self._ways = Ways(limits)
        self._session: int | None = None
        self._pts_ns = 0

    def see(self, frame: FrameHeader, picture: Picture) -> BeltSight:
        """What the next frame shows."""
        if frame.id.session != self._session:
            self._session = frame.id.session
            self._ways = Ways(self._limits)
            self._look.reset()
        looked = self._look.see(picture, frame.id.pts_s)
        if self._kept_ns is None or frame.capture_mono_ns - self._kept_ns >= _KEPT_EVERY_NS:
            self._keep(frame.capture_mono_ns)
        return belt_sight(frame, looked, self._way(looked, frame.id.pts_s))

    def _recall(self, look: BeltLook, memory: Path) -> None:
        try:
            look.recall(msgspec.msgpack.decode(memory.read_bytes(), type=LearnedBelt))
        except FileNotFoundError:
            pass
        except (msgspec.DecodeError, OSError) as error:
            self._log.warning("the empty belt is learned again", error=str(error))

    def _keep(self, now_mono_ns: int) -> None:
        learned = self._look.learned if isinstance(self._look, BeltLook) else None
        if self._memory is None or learned is None:
            return
        self._kept_ns = now_mono_ns
        written = self._memory.with_name(f"{self._memory.name}.new")
        try:
            written.write_bytes(msgspec.msgpack.encode(learned))
            written.replace(self._memory)
        except OSError as error:
            if self._is_kept:
                self._log.warning("cannot keep what the empty belt looks like", error=str(error))
            self._is_kept = False
        else:
            self._is_kept = True

    def _way(self, looked: BeltLooked, pts_s: float) -> Position | None:
        if not self._look.measures_way:
            return None
        since_ns, self._pts_ns = self._pts_ns, _ns(pts_s)
        if looked.moved_mm is None or looked.since_s is None:
            return self._ways.moved(since_ns, self._pts_ns, 0.0, 0.0, confidence=0.0)
        sigma_mm = float(looked.sigma_mm or 0.0)
        return self._ways.moved(_ns(looked.since_s), self._pts_ns, float(looked.moved_mm), sigma_mm, looked.confidence)


def make_sights(camera: CameraConfig, line: LineConfig | None, memory: Path | None = None) -> BeltSights | None:
    """None where nothing is asked of the belt, see `make_look`."""
    look = make_look(camera, line)
    if look is None or camera.belt is None:
        return None
    return BeltSights(look, BeltLimits(max_speed_mm_s=camera.belt.fastest_mm_s), memory)


def _ns(pts_s: float) -> int:
    return round(pts_s * 1e9)
