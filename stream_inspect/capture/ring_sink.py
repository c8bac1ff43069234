"""The frame ring as the sink that cameras write their pictures to."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from stream_inspect.config.models import TransportConfig
from stream_inspect.messages import RingSlot
from stream_inspect.picture import UInt8Array
from stream_inspect.transport.ring import UNMAP_EVERY_S, NoRoomError, RingWriter, slot_count

_ASSUMED_FPS = 30.0
_ROOM_WAIT_S = 3 * UNMAP_EVERY_S
"""By now readers have unmapped a deleted ring: its memory is free, if it ever will be."""
_ROOM_POLL_S = 0.1


class RingSink:
    """Hands out slots of a ring of the right size, and creates a new ring when the picture size changes.

    Ring files are `ring_dir/<prefix>.<number>.ring`; `number` is new for each size.
    """

    def __init__(self, ring_dir: Path, prefix: str, transport: TransportConfig) -> None:
        self._ring_dir = ring_dir
        self._prefix = prefix
        self._transport = transport
        self._ring: RingWriter | None = None
        self._size = (0, 0)
        self._number = 0
        self.fps: float | None = None
        """Frame rate that the source reports, if any; decides how many slots a new ring has."""
        self.stopping = threading.Event()
        """Set to end the wait for free memory at once."""

    def remove_left_behind(self) -> None:
        """Remove the rings of an earlier run of this camera's process, which was killed."""
        for path in self._ring_dir.glob(f"{self._prefix}.*.ring"):
            path.unlink(missing_ok=True)

    def slot(self, width_px: int, height_px: int) -> UInt8Array:
        """The slot for the next picture. Raises `RingError` where a ring for it cannot be created.

        It is a `NoRoomError` where there is no memory for the ring even after waiting for readers to unmap the old one.
        """
        if self._ring is None or self._size != (width_px, height_px):
            self._renew(width_px, height_px)
        assert self._ring is not None
        return self._ring.begin()

    def commit(self) -> RingSlot:
        """Publish the picture in the slot to readers."""
        assert self._ring is not None
        return self._ring.commit()

    def close(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def _renew(self, width_px: int, height_px: int) -> None:
        limits = self._transport
        slots = slot_count(limits.ring_s, self.fps or _ASSUMED_FPS, width_px, height_px, limits.ring_max_mb)
        self.close()  # first: the memory may not suffice for both
        path = self._ring_dir / f"{self._prefix}.{self._number}.ring"
        self._ring = self._made(path, slots, width_px, height_px)
        self._size = (width_px, height_px)
        self._number += 1

    def _made(self, path: Path, slots: int, width_px: int, height_px: int) -> RingWriter:
        """The ring, as soon as the readers of the previous one have unmapped it."""
        give_up_s = time.monotonic() + _ROOM_WAIT_S
        while True:
            try:
                return RingWriter(path, slots, width_px, height_px)
            except NoRoomError:
                if time.monotonic() >= give_up_s or self.stopping.wait(_ROOM_POLL_S):
                    raise
