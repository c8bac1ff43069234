"""The alert contract: sends one event, once, or says why not. Order, retries and the outbox are not its business."""

from __future__ import annotations

from typing import Protocol

from stream_inspect.errors import StreamInspectError
from stream_inspect.messages import Event


class AlertError(StreamInspectError):
    """Sending failed and may pass later; the outbox keeps the event and tries again. No secret in the text."""


class AlertRefusedError(StreamInspectError):
    """The receiver will never take this event (HTTP 4xx but 408, 425, 429): kept aside and logged; the next goes."""


class Alert(Protocol):
    """One output. Lives in a thread of its own, so that a dead one slows nothing else."""

    def open(self) -> None:
        """Connect. Raises `AlertError`; then it is closed and opened again later."""

    def send(self, event: Event) -> None:
        """Deliver one event and return only when the receiver has acknowledged it. Raises `AlertError`."""

    def close(self) -> None:
        """Disconnect. Never raises."""
