"""The ring: what is read is the frame that was written, whole, or an error."""

from __future__ import annotations

import os
import resource
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.messages import RingSlot
from stream_inspect.picture import i420_shape
from stream_inspect.transport.ring import (
    MIN_SLOTS,
    NoRoomError,
    RingError,
    RingReader,
    RingWriter,
    StaleFrameError,
    slot_count,
)
from tests.transport.frames import header

W, H = 64, 48


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RingWriter]:
    ring = RingWriter(tmp_path / "cam.0.ring", 4, W, H)
    yield ring
    ring.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[RingReader]:
    ring = RingReader(tmp_path)
    yield ring
    ring.close()


def write(writer: RingWriter, value: int) -> RingSlot:
    writer.begin()[:] = value
    return writer.commit()


def at(slot: RingSlot, width_px: int = W, height_px: int = H):
    return header(slot=slot, width_px=width_px, height_px=height_px)


def test_frames_are_read_as_written_until_their_slot_comes_round(writer: RingWriter, reader: RingReader) -> None:
    slots = [write(writer, value) for value in range(4)]
    for value, slot in enumerate(slots):
        assert (reader.read(at(slot)).i420 == value).all()
    newest = write(writer, 4)
    assert newest.index == slots[0].index
    assert newest.generation > max(slot.generation for slot in slots)
    with pytest.raises(StaleFrameError):
        reader.read(at(slots[0]))
    assert (reader.read(at(slots[1])).i420 == 1).all()


@pytest.mark.parametrize(("width_px", "height_px"), [(64, 48), (63, 47), (1, 1), (1921, 1079)])
def test_odd_sizes_are_padded(tmp_path: Path, reader: RingReader, width_px: int, height_px: int) -> None:
    writer = RingWriter(tmp_path / "odd.0.ring", 2, width_px, height_px)
    planes = np.random.default_rng(0).integers(0, 256, i420_shape(width_px, height_px), dtype=np.uint8)
    writer.begin()[:] = planes
    picture = reader.read(at(writer.commit(), width_px, height_px))
    assert (picture.width_px, picture.height_px) == (width_px, height_px)
    np.testing.assert_array_equal(picture.i420, planes)
    writer.close()


def test_a_copy_outlives_its_slot_and_a_view_does_not(writer: RingWriter, reader: RingReader) -> None:
    slot = write(writer, 7)
    copied = reader.read(at(slot))

    def overwrite_while_looking() -> None:
        with reader.view(at(slot)) as seen:
            assert (seen.i420 == 7).all()
            for value in range(8, 12):
                write(writer, value)
            assert (seen.i420 == 11).all()

    with pytest.raises(StaleFrameError):
        overwrite_while_looking()
    assert (copied.i420 == 7).all()


def test_a_view_that_nobody_disturbed_is_the_slot_itself(writer: RingWriter, reader: RingReader) -> None:
    with reader.view(at(write(writer, 7))) as picture:
        assert not picture.i420.flags.owndata
        assert not picture.i420.flags.writeable


def test_an_error_inside_a_view_is_not_hidden(writer: RingWriter, reader: RingReader) -> None:
    with pytest.raises(ZeroDivisionError), reader.view(at(write(writer, 7))):
        raise ZeroDivisionError


def test_a_slot_being_written_is_stale(writer: RingWriter, reader: RingReader) -> None:
    slots = [write(writer, value) for value in range(4)]
    writer.begin()
    with pytest.raises(StaleFrameError):
        reader.read(at(slots[0]))
    half_written = RingSlot(path=slots[0].path, index=0, generation=slots[3].generation + 1)
    with pytest.raises(StaleFrameError):
        reader.read(at(half_written))


def test_begin_again_after_a_damaged_frame_gives_the_same_slot(writer: RingWriter, reader: RingReader) -> None:
    writer.begin()[:] = 1
    writer.begin()[:] = 2
    assert (reader.read(at(writer.commit())).i420 == 2).all()
    with pytest.raises(RingError, match="without begin"):
        writer.commit()


def test_a_restarted_writer_on_the_same_path_never_repeats_a_generation(tmp_path: Path, reader: RingReader) -> None:
    path = tmp_path / "cam.0.ring"
    first = RingWriter(path, 4, W, H)
    old = [write(first, value) for value in range(9)]
    assert (reader.read(at(old[-1])).i420 == 8).all()
    second = RingWriter(path, 4, W, H)  # the first was killed: it has not closed
    new = write(second, 100)
    assert new.generation > old[-1].generation
    assert (reader.read(at(new)).i420 == 100).all()
    for slot in old:
        with pytest.raises(StaleFrameError):
            reader.read(at(slot))
    second.close()


def test_a_deleted_ring_is_stale_and_unmapped_when_the_next_is_mapped(tmp_path: Path, reader: RingReader) -> None:
    first = RingWriter(tmp_path / "cam.0.ring", 2, W, H)
    slot = write(first, 1)
    reader.read(at(slot))
    first.close()
    second = RingWriter(tmp_path / "cam.1.ring", 2, 32, 32)
    reader.read(at(write(second, 2), 32, 32))
    second.close()
    assert maps_of("cam.0.ring") == []
    with closing(RingReader(tmp_path)) as late, pytest.raises(StaleFrameError, match="gone"):
        late.read(at(slot))


def wait_until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, f"not within {within_s} s"
        time.sleep(0.01)


def maps_of(name: str) -> list[str]:
    with open("/proc/self/maps") as maps:
        return [line for line in maps if name in line and " r--s " in line]


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_a_reader_without_frames_unmaps_a_ring_that_was_deleted(
    tmp_path: Path, reader: RingReader, replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_inspect.transport.ring.UNMAP_EVERY_S", 0.02)
    gone, kept = RingWriter(tmp_path / "gone.0.ring", 2, W, H), RingWriter(tmp_path / "kept.0.ring", 2, W, H)
    for writer in (gone, kept):
        reader.read(at(write(writer, 1)))
    time.sleep(0.1)
    assert (len(maps_of("gone.0.ring")), len(maps_of("kept.0.ring"))) == (1, 1)
    gone.close()
    successor = RingWriter(tmp_path / "gone.0.ring", 2, W, H) if replaced else None
    wait_until(lambda: maps_of("gone.0.ring") == [])
    assert len(maps_of("kept.0.ring")) == 1
    if successor:
        assert (reader.read(at(write(successor, 2))).i420 == 2).all()
        successor.close()
    kept.close()


def test_the_file_is_private_and_goes_with_the_writer(tmp_path: Path) -> None:
    writer = RingWriter(tmp_path / "cam.0.ring", 2, W, H)
    assert writer.path.stat().st_mode & 0o777 == 0o600
    writer.close()
    assert list(tmp_path.iterdir()) == []


# --- refusals ----------------------------------------------------------------------------------------------------


def test_paths_outside_the_directory_are_refused(writer: RingWriter, tmp_path: Path) -> None:
    slot = write(writer, 1)
    (tmp_path / "inner").mkdir()
    outside = RingReader(tmp_path / "inner")
    for path in (slot.path, f"{tmp_path}/inner/../cam.0.ring", "cam.0.ring", "", "/etc/passwd", f"{tmp_path}/inner/.."):
        with pytest.raises(RingError):
            outside.read(at(RingSlot(path=path, index=0, generation=slot.generation)))


def test_symlinks_folders_fifos_and_nul_are_refused(writer: RingWriter, reader: RingReader, tmp_path: Path) -> None:
    slot = write(writer, 1)
    (tmp_path / "link").symlink_to(slot.path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "folder", "fifo", "nul\0byte"):
        with pytest.raises(RingError) as refusal:
            reader.read(at(RingSlot(path=f"{tmp_path}/{name}", index=0, generation=slot.generation)))
        assert not isinstance(refusal.value, StaleFrameError)


@pytest.mark.parametrize("index", [-1, 4, 2**31, 2**62])
def test_slots_that_are_not_there_are_refused(writer: RingWriter, reader: RingReader, index: int) -> None:
    slot = write(writer, 1)
    with pytest.raises(RingError, match="4 slots"):
        reader.read(at(RingSlot(path=slot.path, index=index, generation=slot.generation)))


def test_another_size_and_no_slot_are_refused(writer: RingWriter, reader: RingReader) -> None:
    slot = write(writer, 1)
    with pytest.raises(RingError, match="64x48 px, the header says 48x64"):
        reader.read(at(slot, H, W))
    with pytest.raises(RingError, match="no slot"):
        reader.read(header(slot=None))


@given(
    position=st.integers(0, 39),
    value=st.integers(0, 255),
    cut=st.none() | st.integers(0, 20000),
)
def test_a_damaged_file_is_refused(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int, cut: int | None
) -> None:
    directory = tmp_path_factory.mktemp("ring")
    writer = RingWriter(directory / "cam.0.ring", 2, W, H)
    slot = write(writer, 1)
    raw = bytearray(writer.path.read_bytes())
    writer.close()
    changed = bytearray(raw)
    changed[position] = value
    if cut is not None:
        changed = changed[:cut]
    Path(slot.path).write_bytes(changed)
    with closing(RingReader(directory)) as reader:
        if changed == raw:
            assert (reader.read(at(slot)).i420 == 1).all()
        else:
            with pytest.raises(RingError):
                reader.read(at(slot))


def test_a_header_that_asks_for_the_whole_memory_is_refused(tmp_path: Path, reader: RingReader) -> None:
    raw = struct.pack("<8sIIIIQQ", b"SI-RING\0", 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**63, 4096)
    (tmp_path / "huge.ring").write_bytes(raw + bytes(8192))
    with pytest.raises(RingError, match="damaged"):
        reader.read(at(RingSlot(path=str(tmp_path / "huge.ring"), index=0, generation=2)))


# --- room --------------------------------------------------------------------------------------------------------


def test_too_little_room_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, hard))  # as ENOSPC, but without filling a disk
    try:
        with pytest.raises(NoRoomError, match=r"needs 133 MB in .*ring_s.*ring_dir"):
            RingWriter(tmp_path / "cam.0.ring", 100, 1280, 720)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RingError, match="ring_dir"):
        RingWriter(tmp_path / "absent" / "cam.0.ring", 4, W, H)


@given(
    ring_s=st.floats(0.5, 120),
    fps=st.floats(0.1, 240),
    width_px=st.integers(16, 16384),
    height_px=st.integers(16, 16384),
    max_mb=st.integers(16, 65536),
)
def test_slot_count_holds_the_time_or_the_limit(
    ring_s: float, fps: float, width_px: int, height_px: int, max_mb: int
) -> None:
    frame_bytes = np.prod(i420_shape(width_px, height_px))
    if frame_bytes * MIN_SLOTS > max_mb * 2**20:
        with pytest.raises(RingError, match=rf"ring_max_mb \(now {max_mb}\)"):
            slot_count(ring_s, fps, width_px, height_px, max_mb)
        return
    try:
        slots = slot_count(ring_s, fps, width_px, height_px, max_mb)
    except RingError:  # slots begin on whole pages, which may be what is too much
        assert (frame_bytes + 4096) * MIN_SLOTS > max_mb * 2**20
        return
    assert slots >= MIN_SLOTS
    assert slots * frame_bytes <= max_mb * 2**20
    assert slots >= ring_s * fps or (slots + 1) * (frame_bytes + 4096) > max_mb * 2**20
