"""The side data of a decoded frame: what its file or its camera says of the picture beside the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import av
from av.sidedata.sidedata import SideData, SideDataContainer


def side_data_of(frame: av.VideoFrame) -> Mapping[str, SideData]:
    """By FFmpeg's name without `AV_FRAME_DATA_`: "DISPLAYMATRIX".

    `frame.side_data` would keep what it returns in the frame, which that refers to in turn. Python then frees the frame
    and its pixels with the next collection of cycles alone: after minutes, when there may be hundreds of them.
    """
    return cast(Mapping[str, SideData], SideDataContainer(frame))
