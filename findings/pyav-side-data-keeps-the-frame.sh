#!/bin/sh
# Guess:    reading frame.side_data costs a lookup; the frame and its pixels are freed when the last name of it goes.
# Seen:     what it returns is kept in the frame and refers to the frame: a reference cycle. Of 100 frames of which it
#           was read, none is freed before Python collects cycles, which a program that makes few objects does after
#           minutes. Reading it of a frame that has none is enough.
# Versions: PyAV 18.1.0.
# Source:   av/frame.py, the property side_data; av/sidedata/sidedata.py, _SideDataContainer.__init__.
# Do:       make the container yourself, av.sidedata.sidedata.SideDataContainer(frame), which the frame does not keep.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'END'
import gc
import sys

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer

FRAMES = 100


def left_behind(read):
    """How many of so many frames only a collection of cycles frees."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    for _ in range(FRAMES):
        frame = av.VideoFrame.from_ndarray(np.zeros((36, 64, 3), np.uint8), format="rgb24")
        read(frame)
        del frame
    gc.collect()
    gc.set_debug(0)
    count = sum(isinstance(one, av.VideoFrame) for one in gc.garbage)
    gc.garbage.clear()
    return count


gc.disable()
kept, own = left_behind(lambda frame: len(frame.side_data)), left_behind(lambda frame: len(SideDataContainer(frame)))
print(f"of {FRAMES} frames wait for a collection: {kept} after frame.side_data, {own} after SideDataContainer(frame)")
sys.exit((kept, own) != (FRAMES, 0))
END
