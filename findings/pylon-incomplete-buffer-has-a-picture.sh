#!/bin/sh
# Guess:    a buffer that was not completely grabbed says why in its ErrorCode, and has no array: .Array raises.
# Seen:     with the camera emulator of pylon, forced to fail: GrabSucceeded() is False and ErrorDescription "The buffer
#           was incompletely grabbed.", but ErrorCode is 0, and .Array gives a picture of the full width and height
#           without a word, partly filled: here a test image of mean 128 has a mean below 20, a "dark part".
#           An incomplete one also counts in ImageNumber and BlockID, and GetNumberOfSkippedImages() stays 0.
# Versions: pypylon 26.9 (pylon with camera emulation; no camera needed).
# Source:   the emulator's features ForceFailedBuffer and ForceFailedBufferCount; pypylon/pylon.py, GrabResult.GetArray
#           looks at pixel type, size and padding of the buffer, not at GrabSucceeded(). What ErrorCode a camera gives
#           for a buffer like that was not tried.
# Do:       ask GrabSucceeded() before anything else of a result, and count what it refuses: neither a check of
#           ErrorCode != 0, nor try/except, nor a gap in the numbers finds a damaged picture.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pypylon==26.9 numpy==2.2.6
PYLON_CAMEMU=1 "$folder/venv/bin/python" - <<'END'
from pypylon import pylon

camera = pylon.InstantCamera(pylon.TlFactory.GetInstance().CreateFirstDevice())
camera.Open()
camera.Width.Value, camera.Height.Value, camera.PixelFormat.Value = 640, 480, "Mono8"
camera.TestImageSelector.Value = "Testimage1"
camera.AcquisitionFrameRateAbs.Value = 20.0
camera.ForceFailedBufferCount.Value = 2
camera.StartGrabbing(pylon.GrabStrategy_OneByOne)
camera.ForceFailedBuffer.Execute()
seen = []
for _ in range(5):
    result = camera.RetrieveResult(2000)
    array = result.Array
    seen.append(
        {
            "succeeded": result.GrabSucceeded(),
            "error": (result.ErrorCode, result.ErrorDescription),
            "array": array.shape,
            "mean": float(array.mean()),
            "numbers": (result.ImageNumber, result.BlockID, result.GetNumberOfSkippedImages()),
        }
    )
    print(seen[-1])
    result.Release()
camera.Close()

failed = [one for one in seen if not one["succeeded"]]
whole = [one for one in seen if one["succeeded"]]
assert len(failed) == 2 and len(whole) == 3
assert all(one["error"] == (0, "The buffer was incompletely grabbed.") for one in failed)
assert all(one["array"] == (480, 640) for one in seen)
assert all(one["mean"] < 20 for one in failed) and all(one["mean"] > 100 for one in whole)
assert [one["numbers"] for one in seen] == [(n + 1, n, 0) for n in range(5)]
END
