"""The host time of a frame from the camera's own, free-running clock."""

from __future__ import annotations

from collections import deque

_WINDOW_FRAMES = 250
"""Long enough to contain an undelayed frame, short enough that a crystal's drift (50 ppm) stays below a millisecond."""


class DeviceClock:
    """Maps device timestamps to the host's monotonic clock.

    A frame is delayed by its transfer and by whatever the network and the scheduler add. The smallest delay of the last
    frames is the transfer alone, so device time plus that delay is steadier than the arrival time by milliseconds. Only
    the monotonic clock is used: a step of the wall clock does no harm.
    """

    def __init__(self) -> None:
        self._offsets_ns: deque[int] = deque(maxlen=_WINDOW_FRAMES)

    def host_mono_ns(self, device_ns: int, arrival_mono_ns: int) -> int:
        """When the frame of device time `device_ns`, which arrived now, would have arrived without extra delay."""
        self._offsets_ns.append(arrival_mono_ns - device_ns)
        return device_ns + min(self._offsets_ns)
