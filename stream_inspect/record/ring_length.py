"""How long a camera's ring really is: `ring_max_mb` and the frame rate may make it shorter than `ring_s`."""

from __future__ import annotations

from stream_inspect.messages import FrameHeader


class RingLength:
    """Measured by how soon a slot is written again; `configured_s` until that has happened, and never more."""

    def __init__(self, configured_s: float) -> None:
        self._configured_s = configured_s
        self._path = ""
        self._written_mono_ns: dict[int, int] = {}
        self.seconds = configured_s

    def see(self, header: FrameHeader) -> None:
        """Take in the header of the newest frame."""
        if header.slot is None:
            return
        if header.slot.path != self._path:
            self._path, self.seconds = header.slot.path, self._configured_s
            self._written_mono_ns.clear()
        before_ns = self._written_mono_ns.get(header.slot.index)
        self._written_mono_ns[header.slot.index] = header.capture_mono_ns
        if before_ns is not None:
            self.seconds = min(self._configured_s, (header.capture_mono_ns - before_ns) / 1e9)
