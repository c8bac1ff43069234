"""The counter of a camera's connections, kept across restarts: (camera, session, seq) must never name two frames.

And of the runs of a line whose parts are accounted for: (line, run, part) must never name two parts.
"""

from __future__ import annotations

import os
import re
import threading
import time
import zlib
from pathlib import Path

from stream_inspect.log import get_logger
from stream_inspect.store.durable import sync_folder

_SLOT_BYTES = 512
"""A sector: what a power cut tears is at most the slot being written."""
_WITHIN_S = 1.0
_SLOT = re.compile(rb"session (\d{20}) check ([0-9a-f]{8})\n *\n")


class SessionCounter:
    """Counts in a file of its own, `state_dir/sessions/<camera>`.

    The file holds the last two numbers, each with a checksum in a slot of its own, and is written in place, the older
    slot first: once the file exists, counting needs no disk space, and a half-written number does no harm.

    A number is never given twice. Where one slot is damaged it may have held the later number, which is skipped. Where
    both are, counting continues at the milliseconds since 1970: sessions begin at least 0.1 s apart, so no count ever
    comes near it. So it does where the disk fails or does not answer: a camera that reconnects is judged all the same.
    """

    def __init__(self, state_dir: Path, camera: str) -> None:
        self._path = state_dir / "sessions" / camera
        self._given = 0
        self._writing: threading.Thread | None = None
        self._failed = False
        self._log = get_logger(__name__, camera=camera)

    @classmethod
    def of_parts(cls, state_dir: Path, line: str) -> SessionCounter:
        """The counter of the runs of a line's parts; no camera's name has a dot."""
        return cls(state_dir, f"parts.{line}")

    def next(self) -> int:
        """The next number, from 1; on disk before it is returned, unless the disk fails or takes longer than 1 s."""
        number, error = self._counted()
        if error is not None and not self._failed:
            self._log.error(
                "cannot write the session counter; numbering by the clock", file=str(self._path), error=str(error)
            )
        self._failed = error is not None
        self._given = number
        return number

    def _counted(self) -> tuple[int, OSError | None]:
        """The next number, and why it is not on disk."""
        results: list[int | OSError] = []

        def count() -> None:
            try:
                results.append(self._count())
            except OSError as error:
                results.append(error)

        if self._writing is None or not self._writing.is_alive():
            # What a thread that is stuck in the kernel writes in the end is a number that is not given.
            self._writing = threading.Thread(target=count, name="session-counter", daemon=True)
            self._writing.start()
        self._writing.join(_WITHIN_S)
        result = results[0] if results else TimeoutError(f"no answer from the disk within {_WITHIN_S:g} s")
        if isinstance(result, int):
            return result, None
        return max(time.time_ns() // 1_000_000, self._given + 1), result

    def _count(self) -> int:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            self._make()
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            raw = os.pread(descriptor, 2 * _SLOT_BYTES, 0)
            kept = [_unpack(raw[:_SLOT_BYTES]), _unpack(raw[_SLOT_BYTES:])]
            number = max(self._after(kept), self._given + 1)
            first, second = (-1 if one is None else one for one in kept)
            os.pwrite(descriptor, _pack(number), 0 if first <= second else _SLOT_BYTES)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return number

    def begin_after(self, number: int) -> None:
        """Let the next number be higher than this one, which was given before the file was lost. Raises OSError."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            known = 0
        else:
            slots = (raw[:_SLOT_BYTES], raw[_SLOT_BYTES:])
            # Where both are damaged, counting continues far ahead anyway.
            known = max((found for slot in slots if (found := _unpack(slot)) is not None), default=number)
        if known < number:
            self._log.error(
                "session counter lost; continuing after the event log's", file=str(self._path), after=number
            )
            self._make(number)

    def _after(self, kept: list[int | None]) -> int:
        whole = [number for number in kept if number is not None]
        if len(whole) == 2:
            return max(whole) + 1
        # The number in the damaged slot was at most one larger than that in the other.
        number = whole[0] + 2 if whole else max(time.time_ns(), os.stat(self._path).st_mtime_ns) // 1_000_000
        self._log.warning("session counter file is corrupt", file=str(self._path), next_session=number)
        return number

    def _make(self, number: int = 0) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f"{self._path.name}.new")
        with fresh.open("wb") as file:
            file.write(2 * _pack(number))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        sync_folder(self._path.parent)


def _pack(number: int) -> bytes:
    digits = b"%020d" % number
    return (b"session %s check %08x\n" % (digits, zlib.crc32(digits))).ljust(_SLOT_BYTES - 1) + b"\n"


def _unpack(slot: bytes) -> int | None:
    """The number in a slot, None where it is damaged."""
    found = _SLOT.fullmatch(slot)
    if found is None or len(slot) != _SLOT_BYTES or int(found[2], 16) != zlib.crc32(found[1]):
        return None
    return int(found[1])
