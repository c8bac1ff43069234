#!/bin/sh
# Guess:    FFmpeg's RTSP reader puts the camera's wall-clock, from its sender reports, to each packet (side data prft):
#           the time at which that picture was taken.
# Seen:     a camera that says in its reports when each picture was taken, one each 40 ms, the first report before
#           picture 3. (a) The first prft stands at picture 2 with the time of picture 3: 40 ms late. All later ones are
#           right to 0.1 ms. (b) With an RTP clock that runs 1 % fast (a bad crystal, exaggerated) prft goes wrong by
#           0.4 ms a picture and is right again at each report; start_time_realtime + pts, the time that most examples
#           compute, is fixed at the first report and is 38 ms off after 100 pictures: 50 ppm make 4 s a day.
# Versions: PyAV 18.1.0 (FFmpeg 8.1.2), RTSP over TCP. The script is the camera: valid H.264, RTP and RTCP.
# Source:   libavformat/rtsp.c, ff_rtsp_fetch_packet: start_time_realtime is set while unset. rtpdec.c, rtp_set_prft,
#           puts the time to the packet that arrives, and the parser, which holds a picture until the next one begins,
#           gives it the side data of that next packet, the only one that has any.
# Do:       take prft, leave the first one of every connection out, and use neither start_time_realtime nor a time
#           that was worked out once at the connection.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'END'
import base64
import io
import socket
import struct
import threading
import time

import av
import numpy as np

PICTURES, STEP_S, REPORT_EVERY, FIRST_REPORT, START_S = 100, 0.04, 12, 3, 1_800_000_000.0
NTP_OF_UNIX_S = 2_208_988_800


def access_units():
    """A picture's NAL units each, small enough for one RTP packet; the first has the parameter sets."""
    file, noise = io.BytesIO(), np.random.default_rng(0)
    with av.open(file, "w", format="h264") as container:
        x264 = {"x264-params": "keyint=10:bframes=0:qp=40"}
        stream = container.add_stream("libx264", rate=25, options=x264)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for i in range(PICTURES):
            picture = noise.integers(0, 255, (64, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, format="h264") as container:
        for packet in container.demux(video=0):
            if packet.size:
                yield [nal.rstrip(b"\0") for nal in bytes(packet).split(b"\0\0\1") if nal.strip(b"\0")]


UNITS = list(access_units())


def interleaved(channel, body):
    return struct.pack(">BBH", 0x24, channel, len(body)) + body


def report(taken_s, ticks, sent):
    """RTCP sender report: this RTP time is that wall-clock time."""
    seconds, fraction = divmod(taken_s + NTP_OF_UNIX_S, 1)
    body = struct.pack(">BBHIIIIII", 0x80, 200, 6, 7, int(seconds), int(fraction * 2**32), ticks, sent, 0)
    return interleaved(1, body)


def play(connection, drift):
    """Picture n is taken at START_S + n * 40 ms; the RTP clock runs faster by `drift`. A report before each 12th."""
    sequence = 0
    for n, nals in enumerate(UNITS):
        taken_s, ticks = START_S + n * STEP_S, round(n * STEP_S * 90_000 * (1 + drift))
        if n % REPORT_EVERY == FIRST_REPORT:
            connection.sendall(report(taken_s, ticks, sequence))
        for nal in nals:
            mark = 0x80 if nal is nals[-1] else 0
            header = struct.pack(">BBHII", 0x80, mark | 96, sequence, ticks, 7)
            connection.sendall(interleaved(0, header + nal))
            sequence += 1
        time.sleep(0.005)


def serve(listener, drift):
    connection, _ = listener.accept()
    sets = ",".join(base64.b64encode(nal).decode() for nal in UNITS[0] if nal[0] & 31 in (7, 8))
    sdp = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=line\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
        f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\na=control:track\r\n"
    )
    requests = connection.makefile("rb")
    while line := requests.readline():
        method, fields = line.split()[0].decode(), {}
        while (field := requests.readline().strip()):
            name, _, value = field.decode().partition(":")
            fields[name.lower()] = value.strip()
        extra, body = {
            "DESCRIBE": ("Content-Type: application/sdp\r\n", sdp),
            "SETUP": ("Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", ""),
            "OPTIONS": ("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", ""),
        }.get(method, ("Session: 1\r\n", ""))
        head = f"RTSP/1.0 200 OK\r\nCSeq: {fields['cseq']}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
        connection.sendall((head + body).encode())
        if method == "PLAY":
            play(connection, drift)
            break
    connection.close()


def errors_ms(drift):
    """(picture, error of its prft in ms, error of start_time_realtime + pts in ms) for each packet with a prft."""
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, drift), daemon=True).start()
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/line"
        options = {"rtsp_transport": "tcp", "probesize": "32", "analyzeduration": "0"}
        with av.open(url, options=options, timeout=10) as container:
            for packet in container.demux(video=0):
                if packet.size and packet.has_sidedata("prft"):
                    (number,) = [n for n, nals in enumerate(UNITS) if nals[-1] in bytes(packet)]
                    (microseconds,) = struct.unpack_from("<q", bytes(packet.get_sidedata("prft")))
                    true_s = START_S + number * STEP_S
                    by_start_s = container.start_time_realtime / 1e6 + float(packet.pts * packet.time_base)
                    seen.append((number, (microseconds / 1e6 - true_s) * 1e3, (by_start_s - true_s) * 1e3))
    return [(number, round(prft, 1), round(start, 1)) for number, prft, start in seen]


exact, fast = errors_ms(0), errors_ms(0.01)
for name, rows in (("clock exact", exact), ("clock 1 % fast", fast)):
    print(name, *rows[:4], "...", *rows[-3:])
assert exact[0][:2] == (2, 40.0) and [row[0] for row in exact] == list(range(2, PICTURES))
assert all(abs(prft) <= 0.1 and abs(start) <= 0.1 for _, prft, start in exact[1:])
assert fast[0][:2] == (2, 40.0) and all(abs(prft) <= 4.5 for _, prft, _ in fast[1:])
assert 37 < fast[-1][2] < 40
END
