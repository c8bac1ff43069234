"""What the events of defects and of conditions have in common: their ids, their frame, and how they end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from stream_inspect.messages import Event, EventState, FrameHeader, FrameRef, event_id

INTERRUPTED = "interrupted"
"""The reason of an event that ends because the service was stopped, or because nothing reports its condition."""


class EventIds:
    """Gives out event ids: counted from the highest that the log has ever used, so that no id is used twice.

    Held in memory is the latest session of each camera and name alone: an earlier one never comes back. Session 0 does:
    it is that of conditions without a frame, and is counted by itself.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str, bool], tuple[int, int]] = {}
        """By (camera, name, whether it is of session 0): (session, n of its last event)."""

    def restore(self, last: Mapping[tuple[str, int, str], int]) -> None:
        """Continue after these, the highest n of each (camera, session, name)."""
        self._numbers = {}
        for (camera, session, name), n in sorted(last.items()):
            self._numbers[camera, name, session == 0] = session, n

    def next(self, camera: str, session: int, name: str) -> str:
        """The id of the next event of these three."""
        known_session, n = self._numbers.get((camera, name, session == 0), (session, 0))
        if known_session != session:
            n = 0
        self._numbers[camera, name, session == 0] = session, n + 1
        return event_id(camera, session, name, n + 1)


def event_key(identity: str, state: EventState) -> str:
    """The idempotency key of an event in this state."""
    return f"{identity}:{state}"


def cleared(confirmed: Event, **at_the_end: Any) -> Event:
    """The same event at its end: frame, box and picture stay those that it was confirmed with."""
    key = event_key(confirmed.id, EventState.CLEARED)
    return msgspec.structs.replace(confirmed, state=EventState.CLEARED, key=key, **at_the_end)


def reference(frame: FrameHeader) -> FrameRef:
    """The identity and times of a frame, as events carry them."""
    identity = frame.id
    return FrameRef(
        session=identity.session,
        seq=identity.seq,
        pts=identity.pts,
        pts_s=identity.pts_s,
        width_px=frame.width_px,
        height_px=frame.height_px,
        capture_mono_ns=frame.capture_mono_ns,
        capture_utc_ns=frame.capture_utc_ns,
        clock=frame.clock,
        file=frame.file or msgspec.UNSET,
    )
