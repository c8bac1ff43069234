#!/usr/bin/python3
"""A real RTSP server that sends recorded packets exactly as they are. Run by the system's python3 with gi.

Each file is one video stream of the mount /camera, in a loop: its packets, each after its length (four bytes, big
endian), in start-code form. Prints `READY <port>` on stdout once it listens on 127.0.0.1.
"""

import argparse
import signal
import sys
from fractions import Fraction
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

LINES = {
    "h264": "appsrc name=source{0} caps=video/x-h264,stream-format=byte-stream,alignment=au{1} ! rtph264pay",
    "h265": "appsrc name=source{0} caps=video/x-h265,stream-format=byte-stream,alignment=au{1} ! rtph265pay",
    "mjpeg": "appsrc name=source{0} caps=image/jpeg{1} ! jpegparse ! rtpjpegpay",
}


def packets(path: str) -> list[bytes]:
    data, found, at = Path(path).read_bytes(), [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


class Source:
    """Feeds one appsrc with packets at their times."""

    def __init__(self, element: Gst.Element, data: list[bytes], fps: Fraction) -> None:
        self._data, self._index, self._fps = data, 0, fps
        element.set_property("format", Gst.Format.TIME)
        element.set_property("block", True)
        element.set_property("max-bytes", 200_000)
        element.connect("need-data", self._need)

    def _need(self, element: Gst.Element, _size: int) -> None:
        buffer = Gst.Buffer.new_wrapped(self._data[self._index % len(self._data)])
        buffer.pts = buffer.dts = int(self._index * Gst.SECOND / self._fps)
        buffer.duration = int(Gst.SECOND / self._fps)
        self._index += 1
        element.emit("push-buffer", buffer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--codec", choices=sorted(LINES), default="h264")
    parser.add_argument("--fps", type=Fraction, default=Fraction(25))
    parser.add_argument("--rate-not-told", action="store_true", help="leave the frame rate out of the description")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(args.port))
    rate = "" if args.rate_not_told else f",framerate={args.fps.numerator}/{args.fps.denominator}"
    lines = [
        f"{LINES[args.codec].format(index, rate)} name=pay{index} pt={96 + index}" for index in range(len(args.files))
    ]
    data = [packets(path) for path in args.files]
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {' '.join(lines)} )")
    factory.set_shared(True)
    factory.set_latency(0)
    sources: list[Source] = []

    def configure(_factory: object, media: GstRtspServer.RTSPMedia) -> None:
        for index, each in enumerate(data):
            sources.append(Source(media.get_element().get_by_name(f"source{index}"), each, args.fps))

    factory.connect("media-configure", configure)
    server.get_mount_points().add_factory("/camera", factory)
    if not server.attach(None):
        sys.exit(f"cannot listen on port {args.port}")
    loop = GLib.MainLoop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal_number, loop.quit)
    print("READY", server.get_bound_port(), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
