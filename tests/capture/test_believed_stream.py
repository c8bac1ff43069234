"""A stream of which strict decoding rejects every picture, and lenient decoding none, is read with a warning."""

from __future__ import annotations

import contextlib
from pathlib import Path

import av
import pytest

from stream_inspect.capture.av_reader import AvReader
from stream_inspect.capture.camera import CameraError, CameraInfo, CapturedFrame, EndOfMediaError
from stream_inspect.messages import Clock
from tests.capture.bitstreams import encoded, is_slice, joined, units, write_raw
from tests.capture.harness import ArraySink

PICTURES, GOP = 30, 15


def ended_too_early(packet: bytes) -> bytes:
    """As from an encoder that leaves out the end of each slice."""
    return joined([unit[: len(unit) // 2] if is_slice("hevc", unit) else unit for unit in units(packet)])


def opened(path: Path, *, loses_frames: bool = False) -> tuple[AvReader, CameraInfo]:
    reader = AvReader(av.open(str(path)), loses_frames=loses_frames)
    return reader, reader.open(Clock.MEDIA)


def rest(reader: AvReader) -> list[CapturedFrame | None]:
    frames = []
    with contextlib.suppress(EndOfMediaError):
        while True:
            frames.append(reader.read(ArraySink()))
    reader.close()
    return frames


def test_it_is_read_from_its_first_picture_on_and_says_so(tmp_path: Path) -> None:
    packets = [ended_too_early(packet) for packet in encoded("hevc", PICTURES, gop=GOP)]
    reader, info = opened(write_raw(tmp_path / "clip.h265", packets))
    frames = rest(reader)
    assert len(frames) == PICTURES
    assert None not in frames
    assert any("strict decoding" in note for note in info.notes.ignored)


def test_over_a_network_that_loses_data_it_is_not(tmp_path: Path) -> None:
    packets = [ended_too_early(packet) for packet in encoded("hevc", PICTURES, gop=GOP)]
    with pytest.raises(CameraError):
        opened(write_raw(tmp_path / "clip.h265", packets), loses_frames=True)


def test_damage_that_is_not_in_every_picture_is_not_believed(tmp_path: Path) -> None:
    """One whole picture among the first ten is enough."""
    packets = encoded("hevc", PICTURES, gop=GOP)
    damaged = [packet if index % 5 == 0 else ended_too_early(packet) for index, packet in enumerate(packets)]
    reader, info = opened(write_raw(tmp_path / "clip.h265", damaged))
    assert None in rest(reader)
    assert info.notes.ignored == ()


def test_a_damaged_beginning_is_not_believed(tmp_path: Path) -> None:
    """The next key frame is whole: it is not a stream of which every packet fails."""
    packets = encoded("hevc", 3 * GOP, gop=GOP)
    damaged = [ended_too_early(packet) if index < GOP else packet for index, packet in enumerate(packets)]
    reader, info = opened(write_raw(tmp_path / "clip.h265", damaged))
    assert info.bad_frames == GOP
    assert [frame is None for frame in rest(reader)] == [False] * 2 * GOP


def test_strictness_returns_with_the_first_key_frame_that_is_whole(tmp_path: Path) -> None:
    """A beginning may be longer than the trial."""
    gop = 40
    packets = encoded("hevc", 2 * gop, gop=gop)
    hit = [*range(gop), gop + 3]
    damaged = [ended_too_early(packet) if index in hit else packet for index, packet in enumerate(packets)]
    reader, _ = opened(write_raw(tmp_path / "clip.h265", damaged))
    frames = rest(reader)
    assert len(frames) == 2 * gop
    assert [index for index, frame in enumerate(frames) if frame is None] == list(range(gop + 3, 2 * gop))


@pytest.mark.parametrize("count", [12, 40])
def test_a_recording_may_end_before_its_second_key_frame(count: int, tmp_path: Path) -> None:
    packets = [ended_too_early(packet) for packet in encoded("hevc", count, gop=1000)]
    reader, info = opened(write_raw(tmp_path / "clip.h265", packets))
    frames = rest(reader)
    assert len(frames) == count
    assert None not in frames
    assert info.bad_frames == 0
