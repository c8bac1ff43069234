"""Events, as the log keeps them and as alerts carry them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from stream_inspect.messages.base import Message
from stream_inspect.messages.detections import Box, Extent, Outline
from stream_inspect.messages.frames import Clock, FrameOrder

EVENT_SCHEMA_VERSION = 1


class EventState(StrEnum):
    """The states an event is sent in. `suspect` is known inside `decide` only and never sent."""

    CONFIRMED = "confirmed"
    CLEARED = "cleared"


class FrameRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The identity and times of the judged frame that an event rests on."""

    session: int
    seq: int
    pts: int
    pts_s: float
    width_px: int
    height_px: int
    capture_mono_ns: int
    capture_utc_ns: int
    clock: Clock
    file: str | msgspec.UnsetType = msgspec.UNSET
    """Name of the picture file, where the frame is one."""

    @property
    def order(self) -> FrameOrder:
        """Where this frame stands among its camera's frames."""
        return self.session, self.seq


def event_id(camera: str, session: int, name: str, n: int) -> str:
    """The id of the nth event of this name in this session; `camera` is empty for a condition of the whole line.

    Two events never share one. Read from its right end, an id is a number, the name, a number, and the rest is the
    camera: no name holds a number alone between dashes (`config.models.DefectName`, `ConditionKind`).
    """
    return f"{camera}-{session}-{name}-{n}"


class Event(Message, frozen=True, kw_only=True):
    """A confirmed defect, or a condition of a camera or the line: what an alert carries and the store keeps.

    `id` is derived from (camera, session, defect or condition, n), never from a clock or a random number: it is unique
    within one event log. `key` is the idempotency key: id + state in the log and in a replay, and the log's identity +
    id + state in every alert (`as_sent`). The identity is a random number made with the log and kept in it, so that no
    two lines, hosts or state folders send the same key. `source` is the process that reports a condition
    (`process_down`: the one that is down); each has an event of its own. `track` is unique within (camera, session).
    `score` is the highest of all views, that of the judged frame `score_seq` of the session of `frame`. Times are
    nanoseconds since 1970, UTC. `late_s` is only in an alert: how many seconds after it was seen this event
    is sent, a fraction of one unless the output was down. A receiver that moves something compares it with what it can
    still reach. Sent once more, the same event has the same key and another `late_s`.
    """

    version: int = EVENT_SCHEMA_VERSION
    id: str
    key: str
    kind: Literal["defect", "condition"]
    state: EventState
    line: str
    camera: str
    name: str
    source: str = ""
    severity: str
    first_seen_utc_ns: int
    last_seen_utc_ns: int
    score: float | None = None
    score_seq: int | None = None
    box_xyxy_px: Box | None = None
    outline_px: Outline = msgspec.field(default_factory=list)
    extent: Extent | None = None
    track: int | None = None
    views: int = 0
    frame: FrameRef | None = None
    picture: str | None = None
    clip: str | None = None
    model_hash: str = ""
    prompts_hash: str = ""
    reason: str = ""
    late_s: float | msgspec.UnsetType = msgspec.UNSET


def as_sent(event: Event, log_identity: str, late_s: float | msgspec.UnsetType = msgspec.UNSET) -> Event:
    """The event of the log with this identity as an alert carries it: under a key that no other log sends."""
    late_s = late_s if late_s is msgspec.UNSET else round(late_s, 3)
    return msgspec.structs.replace(event, key=f"{log_identity}:{event.key}", late_s=late_s)


def event_json(event: Event) -> bytes:
    """The event's versioned JSON: what is stored, and what every alert carries."""
    return msgspec.json.encode(event)
