"""The alert contract: sends one event, once, or says why not. Order, retries and the outbox are not its business."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from stream_inspect.errors import StreamInspectError
from stream_inspect.messages import Event


class AlertError(StreamInspectError):
    """Sending failed and may pass later; the outbox keeps the event and tries again. No secret in the text.

    `retry_after_s`: the receiver asked not to be tried again before so many seconds.
    """

    def __init__(self, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class AlertRefusedError(StreamInspectError):
    """The receiver will never take this event (HTTP 4xx but 408, 425, 429): kept aside and logged; the next goes."""


class Alert(Protocol):
    """One output. Lives in a thread of its own, so that a dead one slows nothing else."""

    def open(self) -> None:
        """Connect. Raises `AlertError`; then it is closed and opened again later."""

    def send(self, event: Event) -> None:
        """Deliver one event and return only when the receiver has acknowledged it.

        Raises `AlertError` (then it is closed and opened again before the next try) or `AlertRefusedError`.
        """

    def check(self) -> None:
        """Called about once a second while there is nothing to send.

        Raises `AlertError` when the connection is gone, so that it is made again before it is needed.
        """

    def close(self) -> None:
        """Disconnect. Never raises; may be called in any state."""


class AlertClass(Protocol):
    """How a registered alert is made: the constructor does no work."""

    def __call__(self, config: Any, *, line: str, state_dir: Path) -> Alert:
        """`config` is its own entry of `alerts:` (a plug-in gets the `PluginAlertConfig`)."""
