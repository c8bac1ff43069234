"""All wire types, a subject a file, and their schema version (`wire.py`); the table of topics is `topics.py`.

Everything that crosses a process boundary is one of these msgspec structs, tagged by name, encoded as MessagePack.
`decode` either returns a typed message or raises `MalformedMessageError`; nothing is ever unpickled.

A frame has two pictures. The *sensor picture* is the one that the camera sends; a file's is upright as its Exif or
display matrix says. The *judged picture* is the sensor picture turned as the configuration says: it lies in the ring,
and everything after capture means this one, whether its frame is judged or not.

Coordinates are pixels of the judged picture: x to the right, y down, boxes as (left, top, right, bottom) with right and
bottom exclusive. Times: `*_mono_ns` is CLOCK_MONOTONIC of the capturing host (comparable between processes of that
host, immune to NTP steps), `*_utc_ns` is the best wall clock there is, `pts` is in the container's time base.
"""

from __future__ import annotations

from stream_inspect.messages.base import Message
from stream_inspect.messages.conditions import (
    CONDITION_REPEAT_S,
    ActiveCondition,
    Condition,
    ConditionKind,
    LineState,
    LineStatus,
)
from stream_inspect.messages.detections import Box, Corners, Detection, Extent, Inspection, Outline, Rle, Severity
from stream_inspect.messages.events import (
    EVENT_SCHEMA_VERSION,
    PART_NAME,
    DecidedPart,
    Event,
    EventState,
    FrameRef,
    as_sent,
    counted_as,
    event_id,
    event_json,
    part_id,
)
from stream_inspect.messages.frames import (
    CREDIT_REPEAT_S,
    CREDIT_VALID_S,
    Clock,
    Credit,
    DueFrame,
    FrameHeader,
    FrameId,
    FrameOrder,
    Missed,
    RingSlot,
)
from stream_inspect.messages.interval import Interval
from stream_inspect.messages.live import LivePicture
from stream_inspect.messages.parts import (
    BeltSight,
    Doubt,
    PartChange,
    PartDefect,
    PartSight,
    PartsSeen,
    PartVerdict,
    Reason,
    Verdict,
    What,
)
from stream_inspect.messages.plant import BeltReading, CounterBits, PlantReadings, PlantValue, Trigger
from stream_inspect.messages.tracks import Tracked, TrackUpdate
from stream_inspect.messages.wire import (
    MAX_MESSAGE_BYTES,
    WIRE_VERSION,
    AnyMessage,
    MalformedMessageError,
    Output,
    decode,
    encode,
)

__all__ = [
    "CONDITION_REPEAT_S",
    "CREDIT_REPEAT_S",
    "CREDIT_VALID_S",
    "EVENT_SCHEMA_VERSION",
    "MAX_MESSAGE_BYTES",
    "PART_NAME",
    "WIRE_VERSION",
    "ActiveCondition",
    "AnyMessage",
    "BeltReading",
    "BeltSight",
    "Box",
    "Clock",
    "Condition",
    "ConditionKind",
    "Corners",
    "CounterBits",
    "Credit",
    "DecidedPart",
    "Detection",
    "Doubt",
    "DueFrame",
    "Event",
    "EventState",
    "Extent",
    "FrameHeader",
    "FrameId",
    "FrameOrder",
    "FrameRef",
    "Inspection",
    "Interval",
    "LineState",
    "LineStatus",
    "LivePicture",
    "MalformedMessageError",
    "Message",
    "Missed",
    "Outline",
    "Output",
    "PartChange",
    "PartDefect",
    "PartSight",
    "PartVerdict",
    "PartsSeen",
    "PlantReadings",
    "PlantValue",
    "Reason",
    "RingSlot",
    "Rle",
    "Severity",
    "TrackUpdate",
    "Tracked",
    "Trigger",
    "Verdict",
    "What",
    "as_sent",
    "counted_as",
    "decode",
    "encode",
    "event_id",
    "event_json",
    "part_id",
]
