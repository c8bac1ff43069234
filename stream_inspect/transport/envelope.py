"""What surrounds a message on a channel: who sent it, and its number among that sender's messages to the topic.

The number shows a reader of broadcasts how many it has lost.
"""

from __future__ import annotations

import os
import struct
from collections import OrderedDict

from stream_inspect import metrics
from stream_inspect.errors import StreamInspectError
from stream_inspect.messages import MAX_MESSAGE_BYTES, AnyMessage, MalformedMessageError, decode, encode
from stream_inspect.topics import TOPICS, Delivery, Topic

ENVELOPE = struct.Struct("<QQ")  # the sender's run, a random number; the message's number within it, from 0
_RUNS_REMEMBERED = 1024


class ChannelError(StreamInspectError):
    """A channel is used against its rules: an unknown topic, a missing key, a path that no socket can have."""


class MessageTooLargeError(ChannelError):
    """No reader would take this message, now or later."""


def topic_of(name: str, key: str) -> Topic:
    """The table's row, for a name and a key that fit together. Raises `ChannelError`."""
    try:
        topic = TOPICS[name]
    except KeyError:
        raise ChannelError(f"unknown topic {name!r}, known: {', '.join(TOPICS)}") from None
    if topic.keyed != bool(key):
        raise ChannelError(f"topic {name} {'needs a key' if topic.keyed else f'has no keys, got {key!r}'}")
    return topic


class Packer:
    """Packs one sender's messages to one topic."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._run = int.from_bytes(os.urandom(8))
        self._number = 0

    def pack(self, message: AnyMessage) -> bytes:
        """The bytes to send. Raises `MessageTooLargeError`, and `ChannelError` for a message of another topic."""
        if type(message) is not self._topic.message:
            raise ChannelError(f"topic {self._topic.name} carries {self._topic.message.__name__}, got {message!r:.100}")
        body = encode(message)
        if len(body) > MAX_MESSAGE_BYTES:
            raise MessageTooLargeError(
                f"a message of {len(body)} bytes to topic {self._topic.name}, the limit is {MAX_MESSAGE_BYTES}"
            )
        envelope = ENVELOPE.pack(self._run, self._number)
        self._number += 1
        return envelope + body


class Unpacker:
    """Unpacks what one reader receives of one topic: counts what is malformed, and what was lost or worked off."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._next: OrderedDict[int, int] = OrderedDict()
        self._malformed = metrics.MALFORMED.labels(topic.name)
        self._lost = metrics.LOST_BROADCASTS.labels(topic.name)
        self._handled = metrics.MAILBOX_HANDLED.labels(topic.name)
        self._in_hand = 0

    def unpack(self, data: bytes | memoryview) -> AnyMessage | None:
        """The message, or None (counted) where it is malformed, oversized or of another topic."""
        if len(data) < ENVELOPE.size:
            self._malformed.inc()
            return None
        run, number = ENVELOPE.unpack_from(data)
        if self._topic.delivery is Delivery.BROADCAST:
            self._count_lost(run, number)
        else:
            self._in_hand += 1
        try:
            message = decode(memoryview(data)[ENVELOPE.size :])
        except MalformedMessageError:
            self._malformed.inc()
            return None
        if type(message) is not self._topic.message:
            self._malformed.inc()
            return None
        return message

    def worked_off(self) -> None:
        """The reader comes for more: it has finished with what it had. Killed before, it loses all of that."""
        if self._in_hand:
            self._handled.inc(self._in_hand)
            self._in_hand = 0

    def _count_lost(self, run: int, number: int) -> None:
        expected = self._next.pop(run, number)  # the first message heard of a sender: what came before is not lost
        if number > expected:
            self._lost.inc(number - expected)
        self._next[run] = number + 1
        if len(self._next) > _RUNS_REMEMBERED:
            self._next.popitem(last=False)
