"""A video of a belt that runs to the right, empty at first, with bright parts on it; 1 px is 1 mm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from tests.belt.pictures import FPS, HEIGHT_PX, WIDTH_PX, texture, views

STEP_PX = 8
"""The belt's way in each frame."""
SIZE_PX, LANE_PX = 120, (120, 240)
"""Length of each part, and its place across the belt."""


def write_conveyor(path: Path, enters: Sequence[int], frames: int) -> None:
    """`enters` are the frames in which the leading edge of each part comes into the picture."""
    lying = texture("rubber", WIDTH_PX + frames * STEP_PX)
    for first in enters:
        right = lying.shape[1] - WIDTH_PX - first * STEP_PX
        cv2.rectangle(lying, (right - SIZE_PX, LANE_PX[0]), (right - 1, LANE_PX[1] - 1), 200.0, cv2.FILLED)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=round(FPS), options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        for index, picture in enumerate(views(lying, range(0, frames * STEP_PX, STEP_PX))):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture.i420), format="yuv420p")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
