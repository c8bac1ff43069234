"""H.264 and H.265 as packets of units, made by real encoders and then taken apart by the tests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from tests.capture.videos import picture

FPS = 25
ENCODERS = {"h264": "libx264", "hevc": "libx265"}
SLICES = {"h264": range(1, 6), "hevc": range(32)}
_START_CODE = re.compile(b"\0*\0\0\x01")


def encoded(codec: str, count: int, *, gop: int = 10, size: tuple[int, int] = (320, 240), **more: str) -> list[bytes]:
    """One packet in start-code form a picture, in the order of showing; `more` are parameters of x264 or x265."""
    encoder = av.CodecContext.create(ENCODERS[codec], "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.gop_size = "yuv420p", gop
    encoder.time_base, encoder.framerate = Fraction(1, FPS), Fraction(FPS)
    own = {"log-level": "none", "bframes": "0"} if codec == "hevc" else {"bframes": "0", "sliced-threads": "0"}
    parameters = ":".join(f"{name.replace('_', '-')}={value}" for name, value in {**own, **more}.items())
    name = "x265-params" if codec == "hevc" else "x264-params"
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", name: parameters}
    packets: list[bytes] = []
    for index in range(count):
        frame = av.VideoFrame.from_ndarray(picture(index, *size), format="bgr24").reformat(format="yuv420p")
        frame.pts = index
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets + [bytes(packet) for packet in encoder.encode(None)]


def units(packet: bytes) -> list[bytes]:
    """The units of a packet in start-code form, without their start codes."""
    return [unit for unit in _START_CODE.split(packet) if unit]


def joined(parts: Sequence[bytes]) -> bytes:
    """A packet of these units."""
    return b"".join(b"\0\0\0\1" + part for part in parts)


def kind(codec: str, unit: bytes) -> int:
    """The type of a unit (nal_unit_type)."""
    return unit[0] >> 1 & 0x3F if codec == "hevc" else unit[0] & 0x1F


def is_slice(codec: str, unit: bytes) -> bool:
    return kind(codec, unit) in SLICES[codec]


def header(codec: str, number: int) -> bytes:
    """The header of a unit of this type."""
    return bytes([number << 1, 1]) if codec == "hevc" else bytes([0x60 | number if number in (5, 7, 8) else number])


def write_raw(path: Path, packets: Sequence[bytes]) -> Path:
    """A raw stream as a file; its name has to end in .h264 or .h265."""
    path.write_bytes(b"".join(packets))
    return path


def write_in_container(path: Path, codec: str, packets: Sequence[bytes], keys: Sequence[int]) -> Path:
    """The packets in MP4, Matroska or MPEG-TS; `keys` are the indices of the key frames."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(ENCODERS[codec], rate=FPS)
        stream.width, stream.height = 320, 240
        stream.pix_fmt = "yuv420p"
        for index, data in enumerate(packets):
            packet: av.Packet[av.VideoStream] = av.Packet(data)
            packet.pts = packet.dts = index
            packet.time_base, packet.stream = Fraction(1, FPS), stream
            packet.is_keyframe = index in keys
            output.mux(packet)
    return path


def write_for_server(path: Path, packets: Sequence[bytes]) -> Path:
    """The packets as `rtsp_units_server.py` reads them."""
    path.write_bytes(b"".join(len(packet).to_bytes(4, "big") + packet for packet in packets))
    return path
