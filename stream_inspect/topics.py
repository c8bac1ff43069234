"""The table of topics: what flows between stages, how it is delivered, and how much may wait."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stream_inspect.messages import (
    BeltSight,
    Condition,
    Credit,
    DueFrame,
    Event,
    FrameHeader,
    Inspection,
    LineStatus,
    LivePicture,
    Message,
    Missed,
    PartsShown,
    PartsStatus,
    PlantReadings,
    Tracked,
)


class Delivery(StrEnum):
    """How a topic treats a slow or absent reader. There are only these two ways."""

    BROADCAST = "broadcast"  # to all readers; one whose queue is full loses what comes, a writer never waits
    MAILBOX = "mailbox"  # to one named reader, in order; when its box is full, `send` returns False


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of the table of topics: what a reader may expect of it."""

    name: str
    message: type[Message]
    delivery: Delivery
    depth: int
    """Messages held for one reader before the delivery rule acts: more than one writer sends in a burst (`live` sends
    the pictures of all cameras at once)."""
    keyed: bool = False
    """Addressed by a key (a camera's or a worker's name) as well as by the topic's name."""


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("frames", FrameHeader, Delivery.BROADCAST, depth=256),
        Topic("credit", Credit, Delivery.MAILBOX, depth=64, keyed=True),
        Topic("due", DueFrame, Delivery.MAILBOX, depth=64, keyed=True),
        Topic("inspections", Inspection, Delivery.MAILBOX, depth=1024),
        Topic("missed", Missed, Delivery.MAILBOX, depth=1024),
        Topic("belt", BeltSight, Delivery.MAILBOX, depth=1024),
        Topic("plant", PlantReadings, Delivery.MAILBOX, depth=1024),
        Topic("conditions", Condition, Delivery.BROADCAST, depth=1024),
        Topic("status", LineStatus, Delivery.BROADCAST, depth=16),
        Topic("tracked", Tracked, Delivery.BROADCAST, depth=256),
        Topic("parts_shown", PartsShown, Delivery.BROADCAST, depth=256),
        Topic("parts_status", PartsStatus, Delivery.BROADCAST, depth=256),
        Topic("confirmed", Event, Delivery.BROADCAST, depth=1024),
        Topic("events", Event, Delivery.BROADCAST, depth=1024),
        Topic("live", LivePicture, Delivery.BROADCAST, depth=64),
    )
}
