"""The frame ring: each frame of a camera is written once, into a slot of a memory-mapped file, and read in place.

A file holds a header, one generation number a slot, and the slots. A slot's generation is odd while it is written and
even once it is whole; it only ever grows, also from one file of a camera to the next, because a writer starts counting
at the monotonic clock's nanoseconds. So a `RingSlot` (path, index, generation) names one frame only, and a reader
that finds the same generation before and after its read has read that frame, and all of it: a seqlock.

One writer a file, any number of readers, no locks: a writer never waits, and one that is killed in the middle of a slot
leaves an odd generation, which readers take for overwritten. The order of stores and loads that this rests on is the
one that x86-64 keeps (see docs/decisions/0001-frames-in-shared-memory.md).
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import stat
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_inspect.errors import StreamInspectError
from stream_inspect.messages import FrameHeader, RingSlot
from stream_inspect.picture import Picture, UInt8Array, i420_shape

FORMAT_VERSION = 1
MIN_SLOTS = 4
"""Fewer would be overwritten while they are judged."""

_MAGIC = b"SI-RING\0"
_HEADER = struct.Struct("<8sIIIIQQ")  # magic, version, slot count, width, height, slot bytes, offset of slot 0
_PAGE = mmap.PAGESIZE
_MB = 1024 * 1024


UNMAP_EVERY_S = 1.0
"""How often a reader looks for rings whose files were deleted: their memory is freed when the last reader unmaps it."""


class RingError(StreamInspectError):
    """The ring cannot be made, or a header does not point at a slot of our rings."""


class NoRoomError(RingError):
    """There is not memory enough for the ring now: there may be once readers have unmapped one that was deleted."""


class StaleFrameError(RingError):
    """The frame is gone: its slot was written again, is being written, or its ring was deleted."""


@dataclass(frozen=True, slots=True)
class _Layout:
    slot_count: int
    width_px: int
    height_px: int

    @property
    def shape(self) -> tuple[int, int]:
        return i420_shape(self.width_px, self.height_px)

    @property
    def slot_bytes(self) -> int:
        rows, columns = self.shape
        return _whole_pages(rows * columns)

    @property
    def slots_offset(self) -> int:
        return _PAGE + _whole_pages(8 * self.slot_count)

    @property
    def file_bytes(self) -> int:
        return self.slots_offset + self.slot_count * self.slot_bytes

    def pack(self) -> bytes:
        return _HEADER.pack(
            _MAGIC,
            FORMAT_VERSION,
            self.slot_count,
            self.width_px,
            self.height_px,
            self.slot_bytes,
            self.slots_offset,
        )

    def generations(self, memory: mmap.mmap) -> NDArray[np.int64]:
        return np.frombuffer(memory, dtype=np.int64, count=self.slot_count, offset=_PAGE)

    def slot(self, memory: mmap.mmap, index: int) -> UInt8Array:
        rows, columns = self.shape
        offset = self.slots_offset + index * self.slot_bytes
        return np.frombuffer(memory, dtype=np.uint8, count=rows * columns, offset=offset).reshape(rows, columns)


def slot_count(ring_s: float, fps: float, width_px: int, height_px: int, max_mb: int) -> int:
    """How many slots hold `ring_s` seconds at `fps`, within `max_mb`. Raises `RingError` if `MIN_SLOTS` do not fit."""
    slot_bytes = _Layout(1, width_px, height_px).slot_bytes
    fitting = max_mb * _MB // slot_bytes
    if fitting < MIN_SLOTS:
        raise RingError(
            f"a frame of {width_px}x{height_px} px takes {slot_bytes / _MB:.1f} MB, so a ring of {MIN_SLOTS} frames "
            f"needs {math.ceil(MIN_SLOTS * slot_bytes / _MB)} MB: raise transport.ring_max_mb (now {max_mb})"
        )
    return min(max(MIN_SLOTS, math.ceil(ring_s * fps)), fitting)


# --- writing -----------------------------------------------------------------------------------------------------


class RingWriter:
    """The one writer of a ring file. Used by one thread.

    The file (mode 0600) appears under its name only when it is whole, and replaces one that a killed process has left.
    Raises `NoRoomError` where the memory for all slots cannot be had: it is taken here, not at the first write, which
    would end the process with a bus error.
    """

    def __init__(self, path: Path, slot_count: int, width_px: int, height_px: int) -> None:
        if slot_count < 1 or width_px < 1 or height_px < 1:
            raise RingError(f"a ring needs slots and a size, got {slot_count} slots of {width_px}x{height_px} px")
        self.path = path
        self._layout = _Layout(slot_count, width_px, height_px)
        self._memory = _create(path, self._layout)
        self._generations = self._layout.generations(self._memory)
        self._slots = [self._layout.slot(self._memory, index) for index in range(slot_count)]
        self._generation = time.monotonic_ns() & ~1
        self._next = 0
        self._writing = False

    def begin(self) -> UInt8Array:
        """The next slot, (padded_height * 3 // 2, padded_width) uint8, to write a picture's I420 planes into.

        Called again without a `commit` (the source delivered a damaged frame) it gives the same slot again.
        """
        if not self._writing:
            self._generations[self._next] = self._generation + 1
            self._writing = True
        return self._slots[self._next]

    def commit(self) -> RingSlot:
        """The slot begun is whole: let readers at it. Raises `RingError` where none was begun."""
        if not self._writing:
            raise RingError("commit without begin")
        self._generation += 2
        index = self._next
        self._generations[index] = self._generation
        self._writing = False
        self._next = (index + 1) % len(self._slots)
        return RingSlot(path=str(self.path), index=index, generation=self._generation)

    def close(self, unlink: bool = True) -> None:
        """Unmap the file, and delete it if `unlink`. Readers keep what they have mapped.

        The memory itself is freed when the last array handed out, here or in a reader, has gone.
        """
        self._slots = []
        if unlink:
            with suppress(FileNotFoundError):
                self.path.unlink()


def _create(path: Path, layout: _Layout) -> mmap.mmap:
    temporary = path.with_name(f"{path.name}.new")
    with suppress(FileNotFoundError):
        temporary.unlink()  # a killed process left it
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise RingError(f"cannot make a frame ring in {path.parent} (transport.ring_dir): {error.strerror}") from error
    try:
        os.posix_fallocate(descriptor, 0, layout.file_bytes)
        os.pwrite(descriptor, layout.pack(), 0)
        memory = mmap.mmap(descriptor, layout.file_bytes)
        os.rename(temporary, path)
    except OSError as error:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise _creation_error(error, path, layout) from error
    finally:
        os.close(descriptor)
    return memory


def _creation_error(error: OSError, path: Path, layout: _Layout) -> RingError:
    if error.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EDQUOT):
        return RingError(f"cannot make the frame ring {path}: {error.strerror}")
    usage = os.statvfs(path.parent)
    return NoRoomError(
        f"the frame ring {path.name} ({layout.slot_count} frames of {layout.width_px}x{layout.height_px} px) needs "
        f"{math.ceil(layout.file_bytes / _MB)} MB in {path.parent}, which has {usage.f_bavail * usage.f_frsize // _MB} "
        "MB left: give it more (a container: --shm-size), or lower transport.ring_s or transport.ring_max_mb, or set "
        "transport.ring_dir to a folder with room"
    )


# --- reading -----------------------------------------------------------------------------------------------------


class _Mapped:
    """One ring file, mapped for reading."""

    def __init__(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise StaleFrameError(f"the ring {path} is gone") from error
        except OSError as error:
            raise RingError(f"{path} is not a frame ring: {error.strerror}") from error
        try:
            status = os.fstat(descriptor)
            self.identity = (status.st_dev, status.st_ino)
            self.layout = _read_layout(descriptor, status, path)
            self.memory = mmap.mmap(descriptor, self.layout.file_bytes, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        self.generations = self.layout.generations(self.memory)

    def is_at(self, path: str) -> bool:
        """Whether this is still the file of that name, and not one taken away or replaced."""
        try:
            status = os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self.identity


def _read_layout(descriptor: int, status: os.stat_result, path: Path) -> _Layout:
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise RingError(f"{path} is not a frame ring: not a regular file of this user")
    raw = os.pread(descriptor, _HEADER.size, 0)
    if len(raw) < _HEADER.size or not raw.startswith(_MAGIC):
        raise RingError(f"{path} is not a frame ring: wrong header")
    _, version, slots, width_px, height_px, slot_bytes, slots_offset = _HEADER.unpack(raw)
    if version != FORMAT_VERSION:
        raise RingError(f"{path} is a frame ring of format {version}, this program reads {FORMAT_VERSION}")
    layout = _Layout(slots, width_px, height_px)
    sizes, expected = (
        (slot_bytes, slots_offset, status.st_size),
        (layout.slot_bytes, layout.slots_offset, layout.file_bytes),
    )
    if min(slots, width_px, height_px) < 1 or sizes != expected:
        raise RingError(f"{path} is a damaged frame ring: {status.st_size} bytes do not fit its header")
    return layout


class RingReader:
    """Reads frames by their headers, from the rings in one directory. Used by one thread.

    A thread of its own unmaps the rings whose files were deleted, also while no frames come: a camera that is restarted
    or changes its size may find room for its new ring only then.

    A header comes over a wire, so nothing it says is believed: a path outside the directory, a symlink, a file that is
    not a whole ring of ours, another size or a slot that is not there raise `RingError`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mapped: dict[str, _Mapped] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._unmapper = threading.Thread(target=self._unmap_until_closed, name="unmap-rings", daemon=True)

    def read(self, header: FrameHeader) -> Picture:
        """A copy of the frame's picture. Raises `StaleFrameError` where the frame is gone."""
        slot, mapped = self._find(header)
        picture = _picture(header, mapped.layout.slot(mapped.memory, slot.index).copy())
        _check_generation(slot, mapped)
        return picture

    @contextmanager
    def view(self, header: FrameHeader) -> Iterator[Picture]:
        """The frame's picture in the slot itself, read-only: valid inside the `with` block only.

        Raises `StaleFrameError` on entry where the frame is gone, on exit where it was overwritten meanwhile: what was
        made of it must then be thrown away.
        """
        slot, mapped = self._find(header)
        yield _picture(header, mapped.layout.slot(mapped.memory, slot.index))
        _check_generation(slot, mapped)

    def close(self) -> None:
        """Unmap all rings."""
        self._closed.set()
        with self._lock:
            self._mapped.clear()

    def _find(self, header: FrameHeader) -> tuple[RingSlot, _Mapped]:
        slot = header.slot
        if slot is None:
            raise RingError(f"frame {header.id.seq} of {header.id.camera} has no slot in a ring")
        mapped = self._mapped.get(slot.path) or self._map(slot.path)
        if (
            _generation_of(slot, mapped) != slot.generation
            and os.path.exists(slot.path)
            and not mapped.is_at(slot.path)
        ):
            mapped = self._map(slot.path)
        if (header.width_px, header.height_px) != (mapped.layout.width_px, mapped.layout.height_px):
            raise RingError(
                f"{slot.path} holds {mapped.layout.width_px}x{mapped.layout.height_px} px, the header says "
                f"{header.width_px}x{header.height_px}"
            )
        _check_generation(slot, mapped)
        return slot, mapped

    def _map(self, path_text: str) -> _Mapped:
        path = Path(path_text)
        if path.parent != self._directory or path.name in ("", "..") or "\0" in path_text:
            raise RingError(f"{path_text!r} is not in the ring directory {self._directory}")
        self._unmap_deleted()  # a new ring is the sign that old ones may have gone
        mapped = _Mapped(path)
        with self._lock:
            self._mapped[path_text] = mapped
        if self._unmapper.ident is None:
            self._unmapper.start()
        return mapped

    def _unmap_until_closed(self) -> None:
        while not self._closed.wait(UNMAP_EVERY_S):
            self._unmap_deleted()

    def _unmap_deleted(self) -> None:
        with self._lock:
            for path in [path for path, mapped in self._mapped.items() if not mapped.is_at(path)]:
                del self._mapped[path]


def _picture(header: FrameHeader, i420: UInt8Array) -> Picture:
    return Picture(i420, header.width_px, header.height_px, header.color_matrix, header.full_range)


def _generation_of(slot: RingSlot, mapped: _Mapped) -> int:
    if not 0 <= slot.index < mapped.layout.slot_count:
        raise RingError(f"{slot.path} has {mapped.layout.slot_count} slots, the header asks for slot {slot.index}")
    return int(mapped.generations[slot.index])


def _check_generation(slot: RingSlot, mapped: _Mapped) -> None:
    generation = _generation_of(slot, mapped)
    if generation != slot.generation or generation % 2:
        raise StaleFrameError(f"slot {slot.index} of {slot.path} was overwritten")


def _whole_pages(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
