"""The side data of a decoded frame: what its file or its camera says of its picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import av
from av.sidedata.sidedata import SideData, SideDataContainer


def side_data_of(frame: av.VideoFrame) -> Mapping[str, SideData]:
    """By FFmpeg's name without `AV_FRAME_DATA_`: "DISPLAYMATRIX".

    `frame.side_data` would keep what it returns in the frame, which that refers to in turn. Python then frees the frame
    and its pixels with the next collection of cycles alone: after minutes, when there may be hundreds of them.
    """
    container: Any = SideDataContainer  # PyAV's type stubs say nothing of what it is made from
    made: Mapping[str, SideData] = container(frame)
    return made
