"""What is known of a line's odometer, in memory that outlives the process: the next one continues its places."""

from __future__ import annotations

from pathlib import Path

import msgspec

from stream_inspect.belt.odometer import SourceReading
from stream_inspect.belt.position import Position


class SourceRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The last reading of one source."""

    reading: SourceReading
    of: int
    """What the position was made of: an encoder's count, or the number of a camera's session."""
    begins: Position
    """See `PictureWay.begins`."""


class BeltRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A line's odometer at its last reading."""

    origin_ns: int
    mono_ns: int
    position: Position
    """The line's at the last frame, whose time `mono_ns` is."""
    speed_since_ns: int | None
    """Where the belt is supposed to run at a fixed speed: since when."""
    believed: str
    sources: dict[str, SourceRecord]
    counted: tuple[int, int] | None
    """The photo-eye's counter as it was last seen, and when."""

    def write(self, path: Path) -> None:
        """Replace what is there. Raises OSError."""
        written = path.with_suffix(".new")
        written.write_bytes(msgspec.msgpack.encode(self))
        written.replace(path)

    @classmethod
    def read(cls, path: Path) -> BeltRecord | None:
        """None where there is none. Raises `msgspec.DecodeError` for what is not a record of this version."""
        return msgspec.msgpack.decode(path.read_bytes(), type=cls) if path.exists() else None
