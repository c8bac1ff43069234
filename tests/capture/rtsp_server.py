#!/usr/bin/python3
"""A real RTSP server for the camera tests, on GStreamer. Run by the system's python3, which has the gi bindings.

Prints `READY <port>` on stdout once it listens on 127.0.0.1. Each mount draws a moving picture and encodes it live:
/h264, /h265, /mjpeg, /camera (whichever of them --codec says) and /change (H.264 that changes its size in the middle of
the stream, every second). A mount whose encoder is not installed is left out; `MOUNTS` lists those there are.

A line on stdin changes the picture of all mounts while they are played: `PATTERN` or `PATTERN SPEED`, where a picture
with a speed scrolls by so many pixels a frame.
"""

import argparse
import itertools
import os
import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402


class Picture:
    """What all mounts show: the name of a pattern of `videotestsrc`, and how fast it scrolls."""

    def __init__(self, pattern: str, speed: int) -> None:
        self._pattern, self._speed = pattern, speed
        self._sources: list[Gst.Element] = []

    def of(self, _factory: object, media: object) -> None:
        """A mount begins to be played."""
        source = media.get_element().get_by_name("picture")
        self._sources.append(source)
        self._show(source)
        media.connect("unprepared", lambda _media: self._sources.remove(source))

    def read(self, stdin: int, condition: GLib.IOCondition) -> bool:
        """Lines came; the last one counts. False at the end of them."""
        lines = os.read(stdin, 4096).decode().splitlines()
        if not lines:
            return GLib.SOURCE_REMOVE
        self._pattern, speed = f"{lines[-1]} 0".split()[:2]
        self._speed = int(speed)
        for source in self._sources:
            self._show(source)
        return GLib.SOURCE_CONTINUE

    def _show(self, source: Gst.Element) -> None:
        Gst.util_set_object_arg(source, "pattern", self._pattern)
        source.set_property("horizontal-speed", self._speed)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--pixel", default="1/1", help="width of a pixel by its height, e.g. 16/15")
    parser.add_argument("--gop", type=int, default=25, help="frames from key frame to key frame")
    parser.add_argument("--pattern", default="ball", help="videotestsrc pattern, e.g. ball, black, blue, smpte")
    parser.add_argument("--speed", type=int, default=0, help="pixels a frame that the picture scrolls by")
    parser.add_argument("--codec", choices=("h264", "h265", "mjpeg"), help="what the mount /camera speaks")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--digest", action="store_true", help="Digest instead of Basic authentication")
    parser.add_argument("--drop", type=float, default=0.0, help="share of RTP packets to lose")
    return parser.parse_args()


def launch_lines(args: argparse.Namespace) -> dict[str, str]:
    """The GStreamer pipeline of each mount."""

    source = (
        f"videotestsrc name=picture is-live=true ! capsfilter name=size caps={raw_caps(args, args.width, args.height)}"
    )
    x264 = f"x264enc tune=zerolatency sliced-threads=false speed-preset=ultrafast bitrate=1500 key-int-max={args.gop}"
    x265 = f"x265enc tune=zerolatency speed-preset=ultrafast bitrate=1500 key-int-max={args.gop}"
    h264 = f"{x264} ! video/x-h264,profile=constrained-baseline ! rtph264pay pt=96 config-interval=-1"
    lines = {
        "h264": f"{source} ! {h264}",
        "h265": f"{source} ! {x265} ! h265parse config-interval=-1 ! rtph265pay pt=96 config-interval=-1",
        "mjpeg": f"{source} ! jpegenc quality=70 ! rtpjpegpay pt=26",
        "change": f"{source} ! {h264}",
    }
    if args.codec:
        lines["camera"] = lines[args.codec]
    return {mount: line for mount, line in lines.items() if encoder_installed(line)}


def raw_caps(args: argparse.Namespace, width: int, height: int) -> str:
    size = f"width={width},height={height},pixel-aspect-ratio={args.pixel}"
    return f"video/x-raw,format=I420,{size},framerate={args.fps}/1"


def change_size_every_second(_factory: object, media: object, args: argparse.Namespace) -> None:
    """Alternate between the full and half the size for as long as the stream is played."""
    sizes = itertools.cycle([(args.width // 2, args.height // 2), (args.width, args.height)])
    filter_element = media.get_element().get_by_name("size")

    def change() -> bool:
        filter_element.set_property("caps", Gst.Caps.from_string(raw_caps(args, *next(sizes))))
        return True

    timer = GLib.timeout_add_seconds(1, change)
    media.connect("unprepared", lambda _media: GLib.source_remove(timer))


def encoder_installed(line: str) -> bool:
    return all(Gst.ElementFactory.find(name) for name in ("x264enc", "x265enc", "jpegenc") if name in line)


def main() -> None:
    args = arguments()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(args.port))
    if args.user:
        server.set_auth(authentication(args))
    lines, picture = launch_lines(args), Picture(args.pattern, args.speed)
    for mount, line in lines.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {line} ! identity name=pay0 drop-probability={args.drop} )")
        factory.set_shared(True)
        factory.set_latency(0)
        factory.connect("media-configure", picture.of)
        if mount == "change":
            factory.connect("media-configure", change_size_every_second, args)
        factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP)
        if args.user:
            factory.set_permissions(permissions())
        server.get_mount_points().add_factory(f"/{mount}", factory)
    if not server.attach(None):
        sys.exit(f"cannot listen on port {args.port}")
    loop = GLib.MainLoop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal_number, loop.quit)
    GLib.io_add_watch(
        sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP, picture.read
    )
    GLib.timeout_add_seconds(2, lambda: server.get_session_pool().cleanup() is not None)
    print("MOUNTS", *lines, flush=True)
    print("READY", server.get_bound_port(), flush=True)
    loop.run()


def authentication(args: argparse.Namespace) -> GstRtspServer.RTSPAuth:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if args.digest:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(args.user, args.password, token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(args.user, args.password), token)
    return auth


def permissions() -> GstRtspServer.RTSPPermissions:
    allowed = GstRtspServer.RTSPPermissions()
    allowed.add_permission_for_role("viewer", "media.factory.access", True)
    allowed.add_permission_for_role("viewer", "media.factory.construct", True)
    return allowed


if __name__ == "__main__":
    main()
