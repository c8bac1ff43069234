"""Pictures of several slices: damage in one of them is noticed, which FFmpeg only does in one thread."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
from av.video.stream import VideoStream

from stream_inspect.capture.decoder import PictureDecoder
from tests.capture.bitstreams import encoded, is_slice, joined, units, write_raw

GOP = 10
HIT = (10, 13, 20, 25)
"""Two key frames and two others."""

Spoil = Callable[[list[bytes], random.Random], list[bytes]]


def one_lost(slices: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(slices))
    return slices[:at] + slices[at + 1 :]


def one_cut(slices: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(slices))
    return [*slices[:at], slices[at][: max(8, len(slices[at]) // 2)], *slices[at + 1 :]]


def one_with_a_hole(slices: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(slices))
    whole = slices[at]
    middle = len(whole) // 2
    return [*slices[:at], whole[:middle] + whole[middle + max(4, len(whole) // 5) :], *slices[at + 1 :]]


def one_with_other_bytes(slices: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(slices))
    whole = bytearray(slices[at])
    for _ in range(20):
        whole[rng.randrange(len(whole) // 3, len(whole))] = rng.randrange(4, 256)
    return [*slices[:at], bytes(whole), *slices[at + 1 :]]


def decoder(path: Path) -> tuple[PictureDecoder, VideoStream]:
    stream = av.open(str(path)).streams.video[0]
    return PictureDecoder(stream, reliable=True), stream


def noticed(path: Path, packets: list[bytes], hit: int) -> bool:
    """Whether the picture at `hit` is given out as damaged or not at all, or is the intact one after all."""
    with av.open(str(path)) as container:
        intact = [frame.to_ndarray() for frame in container.decode(video=0)]
    spoiled, _ = decoder(path)
    last: list[av.VideoFrame] = []
    for packet in packets[: hit + 1]:
        try:
            last = spoiled.decode(av.Packet(packet))
        except av.error.FFmpegError:
            last = []
    return not last or last[-1].is_corrupt or np.array_equal(last[-1].to_ndarray(), intact[hit])


def spoiled_pictures(codec: str, packets: list[bytes], spoil: Spoil, count: int) -> list[tuple[int, list[bytes]]]:
    made = []
    for number in range(count):
        rng, hit = random.Random(number), HIT[number % len(HIT)]
        parts = units(packets[hit])
        slices = [part for part in parts if is_slice(codec, part)]
        others = [part for part in parts if not is_slice(codec, part)]
        made.append((hit, [*packets[:hit], joined(others + spoil(slices, rng))]))
    return made


@pytest.mark.parametrize("spoil", [one_lost, one_cut, one_with_a_hole])
def test_every_damaged_slice_of_h264_is_noticed(spoil: Spoil, tmp_path: Path) -> None:
    packets = encoded("h264", 30, gop=GOP, slices="4")
    path = write_raw(tmp_path / "clip.h264", packets)
    for hit, damaged in spoiled_pictures("h264", packets, spoil, 12):
        assert noticed(path, damaged, hit)


@pytest.mark.parametrize("spoil", [one_cut, one_with_other_bytes])
def test_most_damaged_rows_of_h265_are_noticed(spoil: Spoil, tmp_path: Path) -> None:
    """Its rows are decoded in turn (wavefront); with slice threads no error of theirs was reported."""
    packets = encoded("hevc", 30, gop=GOP)
    path = write_raw(tmp_path / "clip.h265", packets)
    found = [noticed(path, damaged, hit) for hit, damaged in spoiled_pictures("hevc", packets, spoil, 12)]
    assert sum(found) >= 9


def test_intact_pictures_of_several_slices_are_whole(tmp_path: Path) -> None:
    for codec, suffix in (("h264", "h264"), ("hevc", "h265")):
        packets = encoded(codec, 30, gop=GOP, slices="4")
        reader, stream = decoder(write_raw(tmp_path / f"clip.{suffix}", packets))
        frames = [frame for packet in packets for frame in reader.decode(av.Packet(packet))]
        assert len(frames) == 30
        assert not any(frame.is_corrupt for frame in frames)
        assert np.ptp(frames[-1].to_ndarray()) > 50
        assert stream.codec_context.thread_count == 1
