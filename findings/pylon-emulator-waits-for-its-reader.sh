#!/bin/sh
# Guess:    a free-running emulated camera is a fair stand-in for testing a slow reader: while nobody fetches for 2 s at
#           50 pictures a second, some 80 are lost, and BlockID, the skipped images or a buffer underrun say so.
# Seen:     with GrabStrategy_OneByOne the emulator stops when its 10 buffers are full and goes on afterwards as if
#           nothing had been: numbers without a gap, no skipped image, no underrun, and the moving test image goes on by
#           one step. The 10 buffers come out at once, 2 s old, and TimeStamp is always 0. With
#           GrabStrategy_LatestImageOnly it does run on, and some 90 are counted as skipped.
# Versions: pypylon 26.9 (pylon with camera emulation; no camera needed).
# Source:   the InstantCamera's MaxNumBuffer (10) and the emulator's transport layer, closed source; seen from outside.
# Do:       test lost pictures with LatestImageOnly, or with a fake that runs on its own clock; note the time when a
#           result is fetched, and do not take age or loss from this emulator: a reader that loses on a real camera
#           passes here.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pypylon==26.9 numpy==2.2.6
PYLON_CAMEMU=1 "$folder/venv/bin/python" - <<'END'
import time

from pypylon import pylon

RATE, PAUSE_S, BEFORE = 50.0, 2.0, 20

camera = pylon.InstantCamera(pylon.TlFactory.GetInstance().CreateFirstDevice())
camera.Open()
camera.Width.Value, camera.Height.Value, camera.PixelFormat.Value = 64, 64, "Mono8"
camera.TestImageSelector.Value = "Testimage2"
camera.AcquisitionFrameRateAbs.Value = RATE


def read(strategy):
    """Fetch 20 pictures, none for 2 s, then 30 more."""
    camera.StartGrabbing(strategy)
    rows = []
    for number in range(BEFORE + 30):
        if number == BEFORE:
            time.sleep(PAUSE_S)
        result = camera.RetrieveResult(2000)
        rows.append((time.monotonic(), result.BlockID, result.GetNumberOfSkippedImages(), result.TimeStamp))
        steps.append(int(result.Array[0, 0]))
        result.Release()
    camera.StopGrabbing()
    times, blocks, skipped, stamps = zip(*rows, strict=True)
    gaps = sum(b - a - 1 for a, b in zip(blocks, blocks[1:]))
    at_once = sum(t - times[BEFORE] < 0.5 / RATE for t in times[BEFORE:])
    return {"gaps": gaps, "skipped": sum(skipped), "at once": at_once, "stamps": set(stamps)}


steps = []
one_by_one = read(pylon.GrabStrategy_OneByOne)
moved = {(b - a) % 256 for a, b in zip(steps, steps[1:])}
latest = read(pylon.GrabStrategy_LatestImageOnly)
underruns = camera.GetStreamGrabberNodeMap().GetNode("Statistic_Buffer_Underrun_Count").Value
camera.Close()
print("OneByOne       ", one_by_one, "steps of the test image", moved)
print("LatestImageOnly", latest)
print("underruns      ", underruns)
assert (one_by_one["gaps"], one_by_one["skipped"], one_by_one["stamps"], moved) == (0, 0, {0}, {1})
assert 8 <= one_by_one["at once"] <= 12
assert latest["gaps"] == latest["skipped"] > 0.6 * PAUSE_S * RATE and latest["stamps"] == {0}
assert underruns == 0
END
