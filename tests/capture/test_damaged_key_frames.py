"""A key frame ends what damage before it spoiled, but not where it is damaged itself."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from stream_inspect.capture.av_reader import AvReader
from stream_inspect.capture.camera import EndOfMediaError
from stream_inspect.picture import UInt8Array
from tests.capture.bitstreams import encoded, is_slice, joined, units, write_in_container, write_raw
from tests.capture.harness import ArraySink

PICTURES, GOP = 40, 10


def cut(codec: str, packet: bytes) -> bytes:
    return joined([unit[: len(unit) // 2] if is_slice(codec, unit) else unit for unit in units(packet)])


def given_out(path: Path) -> list[UInt8Array]:
    reader, good = AvReader(av.open(str(path))), []
    with contextlib.suppress(EndOfMediaError):
        while True:
            frame = reader.read(ArraySink())
            if frame is not None:
                good.append(frame.picture.i420)
    reader.close()
    return good


@pytest.mark.parametrize("hit", [[20], [19, 20], [12, 20], range(12, 21)], ids=str)
@pytest.mark.parametrize("container", ["raw", "mkv"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_no_picture_of_a_damaged_group_passes_as_good(
    codec: str, container: str, hit: Sequence[int], tmp_path: Path
) -> None:
    packets = encoded(codec, PICTURES, gop=GOP)
    damaged = [cut(codec, packet) if index in hit else packet for index, packet in enumerate(packets)]
    suffix = "h264" if codec == "h264" else "h265"
    intact = given_out(write_raw(tmp_path / f"intact.{suffix}", packets))
    assert len(intact) == PICTURES
    if container == "raw":
        good = given_out(write_raw(tmp_path / f"damaged.{suffix}", damaged))
    else:
        good = given_out(write_in_container(tmp_path / "damaged.mkv", codec, damaged, keys=range(0, PICTURES, GOP)))
    expected = [intact[at] for at in (*range(min(hit)), *range(3 * GOP, PICTURES))]
    assert len(good) == len(expected)
    assert all(np.array_equal(one, other) for one, other in zip(good, expected, strict=True))
