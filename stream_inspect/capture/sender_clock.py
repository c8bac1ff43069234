"""When a packet arrived, and when its picture was taken by the clock of the camera that sent it."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from typing import Any

import av

from stream_inspect.messages import Clock

_PRODUCER_TIME = struct.Struct("=q")
"""AVProducerReferenceTime begins with the wall clock in microseconds."""
_UTC_TRUST_NS = 5_000_000_000
"""A camera clock farther than this from the host's is not set: the times in its sender reports are ignored."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a packet arrived, and when its picture was taken by the best clock known."""

    mono_ns: int
    utc_ns: int
    clock: Clock


def arrived_now() -> Arrival:
    """The arrival time of a packet; called after the blocking read that returned it, never before."""
    return Arrival(time.monotonic_ns(), time.time_ns(), Clock.ARRIVAL)


class SenderClock:
    """The times that a camera sends by RTCP sender report, for one connection.

    FFmpeg attaches to each packet the time of the latest report, moved on by the packet's RTP time. The first time of a
    connection belongs to the packet after: FFmpeg's parser holds a picture until the next one begins, and that one
    brings the time. So the first one is left out. (The container's `start_time_realtime` plus pts agrees with all later
    ones, but is fixed at the first report: a crystal that is off by 50 ppm makes it wrong by four seconds a day.)
    """

    def __init__(self) -> None:
        self._reported = False

    def at(self, packet: av.Packet[Any], arrival: Arrival) -> Arrival:
        """The arrival of a packet, with the camera's own time where it has sent one that can be trusted."""
        if not packet.has_sidedata("prft"):
            return arrival
        first, self._reported = not self._reported, True
        (wallclock_us,) = _PRODUCER_TIME.unpack_from(bytes(packet.get_sidedata("prft")))
        utc_ns = wallclock_us * 1000
        if first or abs(utc_ns - arrival.utc_ns) >= _UTC_TRUST_NS:
            return arrival
        return Arrival(arrival.mono_ns, utc_ns, Clock.RTCP)
