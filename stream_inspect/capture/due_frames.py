"""A camera's due frames: each has a number, and one that was not judged is reported as `Missed`.

Frames are dropped in many places: superseded here, refused by a full mailbox, overwritten in the ring, in the hands
of a worker that died. The ledger knows of all of them, so it is asked, and no other place reports a miss.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from stream_inspect.messages import FrameHeader, Missed, Output
from stream_inspect.transport.ledger import CameraLedger


class DueFrames:
    """The due frames of which it is open whether they will be judged."""

    def __init__(self, ledger: CameraLedger) -> None:
        self._ledger = ledger
        self._open: list[FrameHeader] = []

    def __len__(self) -> int:
        return len(self._open)

    def add(self, header: FrameHeader) -> FrameHeader:
        """This frame is due: its header with its number."""
        numbered = msgspec.structs.replace(header, due=self._ledger.number_due())
        self._open.append(numbered)
        return numbered

    def missed(self) -> Iterable[Output]:
        """Those that were dropped since the last call. Call often: `track` waits for what may still come."""
        due, self._open = self._open, []
        for header in due:
            if self._ledger.in_flight(header.ledger_index):
                self._open.append(header)
            elif (cause := self._ledger.dropped(header.ledger_index)) is not None:
                yield Output("missed", Missed(frame=header, stage=cause.stage, cause=cause.cause))
