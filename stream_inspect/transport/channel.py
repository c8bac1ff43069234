"""The channel contract: how messages go from stage to stage. `zmq.py` fulfils it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stream_inspect.messages import AnyMessage


class Channels(Protocol):
    """All the channels of one stage. Made, used and closed in one thread.

    `subscribe` and `publish` name a topic of `topics.TOPICS`; `key` is the address within a keyed topic.
    A MAILBOX topic is owned by its one reader (who calls `subscribe`); senders address it by (topic, key).
    """

    def subscribe(self, topic: str, key: str = "") -> None:
        """Start receiving this topic (for a MAILBOX: own the box), but not what this stage broadcasts itself.

        Call before `receive`.
        """

    def send(self, topic: str, message: AnyMessage, key: str = "") -> bool:
        """Send without ever waiting. False: the mailbox is full, nothing was sent, the caller accounts for it.

        Raises `envelope.MessageTooLargeError` for a message that no reader would take, and sends nothing.
        """

    def receive(self, timeout_s: float, wake_fd: int | None = None) -> Sequence[AnyMessage]:
        """Everything that has arrived, oldest first; waits up to `timeout_s` for the first message or for `wake_fd`.

        Malformed, oversized and unknown messages are counted (`metrics.MALFORMED`) and dropped, never returned.
        """

    def close(self) -> None:
        """Close every socket; what a mailbox's reader does not take within 0.2 s is dropped. Never raises."""
