#!/bin/sh
# Guess:    a camera that refreshes its picture in columns (intra refresh, for a constant bit rate) can be joined at any
#           time: after one period the picture is whole. A packet with the key flag starts with a whole picture.
# Seen:     streams of x264 and x265, intra-refresh=1, 320x240, a period of 30, read from packet 10 and from packet 30:
#           H.264: the packets of the next periods have the key flag, but 18 more pictures are missing until the first
#           one is given out, so a clip cut at a key packet is 0.6 s short. From then on each is like the sender's.
#           H.265: after the first one no packet has the key flag, and no picture ever comes, without an error. With
#           the flag output_corrupt all come, each marked is_corrupt for ever, though from the 35th on each is like
#           the sender's. The stream is valid: x265 writes neither an IRAP picture nor a recovery point message.
#           H.265 with a recovery point message of 34 pictures added in packet 30: whole pictures come, from the 35th
#           on; and with output_corrupt all come at once, none of them marked, the first 34 broken.
# Versions: PyAV 18.1.0 (FFmpeg 8.1.2 with its x264 and x265).
# Source:   libavcodec/hevc/refs.c, ff_hevc_set_new_ref: nothing is given out before recovery_poc, which an IRAP
#           picture or the recovery point message sets; libavcodec/h264dec.c: recovery_frame.
# Do:       turn intra refresh off in the camera, or connect with output_corrupt and discard what comes in the first
#           two periods by yourself: is_corrupt is wrong both ways. "Connected, no error, no picture" is a sign of it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'END'
import io

import av
import numpy as np
from av.codec.context import Flags

PERIOD, FRAMES = 30, 90
RECOVERY_IN_34 = bytes.fromhex("000001 4e01 0602 0221 80")  # a supplemental message of type 6: 34 pictures, near


def encoded(encoder, parameters, name):
    """(packet, its key flag) of a noisy picture with a bar that moves."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 60, (240, 320, 1), np.uint8)
    with av.open(file, "w", format=name) as container:
        stream = container.add_stream(f"lib{encoder}", rate=30, options={f"{encoder}-params": parameters})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for i in range(FRAMES):
            picture = np.repeat(noise + 90, 3, axis=2)
            picture[:, 3 * i : 3 * i + 20] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, format=name) as container:
        return [(bytes(packet), packet.is_keyframe) for packet in container.demux(video=0) if packet.size]


def decoded(codec, packets, *, flags=0):
    """(Y plane, is_corrupt) of each picture that is given out."""
    context = av.CodecContext.create(codec, "r")
    context.thread_count, context.flags = 1, flags
    pictures = []
    for packet in [*map(av.Packet, packets), None]:
        try:
            pictures += [(frame.to_ndarray()[:240].astype(int), frame.is_corrupt) for frame in context.decode(packet)]
        except av.error.InvalidDataError:
            pass  # H.264 before the first parameter sets: said, and as it should be
    return pictures


def joined(codec, packets, at, *, flags=0):
    """Pictures given out from packet `at` on, those marked, those within 5 grey levels of the sender's."""
    sent = [picture for picture, _ in decoded(codec, packets)]
    got = decoded(codec, packets[at:], flags=flags)
    right = [bool(np.abs(got[-i][0] - sent[-i]).max() < 6) for i in range(1, len(got) + 1)]
    return len(got), sum(corrupt for _, corrupt in got), sum(right)


seen = {}
for codec, encoder, more in (
    ("h264", "x264", "threads=1"),
    ("hevc", "x265", "pools=none:frame-threads=1:log-level=none"),
):
    stream = encoded(encoder, f"intra-refresh=1:keyint={PERIOD}:bframes=0:{more}", codec)
    packets = [packet for packet, _ in stream]
    assert len(decoded(codec, packets)) == FRAMES
    keys = [i for i, (_, key) in enumerate(stream) if key]
    variants = {codec: packets}
    if codec == "hevc":
        with_message = list(packets)
        at = packets[PERIOD].index(b"\0\0\1\x02\x01")  # the picture's first slice, after the parameter sets
        with_message[PERIOD] = packets[PERIOD][:at] + RECOVERY_IN_34 + packets[PERIOD][at:]
        variants["hevc with recovery point"] = with_message
    seen[codec] = keys
    print(f"{codec}: key packets {keys}; pictures given out, marked corrupt, like the sender's:")
    for name, variant in variants.items():
        for at in (10, PERIOD):
            for flags in (0, int(Flags.output_corrupt)):
                seen[name, at, bool(flags)] = numbers = joined(codec, variant, at, flags=flags)
                print(f"  {name}, from packet {at}{', output_corrupt' if flags else ''}: {numbers}")

assert seen["h264"] == [0, 30, 60] and seen["hevc"] == [0]
for at in (10, PERIOD):
    assert seen["h264", at, False] == (42, 0, 42) and seen["h264", at, True] == (60, 18, 42)
    assert seen["hevc", at, False] == (0, 0, 0) and seen["hevc", at, True] == (60, 60, 26)
    assert seen["hevc with recovery point", at, False] == (26, 0, 26)
    assert seen["hevc with recovery point", at, True] == (60, 0, 26)
END
