"""The frame rings of a camera whose pictures change their size: those of the latest sizes are kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from stream_inspect.capture.ring_sink import RingSink
from stream_inspect.config.models import TransportConfig
from stream_inspect.transport.ring import MIN_SLOTS, NoRoomError, RingWriter, slot_count

_MOST_SLOTS = 32
"""A picture waits for those before it to be judged, so few lie in a ring at once; the recorder may be late by the
rest."""
_SIZES = 8
"""So many rings share `ring_max_mb`."""
_POLL_S = 0.05
_DRAINED_WITHIN_S = 5.0
"""By now a picture in flight has been judged, unless the model is very slow: it is then dropped, and counted."""


class StillsRings(RingSink):
    """A `RingSink` that keeps the rings of the latest picture sizes: what lies in them may not be judged yet.

    A ring is deleted for lack of memory alone, the oldest first, once `in_flight` says that nothing is.
    """

    def __init__(self, ring_dir: Path, prefix: str, transport: TransportConfig, in_flight: Callable[[], bool]) -> None:
        super().__init__(ring_dir, prefix, transport)
        self._in_flight = in_flight
        self._kept: dict[tuple[int, int], RingWriter] = {}
        """By size; the one used last comes last."""

    def _renew(self, width_px: int, height_px: int) -> None:
        size = width_px, height_px
        ring = self._kept.pop(size, None)
        if ring is None:
            fitting = slot_count(1.0, _SIZES * _MOST_SLOTS, *size, self._transport.ring_max_mb)
            ring = self._new_ring(max(MIN_SLOTS, fitting // _SIZES), size)
        self._kept[size] = ring
        self._ring, self._size = ring, size

    def _new_ring(self, slots: int, size: tuple[int, int]) -> RingWriter:
        path = self._ring_dir / f"{self._prefix}.{self._number}.ring"
        self._number += 1
        while len(self._kept) >= _SIZES:
            self._delete_oldest()
        while self._kept:
            try:
                return RingWriter(path, slots, *size)
            except NoRoomError:
                self._delete_oldest()
        return self._made(path, slots, *size)

    def _delete_oldest(self) -> None:
        give_up_s = time.monotonic() + _DRAINED_WITHIN_S
        idle = 0  # twice idle is idle: a frame may be on its way from the reader to the stage
        while idle < 2 and time.monotonic() < give_up_s:
            idle = 0 if self._in_flight() else idle + 1
            if self.stopping.wait(_POLL_S):
                break
        self._kept.pop(next(iter(self._kept))).close()
