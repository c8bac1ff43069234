"""The ledger of frames: captured = judged + not_due + dropped{stage, cause} + in_flight, whatever is killed when.

The supervisor owns a memory-mapped file; the stages attach to it. Each camera has counters and a ring of cells, one of
8 bytes a frame: the frame's index, its state, and the owner of that state (one run of one process). Every change of
state is ONE aligned 8-byte store, so a process killed between any two instructions leaves each frame in exactly one
state; what it owned is then swept by the supervisor.

    PENDING (of capture)  ->  NOT_DUE | a drop | SENT (to an inspect worker)  ->  TAKEN (by it)  ->  JUDGED | a drop

A frame is captured once the camera's counter says so: the cell is stored first, the counter after it, so a kill between
the two leaves a frame that never counted, whose cell the next process run overwrites.
"""

from __future__ import annotations

import enum
import mmap
import os
import struct
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_inspect.errors import StreamInspectError

FORMAT_VERSION = 1
CELLS_PER_CAMERA = 65_536
"""Half a megabyte a camera. Cells are used again in order, so a frame that a hung worker keeps open holds up all later
ones: this many are 44 minutes of 25 frames a second, far longer than any process may stay silent."""
NO_CELL = -1
"""The index of a frame that found the ledger full: it is counted as dropped already, and must not be sent."""

_MAGIC = b"SI-LEDG\0"
_HEADER = struct.Struct("<8sIII")  # magic, version, cameras, cells a camera
_NAME_BYTES = 64
_OWNER_BITS, _STATE_BITS = 20, 8
_INDEX_SHIFT, _OWNER_SHIFT = _OWNER_BITS + _STATE_BITS, _STATE_BITS
_OWNER_MASK, _STATE_MASK = (1 << _OWNER_BITS) - 1, (1 << _STATE_BITS) - 1
MAX_OWNER = _OWNER_MASK
_GONE_REMEMBERED = 4096
"""Dead owners that a frame may still be given to: far more than die within the seconds in which that can happen."""

# The words of a camera before its cells: capture's in the first cache line, those of the supervisor and of `track` in
# the second.
_CAPTURED, _FULL, _CAPTURER, _DUE, _FOLDED, _LATE = 0, 1, 2, 3, 8, 9
_COUNTERS = 16


class LedgerError(StreamInspectError):
    """The ledger's file is not one of ours, or it is used against its rules."""


class DropCause(enum.Enum):
    """Why a captured frame was not judged: the stage that had it, and the cause."""

    CAPTURE_BAD_FRAME = ("capture", "bad_frame")
    CAPTURE_SUPERSEDED = ("capture", "superseded")
    CAPTURE_STOPPED = ("capture", "stopped")
    CAPTURE_DIED = ("capture", "died")
    CAPTURE_LEDGER_FULL = ("capture", "ledger_full")
    TRANSPORT_MAILBOX_FULL = ("transport", "mailbox_full")
    TRANSPORT_SENDER_DIED = ("transport", "sender_died")
    INSPECT_OVERWRITTEN = ("inspect", "overwritten")
    INSPECT_FAILED = ("inspect", "failed")
    INSPECT_STOPPED = ("inspect", "stopped")
    INSPECT_DIED = ("inspect", "died")

    @property
    def stage(self) -> str:
        """The stage that had the frame."""
        return self.value[0]

    @property
    def cause(self) -> str:
        """What happened to it there."""
        return self.value[1]


_PENDING, _SENT, _TAKEN, _JUDGED, _NOT_DUE = 1, 2, 3, 4, 5
_FIRST_DROP = 16
_DROPS = tuple(DropCause)
_DROP_STATE = {cause: _FIRST_DROP + number for number, cause in enumerate(_DROPS)}
_CAUSE_OF = {state: cause for cause, state in _DROP_STATE.items()}
_IN_FLIGHT = (_PENDING, _SENT, _TAKEN)
_DROPPED_FROM = {
    cause: {"capture": (_PENDING,), "transport": (_SENT,), "inspect": (_SENT, _TAKEN)}[cause.stage] for cause in _DROPS
}


@dataclass(slots=True)
class Totals:
    """One camera's account. `residual` is captured less all the others, and zero."""

    captured: int = 0
    judged: int = 0
    not_due: int = 0
    dropped: dict[tuple[str, str], int] = field(default_factory=dict)
    in_flight: int = 0
    residual: int = 0
    late: int = field(default=0, compare=False)
    """Of the judged ones: the result came after later ones were tracked, and was not used."""
    oldest_in_flight: int | None = field(default=None, compare=False)
    """No figure of the account: the ledger's index of the frame that has been in flight longest."""


class CameraLedger:
    """One camera's counters and cells.

    `captured` is called by the camera's one capture process, in one thread. Each other change of a frame is made by the
    process that has the frame at that time, and returns False, changing nothing, where the frame is not in the state
    that the change starts from (its owner was swept meanwhile, or the index is `NO_CELL`).
    """

    def __init__(self, words: NDArray[np.int64]) -> None:
        self._counters = words[:_COUNTERS]
        self._cells = words[_COUNTERS:]
        self._count = len(self._cells)
        self._next: int | None = None

    def captured(self, owner: int) -> int:
        """Account for a new frame, PENDING with this capture process; returns its index.

        Returns `NO_CELL` where the ring is full, that is, a frame `CELLS_PER_CAMERA` frames ago is still in flight or
        the supervisor has not folded for as long: the frame counts as captured and dropped{capture, ledger_full}.
        """
        _check_owner(owner)
        index = int(self._counters[_CAPTURED])
        if self._next is None:
            self._counters[_CAPTURER] = owner
        elif self._next != index:
            raise LedgerError(f"two processes capture the same camera: frame {self._next} became {index}")
        if index - int(self._counters[_FOLDED]) >= self._count:
            self._next = index
            self._counters[_FULL] += 1
            return NO_CELL
        self._cells[index % self._count] = _cell(index, owner, _PENDING)
        self._counters[_CAPTURED] = self._next = index + 1
        return index

    def not_due(self, index: int) -> bool:
        """The sampler does not want this frame."""
        return self._change(index, (_PENDING,), _NOT_DUE)

    def number_due(self) -> int:
        """The number of the next due frame, from 0. A restarted capture process counts on."""
        number = int(self._counters[_DUE])
        self._counters[_DUE] = number + 1
        return number

    def sent(self, index: int, owner: int) -> bool:
        """The frame now belongs to the inspect worker `owner`. Call before the message is sent, never after.

        False: do not send it.
        """
        _check_owner(owner)
        return self._change(index, (_PENDING,), _SENT, owner)

    def taken(self, index: int, owner: int) -> bool:
        """The inspect worker `owner` has received the frame that was sent to it.

        It then differs from a frame that was still in its sender's memory when that died. False: do not judge it.
        """
        return self._change(index, (_SENT,), _TAKEN, owner)

    def judged(self, index: int) -> bool:
        """The frame went through the detector."""
        return self._change(index, (_TAKEN, _SENT), _JUDGED)

    def drop(self, index: int, cause: DropCause) -> bool:
        """The frame will not be judged.

        Causes of `capture` end a pending frame, of `transport` one that was sent, of `inspect` one sent or taken.
        """
        return self._change(index, _DROPPED_FROM[cause], _DROP_STATE[cause])

    def in_flight(self, index: int) -> bool:
        """Whether it is open how this frame ends."""
        return self._state(index) in _IN_FLIGHT

    def any_in_flight(self, after: int, before: int) -> bool:
        """Whether it is open how any of the frames between these two ends, themselves excluded."""
        first = max(after + 1, before - self._count + 1, 0)
        indices = np.arange(first, before)
        words = self._cells[indices % self._count]
        in_flight = np.isin(words & _STATE_MASK, _IN_FLIGHT)
        return bool(np.any(in_flight & (words >> _INDEX_SHIFT == indices)))

    def late(self) -> None:
        """The result of a judged frame came too late to be used. `track` alone calls this."""
        self._counters[_LATE] += 1

    def dropped(self, index: int) -> DropCause | None:
        """Why this frame was dropped; None where it was not."""
        return DropCause.CAPTURE_LEDGER_FULL if index == NO_CELL else _CAUSE_OF.get(self._state(index))

    def _state(self, index: int) -> int:
        """The state of this frame; 0 where its cell is another's by now, which is only given away once it has ended."""
        word = int(self._cells[index % self._count])
        return word & _STATE_MASK if word >> _INDEX_SHIFT == index else 0

    def _change(self, index: int, before: tuple[int, ...], after: int, owner: int | None = None) -> bool:
        if index < 0:
            return False
        place = index % self._count
        word = int(self._cells[place])
        if word >> _INDEX_SHIFT != index or word & _STATE_MASK not in before:
            return False
        old_owner = word >> _OWNER_SHIFT & _OWNER_MASK
        if after == _TAKEN and owner != old_owner:
            return False
        self._cells[place] = _cell(index, old_owner if owner is None else owner, after)
        return True


class Ledger:
    """The mapped file: one `CameraLedger` a camera."""

    def __init__(self, memory: mmap.mmap, cameras: Sequence[str], cells: int) -> None:
        words = np.frombuffer(memory, dtype=np.int64, offset=_data_offset(len(cameras)))
        self.words: dict[str, NDArray[np.int64]] = dict(
            zip(cameras, words.reshape(len(cameras), _COUNTERS + cells), strict=True)
        )
        self._cameras = {name: CameraLedger(own) for name, own in self.words.items()}

    @classmethod
    def create(cls, path: Path, cameras: Sequence[str], cells: int = CELLS_PER_CAMERA) -> Ledger:
        """Create the file (mode 0600), all counters zero. The supervisor does this before it starts a stage."""
        encoded = [name.encode() for name in cameras]
        if not encoded or len(set(encoded)) != len(encoded) or any(not 0 < len(name) < _NAME_BYTES for name in encoded):
            raise LedgerError(f"a ledger needs cameras with different names below {_NAME_BYTES} bytes: {cameras}")
        size = _file_bytes(len(cameras), cells)
        with suppress(FileNotFoundError):
            path.unlink()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
            memory = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        header = _HEADER.pack(_MAGIC, FORMAT_VERSION, len(cameras), cells)
        memory[: _HEADER.size] = header
        for number, name in enumerate(encoded):
            start = _HEADER.size + number * _NAME_BYTES
            memory[start : start + len(name)] = name
        return cls(memory, cameras, cells)

    @classmethod
    def attach(cls, path: Path) -> Ledger:
        """Open the supervisor's file. Raises `LedgerError` where it is not a whole ledger of this version."""
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            size = os.fstat(descriptor).st_size
            raw = os.pread(descriptor, _HEADER.size, 0)
            if len(raw) < _HEADER.size or not raw.startswith(_MAGIC):
                raise LedgerError(f"{path} is not a ledger of frames")
            _, version, count, cells = _HEADER.unpack(raw)
            if version != FORMAT_VERSION:
                raise LedgerError(f"{path} is a ledger of format {version}, this program uses {FORMAT_VERSION}")
            if min(count, cells) < 1 or size != _file_bytes(count, cells):
                raise LedgerError(f"{path} is damaged: {size} bytes for {count} cameras of {cells} cells")
            memory = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        starts = [_HEADER.size + number * _NAME_BYTES for number in range(count)]
        names = [memory[start : start + _NAME_BYTES].rstrip(b"\0").decode() for start in starts]
        return cls(memory, names, cells)

    def camera(self, name: str) -> CameraLedger:
        """This camera's part. Raises `LedgerError` for a camera that the ledger was not made for."""
        try:
            return self._cameras[name]
        except KeyError:
            raise LedgerError(f"no camera {name!r} in the ledger, it has {', '.join(self._cameras)}") from None


class LedgerKeeper:
    """The supervisor's side: sweeps what the dead have left, and keeps the totals, which only ever grow."""

    def __init__(self, ledger: Ledger) -> None:
        self._words = ledger.words
        self._folded = {name: np.zeros(_STATE_MASK + 1, dtype=np.int64) for name in ledger.words}
        self._gone: dict[int, bool] = {}

    def sweep_owner(self, owner: int, stopped: bool = False) -> None:
        """This run of a process has ended: drop what it still owned, as `died`, or as `stopped` if that was ordered.

        Call after the process was waited for and before it is restarted. Frames that a capture process had sent
        when it died, and that no worker has taken, are dropped too (sender_died): they may have been in its memory.
        The owner is remembered, because a capture process may give a frame to a worker it does not know to be dead: the
        next `collect` sweeps that one.
        """
        self._gone[owner] = stopped
        if len(self._gone) > _GONE_REMEMBERED:
            del self._gone[next(iter(self._gone))]
        for words in self._words.values():
            self._sweep(words)
            if not stopped and int(words[_CAPTURER]) == owner:
                self._drop_untaken(words)

    def collect(self) -> dict[str, Totals]:
        """The account of each camera. Call at least once a second: it also makes room in the rings of cells.

        `captured` is what the counters say; all the other figures are read from the cells, each of which must hold the
        very index that belongs there and a known state to be found. So `residual`, the difference, is a check and not a
        definition: it is not zero when a cell was lost, that is, overwritten by another frame, by a second process
        capturing the same camera, by a process that went on after it was swept, or by anything else writing there.
        """
        return {name: self._fold(name, words) for name, words in self._words.items()}

    def _sweep(self, words: NDArray[np.int64]) -> None:
        for index, owner, state in _in_flight(words):
            if owner in self._gone:
                _store(words, index, owner, _DROP_STATE[_cause_of_end(state, self._gone[owner])])

    @staticmethod
    def _drop_untaken(words: NDArray[np.int64]) -> None:
        for index, owner, state in _in_flight(words):
            if state == _SENT:
                _store(words, index, owner, _DROP_STATE[DropCause.TRANSPORT_SENDER_DIED])

    def _fold(self, name: str, words: NDArray[np.int64]) -> Totals:
        if self._gone:
            self._sweep(words)
        full = int(words[_FULL])
        first, window = _window(words)
        states = _states(first, window)
        open_places = np.flatnonzero((states < _JUDGED) | (states >= _FIRST_DROP + len(_DROPS)))
        closed = int(open_places[0]) if len(open_places) else len(states)
        folded = self._folded[name]
        folded += np.bincount(states[:closed], minlength=len(folded))
        words[_FOLDED] = first + closed
        counts = folded + np.bincount(states[closed:], minlength=len(folded))

        dropped = {(c.stage, c.cause): int(counts[_DROP_STATE[c]]) for c in _DROPS if counts[_DROP_STATE[c]]}
        if full:
            cause = DropCause.CAPTURE_LEDGER_FULL
            dropped[cause.stage, cause.cause] = dropped.get((cause.stage, cause.cause), 0) + full
        totals = Totals(
            captured=first + len(window) + full,
            judged=int(counts[_JUDGED]),
            not_due=int(counts[_NOT_DUE]),
            dropped=dropped,
            in_flight=int(counts[list(_IN_FLIGHT)].sum()),
            late=int(words[_LATE]),
        )
        in_flight = np.flatnonzero(np.isin(states, _IN_FLIGHT))
        totals.oldest_in_flight = first + int(in_flight[0]) if len(in_flight) else None
        totals.residual = totals.captured - totals.judged - totals.not_due - sum(dropped.values()) - totals.in_flight
        return totals


def next_owner(last: int, taken: Collection[int]) -> int:
    """The number of the next process run. After `MAX_OWNER` it starts over, past those that are `taken`."""
    owner = last % MAX_OWNER + 1
    while owner in taken:
        owner = owner % MAX_OWNER + 1
    return owner


def _window(words: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
    """The index of the first frame not yet folded, and a copy of the cells from there to the last captured one.

    The counter is read before the cells: whatever it counts has its cell, and no cell of this window is reused.
    """
    captured, folded, cells = int(words[_CAPTURED]), int(words[_FOLDED]), _cells(words)
    return folded, cells[np.arange(folded, captured) % len(cells)]


def _states(first: int, window: NDArray[np.int64]) -> NDArray[np.int64]:
    """The state of each cell of the window, 0 where it does not hold the index that belongs there."""
    return np.where(window >> _INDEX_SHIFT == first + np.arange(len(window)), window & _STATE_MASK, 0)


def _in_flight(words: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """(index, owner, state) of each frame in flight."""
    first, window = _window(words)
    states = _states(first, window)
    for offset in np.flatnonzero(np.isin(states, _IN_FLIGHT)):
        yield first + int(offset), int(window[offset]) >> _OWNER_SHIFT & _OWNER_MASK, int(states[offset])


def _store(words: NDArray[np.int64], index: int, owner: int, state: int) -> None:
    cells = _cells(words)
    cells[index % len(cells)] = _cell(index, owner, state)


def _cells(words: NDArray[np.int64]) -> NDArray[np.int64]:
    return words[_COUNTERS:]


def _cause_of_end(state: int, stopped: bool) -> DropCause:
    if state == _PENDING:
        return DropCause.CAPTURE_STOPPED if stopped else DropCause.CAPTURE_DIED
    return DropCause.INSPECT_STOPPED if stopped else DropCause.INSPECT_DIED


def _cell(index: int, owner: int, state: int) -> int:
    return index << _INDEX_SHIFT | owner << _OWNER_SHIFT | state


def _check_owner(owner: int) -> None:
    if not 0 < owner <= MAX_OWNER:
        raise LedgerError(f"an owner is a number from 1 to {MAX_OWNER}, got {owner}")


def _data_offset(cameras: int) -> int:
    return -(-(_HEADER.size + cameras * _NAME_BYTES) // 64) * 64


def _file_bytes(cameras: int, cells: int) -> int:
    return _data_offset(cameras) + cameras * (_COUNTERS + cells) * 8
