"""Units that carry no picture, broken in every way: pictures are read as a plain decoder reads them, all of them."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import av.error
import numpy as np
import pytest

from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import CameraError
from stream_inspect.config.models import CameraConfig
from stream_inspect.picture import UInt8Array
from tests.capture.bitstreams import (
    encoded,
    header,
    is_slice,
    joined,
    kind,
    units,
    write_for_server,
    write_in_container,
    write_raw,
)
from tests.capture.harness import ArraySink
from tests.capture.processes import UnitsServer, need_rtsp_server

PICTURES = 12
SEI_TYPES = {
    "buffering period": 0,
    "picture timing": 1,
    "registered user data": 4,
    "user data": 5,
    "recovery point": 6,
    "frame packing": 45,
    "mastering display": 137,
    "private": 240,
}
OTHERS = {
    "h264": {
        "SPS": 7,
        "PPS": 8,
        "access unit delimiter": 9,
        "end of sequence": 10,
        "end of stream": 11,
        "filler": 12,
        "SPS extension": 13,
        "prefix": 14,
        "subset SPS": 15,
        "reserved": 17,
        "auxiliary slice": 19,
        "private type": 30,
    },
    "hevc": {
        "VPS": 32,
        "SPS": 33,
        "PPS": 34,
        "access unit delimiter": 35,
        "end of sequence": 36,
        "end of stream": 37,
        "filler": 38,
        "reserved": 41,
        "private type": 62,
    },
}
AT_KEY_FRAMES = {"end of sequence", "end of stream"}
"""What comes after them is a key frame, and these have one in front."""


def noise(count: int) -> bytes:
    """Bytes that look like no start code and no emulation of one."""
    return bytes(random.Random(count).choices(range(4, 256), k=count))


WAYS: dict[str, Callable[[bytes, int], bytes]] = {
    "too short": lambda unit, head: unit[: max(head + 1, len(unit) // 2)],
    "too long": lambda unit, head: unit + noise(40),
    "garbage": lambda unit, head: unit[:head] + noise(len(unit)),
    "empty": lambda unit, head: unit[:head],
    "half a header": lambda unit, head: unit[: head - 1],
}


def whole_units(codec: str, packet: bytes) -> dict[str, bytes]:
    """A whole unit of each kind, by name."""
    own = {kind(codec, unit): unit for unit in units(packet)}
    found = {name: own.get(number, header(codec, number) + b"\x50\x80") for name, number in OTHERS[codec].items()}
    for prefix, number in [("SEI", 6)] if codec == "h264" else [("SEI", 39), ("suffix SEI", 40)]:
        for name, payload in SEI_TYPES.items():
            content = bytes([payload, 24]) + noise(24) + b"\x80"
            found[f"{prefix}: {name}"] = header(codec, number) + content
    return found


def with_unit(codec: str, packets: list[bytes], name: str, unit: bytes) -> list[bytes]:
    """The stream with this unit before the slices of each picture, after them where it belongs there."""
    made = []
    for index, packet in enumerate(packets):
        parts = units(packet)
        first = next(at for at, part in enumerate(parts) if is_slice(codec, part))
        key = kind(codec, parts[first]) in ((5,) if codec == "h264" else range(16, 22))
        if name in AT_KEY_FRAMES:
            parts[:0] = [unit] if key and index else []
        elif name.startswith("suffix"):
            parts.append(unit)
        else:
            parts.insert(first, unit)
        made.append(joined(parts))
    return made


def plain(path: Path) -> list[UInt8Array]:
    """The pictures that FFmpeg decodes with its defaults, as YUV; like its tools it passes over what it cannot."""
    pictures: list[UInt8Array] = []
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            with contextlib.suppress(av.error.FFmpegError):
                pictures += [np.asarray(frame.to_ndarray(), np.uint8) for frame in packet.decode()]
    return pictures


def read(path: Path) -> list[UInt8Array | None]:
    """What the camera gives of a file; None for a bad frame."""
    camera = make_camera(
        CameraConfig.model_validate({"name": "c1", "source": {"kind": "file", "path": str(path), "pace": "fast"}})
    )
    found: list[UInt8Array | None] = []
    try:
        found += [None] * camera.open().bad_frames
        while True:
            frame = camera.read(ArraySink())
            found.append(None if frame is None else frame.picture.i420)
    except CameraError:
        return found
    finally:
        camera.close()


def same(found: Sequence[UInt8Array | None], expected: Sequence[UInt8Array]) -> bool:
    return len(found) == len(expected) and all(
        one is not None and np.array_equal(one, other) for one, other in zip(found, expected, strict=True)
    )


STREAMS = {codec: encoded(codec, PICTURES, gop=5) for codec in OTHERS}
CASES = [(codec, name) for codec, packets in STREAMS.items() for name in whole_units(codec, packets[0])]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("codec", "name"), CASES, ids=lambda value: str(value).replace(" ", "-"))
def test_a_broken_unit_without_a_picture_costs_no_picture(codec: str, name: str, way: str, tmp_path: Path) -> None:
    packets, suffix = STREAMS[codec], "h264" if codec == "h264" else "h265"
    broken = WAYS[way](whole_units(codec, packets[0])[name], 1 if codec == "h264" else 2)
    path = write_raw(tmp_path / f"broken.{suffix}", with_unit(codec, packets, name, broken))
    intact = plain(write_raw(tmp_path / f"intact.{suffix}", packets))
    assert len(intact) == PICTURES
    found = read(path)
    if same(plain(path), intact):
        assert same(found, intact)
    else:  # a parameter set so broken that FFmpeg itself takes it for the stream's: nothing wrong may pass as good
        assert name in ("VPS", "SPS", "PPS")
        assert all(one is None or any(np.array_equal(one, other) for other in intact) for one in found)


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("codec", STREAMS)
def test_in_containers_as_in_raw_streams(codec: str, container: str, tmp_path: Path) -> None:
    packets = STREAMS[codec]
    intact = plain(write_raw(tmp_path / f"intact.{'h264' if codec == 'h264' else 'h265'}", packets))
    name = next(name for name in whole_units(codec, packets[0]) if name == "SEI: user data")
    broken = WAYS["too short"](whole_units(codec, packets[0])[name], 1 if codec == "h264" else 2)
    spoiled = with_unit(codec, packets, name, broken)
    path = write_in_container(tmp_path / f"broken.{container}", codec, spoiled, keys=range(0, PICTURES, 5))
    assert same(plain(path), intact)
    assert same(read(path), intact)


@pytest.mark.slow
@pytest.mark.parametrize("codec", STREAMS)
def test_over_the_network_as_in_files(codec: str, tmp_path: Path) -> None:
    need_rtsp_server()
    packets = STREAMS[codec]
    broken = WAYS["too short"](whole_units(codec, packets[0])["SEI: private"], 1 if codec == "h264" else 2)
    sent = write_for_server(tmp_path / "sent", with_unit(codec, packets, "SEI: private", broken))
    server = UnitsServer("--codec", "h264" if codec == "h264" else "h265", str(sent))
    camera = make_camera(CameraConfig.model_validate({"name": "c1", "source": {"kind": "rtsp", "url": server.url()}}))
    try:
        camera.open()
        assert all(camera.read(ArraySink()) is not None for _ in range(2 * PICTURES))
    finally:
        camera.close()
        server.stop()


def test_recovery_points_reach_the_decoder(tmp_path: Path) -> None:
    """Joined in the middle of a periodic intra refresh, they say from where on the picture is whole."""
    packets = encoded("hevc", 60, gop=1000)
    heads = [unit for unit in units(packets[0]) if kind("hevc", unit) in (32, 33, 34)]
    recovery = header("hevc", 39) + b"\x06\x02\xd0\x80\x80"  # recovery_poc_cnt 0, exact match
    path = write_raw(tmp_path / "middle.h265", [joined([*heads, recovery, *units(packets[1])]), *packets[2:]])
    camera = make_camera(CameraConfig.model_validate({"name": "c1", "source": {"kind": "file", "path": str(path)}}))
    camera.open()
    assert camera.read(ArraySink()) is not None
    camera.close()


@pytest.mark.parametrize(
    "file", ["h264_short_sei.mp4", "h264_short_private_sei_240.h264", "h264_unusable_second_sps.h264"]
)
def test_the_cases_that_were_reported(case: Callable[[str], Path], file: str) -> None:
    path = case(file)
    found = read(path)
    assert len(found) == 50
    assert same(found, plain(path))
