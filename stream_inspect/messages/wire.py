"""Any message as bytes, and back."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from stream_inspect.messages.base import Message
from stream_inspect.messages.conditions import Condition, LineStatus
from stream_inspect.messages.detections import Inspection
from stream_inspect.messages.events import Event
from stream_inspect.messages.frames import Credit, DueFrame, FrameHeader, Missed
from stream_inspect.messages.live import LivePicture
from stream_inspect.messages.parts import BeltSight, PartsSeen, PartsShown, PartsStatus, PartVerdict
from stream_inspect.messages.plant import PlantReadings
from stream_inspect.messages.tracks import Tracked

WIRE_VERSION = 3
"""Raised when a message changes so that an old reader would misunderstand it. A reader rejects every other version."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""A larger message is rejected unread: headers, results and one live JPEG are all far smaller."""


AnyMessage = (
    FrameHeader
    | Credit
    | DueFrame
    | Missed
    | Inspection
    | BeltSight
    | PlantReadings
    | Tracked
    | PartsSeen
    | PartVerdict
    | PartsShown
    | PartsStatus
    | Condition
    | LineStatus
    | Event
    | LivePicture
)


class MalformedMessageError(ValueError):
    """Not a valid message of this wire version. The receiver counts and drops it."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a stage hands to the loop: this message, to this topic (and, for a keyed topic, to this key)."""

    topic: str
    message: AnyMessage
    key: str = ""


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: Message) -> bytes:
    """The message as MessagePack, led by one byte that carries `WIRE_VERSION`."""
    return bytes((WIRE_VERSION,)) + _encoder.encode(message)


def decode(data: bytes | memoryview) -> AnyMessage:
    """Parse what came over a wire, or raise `MalformedMessageError` saying what is wrong with it."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise MalformedMessageError(f"message of {len(data)} bytes, the limit is {MAX_MESSAGE_BYTES}")
    if len(data) < 2:
        raise MalformedMessageError("message without a body")
    if data[0] != WIRE_VERSION:
        raise MalformedMessageError(f"message of wire version {data[0]}, this program speaks {WIRE_VERSION}")
    try:
        return _decoder.decode(memoryview(data)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessageError(str(error)) from error
