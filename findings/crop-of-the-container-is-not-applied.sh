#!/bin/sh
# Guess:    where a file says which part of the coded picture is the picture (clap in MP4, PixelCropTop in Matroska: a
#           recorder that codes 16 rows more than it shows), the decoder cuts it out, as it does for H.264's own
#           cropping; or the stream says that it is to be done.
# Seen:     320x256 coded, of which the file says that the upper 16 rows are not in the picture: PyAV and OpenCV give
#           all 256 rows, and no attribute and no side data of packet or frame tells. FFmpeg has read it: it stands in
#           the text of dumps_format() as "Frame Cropping: 0/0/16/0", and a remux carries it on into MP4 and Matroska.
#           In a player that honours it a box found in the decoded picture is then drawn 16 rows too low.
# Versions: PyAV 18.1.0 (FFmpeg 8.1.2), opencv-python-headless 5.0.0.93.
# Source:   libavformat/mov.c and matroskadec.c put AV_PKT_DATA_FRAME_CROPPING to the stream's coded side data, and in
#           FFmpeg only its command line applies that (-apply_cropping); PyAV has no access to coded side data.
# Do:       look for "Frame Cropping" in the text once per file, and crop by yourself or refuse the file; where clips
#           are remuxed, judge and draw in one and the same picture.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.2.6 opencv-python-headless==5.0.0.93
"$folder/venv/bin/python" - "$folder" <<'END'
import os
import struct
import sys
from pathlib import Path

import av
import av.logging
import cv2
import numpy as np

os.chdir(sys.argv[1])
CODED, NOT_SHOWN = (256, 320), 16


def film(path):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = CODED
        stream.pix_fmt = "yuv420p"
        picture = np.full((*CODED, 3), 100, np.uint8)
        picture[:NOT_SHOWN] = 250
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def with_clap(data):
    """The MP4 with a clean aperture of 320x240, whose centre is 8 rows below that of the coded picture."""
    height = CODED[0] - NOT_SHOWN
    box = struct.pack(">I4s8i", 40, b"clap", CODED[1], 1, height, 1, 0, 1, NOT_SHOWN // 2, 1)
    at, end, parents = 0, len(data), []
    fixed = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"stsd": 8, b"avc1": 78}
    for name, header in fixed.items():
        while data[at + 4 : at + 8] != name:
            at += int.from_bytes(data[at : at + 4])
        parents.append(at)
        at, end = at + 8 + header, at + int.from_bytes(data[at : at + 4])
    data = bytearray(data)
    for parent in parents:
        data[parent : parent + 4] = (int.from_bytes(data[parent : parent + 4]) + len(box)).to_bytes(4)
    return bytes(data[:end] + box + data[end:])


def remux(path, target):
    with av.open(path) as source, av.open(target, "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)


def seen(path):
    """What PyAV and OpenCV give: rows and the first pixel; side data; and what the text says."""
    with av.open(path) as container:
        text = "Frame Cropping: 0/0/16/0" in container.dumps_format()
        sides = [side.data_type for packet in container.demux(video=0) for side in packet.iter_sidedata()]
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        rows = (container.streams.video[0].height, frame.height)
        pixel = int(frame.to_ndarray(format="gray")[0, 0])
    _, picture = cv2.VideoCapture(path).read()
    crop = [str(side.type) for side in frame.side_data if "CROP" in str(side.type).upper()]
    return {"av": rows, "cv2": picture.shape[0], "bright": pixel > 200, "side data": sides + crop, "text": text}


film("plain.mp4")
av.logging.set_level(av.logging.INFO)  # dumps_format() is empty without
Path("clap.mp4").write_bytes(with_clap(Path("plain.mp4").read_bytes()))
remux("clap.mp4", "remuxed.mp4")
remux("clap.mp4", "remuxed.mkv")
files = {name: seen(name) for name in ("plain.mp4", "clap.mp4", "remuxed.mp4", "remuxed.mkv")}
for name, what in files.items():
    print(name, what)
    assert what == {"av": (256, 256), "cv2": 256, "bright": True, "side data": [], "text": name != "plain.mp4"}, name
END
