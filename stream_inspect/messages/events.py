"""Events, as the log keeps them and as alerts carry them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from stream_inspect.messages.base import Message
from stream_inspect.messages.detections import Box, Extent, Outline
from stream_inspect.messages.frames import Clock, FrameOrder
from stream_inspect.messages.parts import PartDefect, Reason, Verdict

EVENT_SCHEMA_VERSION = 1

PART_NAME = "PART"
"""In the place of the name in the id of a part's event. No defect and no condition is written in capitals."""


class EventState(StrEnum):
    """The states an event is sent in. `suspect` is known inside `decide` only and never sent."""

    CONFIRMED = "confirmed"
    CLEARED = "cleared"
    DECIDED = "decided"
    """Of a part: it has its verdict. It does not end."""


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


class DecidedPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part that has its verdict. Times are nanoseconds since 1970, UTC; `decided_mono_ns` is the host's monotonic."""

    run: int
    """The line's run: `number` counts from 1 in each."""
    number: int
    lane: int
    serial: str
    """As the plant's input reported it; empty where it reports none."""
    lot: str
    """As the plant's input reported it when the part entered, or else the local day on which the shift began."""
    verdict: Verdict
    reason: Reason
    """The sentence to it is the event's `reason`."""
    defects: list[PartDefect]
    """What was found on it by then, confirmed or not, each with its best score."""
    trigger_utc_ns: int | None
    """When its centre passes `lines[].trigger_mm`: as it was captured, else as expected at the belt's last speed; null
    where that is not known."""
    gate_utc_ns: int | None
    """Likewise of `lines[].gate_mm`."""
    decided_mono_ns: int
    """Capture of the line's newest frame when it was decided."""


def event_id(camera: str, session: int, name: str, n: int) -> str:
    """The id of the nth event of this name in this session; `camera` is empty for a condition of the whole line.

    Two events never share one. Read from its right end, an id is a number, the name, a number, and the rest is the
    camera: no name holds a number alone between dashes (`config.models.DefectName`, `ConditionKind`).
    """
    return f"{camera}-{session}-{name}-{n}"


def part_id(line: str, run: int, number: int) -> str:
    """The id of the event of a part. No other event has one like it: no name is written in capitals."""
    return event_id(line, run, PART_NAME, number)


class Event(Message, frozen=True, kw_only=True):
    """A confirmed defect, a condition of a camera or the line, or the verdict of a part: what an alert carries and the
    store keeps.

    `id` is derived from (camera, session, defect or condition, n), or from (line, run, part), never from a clock or a
    random number: it is unique within one event log. `key` is the idempotency key: id + state in the log and in a
    replay, and the log's identity + id + state in every alert (`as_sent`). The identity is a random number made with
    the log and kept in it, so that no two lines, hosts or state folders send the same key. `source` is the process that
    reports a condition (`process_down`: the one that is down); each has an event of its own. `track` is unique within
    (camera, session). `score` is the highest of all views, that of the judged frame `score_seq` of the session of
    `frame`. Of a part, `name` is the verdict, `camera` is empty, and it was seen when it was decided. Times are
    nanoseconds since 1970, UTC. `late_s` is only in an alert: how many seconds after it was seen this event is sent, a
    fraction of one unless the output was down. A receiver that moves something compares it with what it can still
    reach. Sent once more, the same event has the same key and another `late_s`.
    """

    version: int = EVENT_SCHEMA_VERSION
    id: str
    key: str
    kind: Literal["defect", "condition", "part"]
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
    part: DecidedPart | None = None
    late_s: float | msgspec.UnsetType = msgspec.UNSET


def counted_as(event: Event) -> tuple[str, str]:
    """What an event's id begins with, and the name in it: (camera, name), or those that stand for a part."""
    return (event.line, PART_NAME) if event.kind == "part" else (event.camera, event.name)


def as_sent(event: Event, log_identity: str, late_s: float | msgspec.UnsetType = msgspec.UNSET) -> Event:
    """The event of the log with this identity as an alert carries it: under a key that no other log sends."""
    late_s = late_s if late_s is msgspec.UNSET else round(late_s, 3)
    return msgspec.structs.replace(event, key=f"{log_identity}:{event.key}", late_s=late_s)


def event_json(event: Event) -> bytes:
    """The event's versioned JSON: what is stored, and what every alert carries."""
    return msgspec.json.encode(event)
