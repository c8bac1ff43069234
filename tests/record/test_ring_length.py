"""A ring that `ring_max_mb` has made shorter than `ring_s`: the recorder hurries before its frames are overwritten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream_inspect.config.models import RecorderConfig
from stream_inspect.picture import Picture, i420_shape
from stream_inspect.record.clip_builder import ClipBuilder
from stream_inspect.record.ring_length import RingLength
from stream_inspect.transport.ring import RingReader
from tests.record.filmed import Belt

S = 1_000_000_000
FPS = 25


def shoot(belt: Belt, count: int) -> None:
    for _ in range(count):
        belt.shoot(now_mono_ns=belt.seq * S // FPS)


@pytest.mark.parametrize(("slots", "seconds"), [(10, 0.4), (50, 2.0), (100, 4.0), (150, 4.0)])
def test_the_length_is_how_soon_a_slot_is_written_again(tmp_path: Path, slots: int, seconds: float) -> None:
    belt = Belt(tmp_path, slots=slots, width_px=64, height_px=48)
    length = RingLength(4.0)
    shoot(belt, 2 * slots + 1)
    for header in belt.headers[:slots]:
        length.see(header)
        assert length.seconds == 4.0
    for header in belt.headers[slots:]:
        length.see(header)
    assert length.seconds == pytest.approx(seconds)


def test_a_new_ring_is_measured_again(tmp_path: Path) -> None:
    length = RingLength(4.0)
    for number, slots in enumerate((10, 20)):
        belt = Belt(tmp_path, slots=slots, width_px=64, height_px=48, ring_number=number)
        shoot(belt, slots + 1)
        length.see(belt.headers[0])
        assert length.seconds == 4.0
        for header in belt.headers[1:]:
            length.see(header)
        assert length.seconds == pytest.approx(slots / FPS)


def test_a_clip_from_a_short_ring_has_its_frames(tmp_path: Path) -> None:
    """Nothing is judged, so each frame waits for boxes that do not come: for less than the ring is long."""
    belt = Belt(tmp_path, slots=10, width_px=64, height_px=48)
    reader = RingReader(tmp_path)
    builder = ClipBuilder(
        RecorderConfig(pre_roll_s=0, post_roll_s=0.5),
        4.0,
        reader.read,
        lambda header, picture, size: (Picture(np.zeros(i420_shape(*size), np.uint8), *size), {}),
    )
    encoded = []
    for number in range(40):
        header = belt.shoot(now_mono_ns=belt.seq * S // FPS)
        builder.see(header)
        if number == 20:
            assert builder.request_clip(belt.event(header), header, reader.read(header))
        now_ns = header.capture_mono_ns
        while (due := builder.next_frame(now_ns)) is not None:
            if builder.encode(due, now_ns):
                encoded.append(due.id.seq)
    reader.close()
    assert len(encoded) >= 10
