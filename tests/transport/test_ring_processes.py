"""The ring between processes: no torn frame, whatever the writer does and wherever it is killed."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from stream_inspect.messages import RingSlot
from stream_inspect.transport.ring import RingReader, RingWriter, StaleFrameError
from tests.transport.frames import header

pytestmark = pytest.mark.slow

SPAWN = multiprocessing.get_context("spawn")
W, H, SLOTS = 640, 480, 4


def write_for_ever(path: str) -> None:
    writer = RingWriter(Path(path), SLOTS, W, H)
    number = 0
    while True:
        planes = writer.begin()
        for row in range(0, len(planes), 40):  # in pieces, so that a kill or a reader finds it half done
            planes[row : row + 40] = number % 251
        writer.commit()
        number += 1


def current_slots(path: Path) -> list[RingSlot]:
    """What the headers of the last frames would say: whole slots only."""
    generations = np.fromfile(path, dtype=np.int64, count=SLOTS, offset=4096)
    return [
        RingSlot(path=str(path), index=index, generation=int(generation))
        for index, generation in enumerate(generations)
        if generation and generation % 2 == 0
    ]


def wait_for_frames(path: Path, above: int) -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists():
            newest = max((slot.generation for slot in current_slots(path)), default=0)
            if newest > above:
                return newest
        time.sleep(0.01)
    raise AssertionError("the writer wrote no frame in 20 s")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[RingReader]:
    with closing(RingReader(tmp_path)) as ring:
        yield ring


def test_no_torn_frame_is_ever_returned(tmp_path: Path, reader: RingReader) -> None:
    path = tmp_path / "cam.0.ring"
    process = SPAWN.Process(target=write_for_ever, args=(str(path),))
    process.start()
    try:
        wait_for_frames(path, above=0)
        whole = stale = 0
        chooser = random.Random(1)
        until = time.monotonic() + 4
        while time.monotonic() < until:
            slots = current_slots(path)
            if not slots:
                continue
            frame = header(slot=chooser.choice(slots), width_px=W, height_px=H)
            try:
                if chooser.random() < 0.5:
                    planes = reader.read(frame).i420
                    assert planes.min() == planes.max()
                else:
                    with reader.view(frame) as picture:
                        low, high = picture.i420.min(), picture.i420.max()
                    assert low == high
                whole += 1
            except StaleFrameError:
                stale += 1
        assert whole > 100
        assert stale > 10, "the writer never came near the reader: this run has shown nothing"
    finally:
        process.kill()
        process.join()


def test_a_writer_killed_anywhere_leaves_readers_safe_and_the_next_one_continues(
    tmp_path: Path, reader: RingReader
) -> None:
    path = tmp_path / "cam.0.ring"
    chooser = random.Random(2)
    newest = halves = 0
    for _ in range(12):
        process = SPAWN.Process(target=write_for_ever, args=(str(path),))
        process.start()
        try:
            higher = wait_for_frames(path, above=newest)
            assert higher > newest
            time.sleep(chooser.uniform(0, 0.02))
        finally:
            process.kill()
            process.join()
        slots = current_slots(path)
        newest = max(slot.generation for slot in slots)
        halves += len(slots) < SLOTS
        for slot in slots:
            planes = reader.read(header(slot=slot, width_px=W, height_px=H)).i420
            assert planes.min() == planes.max()
    assert halves, "no kill fell into the middle of a frame: this run has shown nothing"
