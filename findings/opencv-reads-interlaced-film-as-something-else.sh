#!/bin/sh
# Guess:    cv2.VideoCapture gives the two fields of an interlaced H.264 film woven together, as it always has; and a
#           picture that cannot be converted makes read() return False.
# Seen:     from 4.13 on read() returns True for each of the 30 pictures, all 30 are the same, and none has anything to
#           do with the film; 4.12 and earlier give the film. The only sign is swscale's line on stderr, "Cannot convert
#           interlaced to progressive frames", once a picture. Progressive film is right in both.
# Versions: opencv-python-headless 4.12.0.88 (right), 4.13.0.92 and 5.0.0.93 (wrong); film by PyAV 18.1.0.
# Source:   the message is libswscale's, for a source marked interlaced and a target that is not; it converts nothing.
#           VideoCapture's retrieve (modules/videoio/src/cap_ffmpeg_impl.hpp) hands out its buffer all the same.
# Do:       set the camera to progressive, or read by PyAV; where OpenCV stays, compare two pictures of moving film at
#           start-up, since neither ok nor isOpened() tells.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install -q --disable-pip-version-check "$@"; }
pip av==18.1.0 numpy==2.2.6
for version in 4.12.0.88 4.13.0.92 5.0.0.93; do
    pip --no-deps --target "$folder/$version" opencv-python-headless=="$version"
done
cat >"$folder/read.py" <<'END'
import sys

import cv2
import numpy as np

pictures = []
capture = cv2.VideoCapture(sys.argv[1])
while (read := capture.read())[0]:
    pictures.append(read[1].copy())
film = np.load(sys.argv[2])
right = [bool(np.abs(got.astype(int) - sent).mean() < 5) for got, sent in zip(pictures, film, strict=True)]
print(len(pictures), sum(right), len({picture.tobytes() for picture in pictures}))
END
"$folder/venv/bin/python" - "$folder" <<'END'
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np

folder = Path(sys.argv[1])
film = np.full((30, 240, 320, 3), 120, np.uint8)
for i, picture in enumerate(film):
    picture[:, 8 * i : 8 * i + 20] = 220
np.save(folder / "film.npy", film)
for name, option in {"progressive": "tff=0", "interlaced": "tff=1"}.items():
    with av.open(str(folder / f"{name}.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": option})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for picture in film:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))

seen = {}
for version in ("4.12.0.88", "4.13.0.92", "5.0.0.93"):
    for name in ("progressive", "interlaced"):
        command = [sys.executable, folder / "read.py", folder / f"{name}.mp4", folder / "film.npy"]
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": str(folder / version)}, capture_output=True, text=True, check=True
        )
        read, right, different = map(int, done.stdout.split())
        print(f"OpenCV {version} {name:11}: {read} read with ok, {right} show the film, {different} differ")
        seen[version, name] = (read, right, different)
for version in ("4.12.0.88", "4.13.0.92", "5.0.0.93"):
    assert seen[version, "progressive"] == (30, 30, 30)
assert seen["4.12.0.88", "interlaced"] == (30, 30, 30)
assert seen["4.13.0.92", "interlaced"] == seen["5.0.0.93", "interlaced"] == (30, 0, 1)
END
