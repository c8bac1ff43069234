"""The alert contract: sends one event, once, or says why not. Order, retries and the outbox are not its business.

An output of ours is two files and a test rig: `config/outputs/<kind>.py` (model, cross-checks, example),
`alerts/<kind>.py` (the class with its probe), `tests/alerts/rigs/<kind>.py`. One of another package joins by an entry
point in the group `stream_inspect.alert`; its class also names the model of its options, `options_model`
(`config/plugin.py`), and is given that model as its `config`. The module of a plug-in is imported wherever the
configuration is read, so it leaves heavy imports to `open`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from stream_inspect.alerts.status import StatusReport
from stream_inspect.errors import StreamInspectError
from stream_inspect.findings import Finding
from stream_inspect.messages import Event


class AlertError(StreamInspectError):
    """Sending failed and may work later; the outbox keeps the event and retries. No secret in the text.

    Raised as it is for what passes without a person: no connection, no answer in time, a receiver that is busy,
    starting or out of space (HTTP 408, 425, 429, 5xx; MQTT "server busy", "quota exceeded").

    `retry_after_s`: the receiver asked not to be tried again before so many seconds. `reconnect`: the output is closed
    and opened again before the next try; False where the receiver answered over a connection that works.
    """

    def __init__(self, text: str, retry_after_s: float = 0.0, *, reconnect: bool = True) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s
        self.reconnect = reconnect


class OutputRefusedError(AlertError):
    """Every event is rejected until a person changes something: they wait, and the output is reported at once.

    A login, a path, a topic, a redirect, a certificate, a folder's permissions: HTTP 401, 403, 404, MQTT "not
    authorized". An answer that nothing explains is taken for one of these: no event is lost by it.
    """


class AlertRejectedError(StreamInspectError):
    """The receiver permanently rejects this event and would accept others: it becomes a dead letter.

    Only for an answer about what is in the event: HTTP 400, 409, 413, 422; MQTT "packet too large", "payload format
    invalid".
    """


class Alert(Protocol):
    """One output. Runs in a thread of its own, so that a dead one slows nothing else."""

    acknowledges: ClassVar[bool]
    """Whether `send` returns only when the receiver has acknowledged the event: then each is delivered at least once.
    Otherwise it returns when the event has been handed over, as the class describes. The event is not sent again then,
    and what is lost on its way is lost (at most once). Either way a crash between `send` and its record repeats that
    one event, with the same key."""

    def open(self) -> None:
        """Connect. Raises `AlertError`; then it is closed and opened again later."""

    def send(self, event: Event) -> None:
        """Deliver one event; see `acknowledges` for what that means.

        Raises `AlertError` (then it is closed and opened again before the next try, unless the error says otherwise)
        or `AlertRejectedError`.
        """

    def check(self) -> None:
        """Called about once a second while there is nothing to send.

        Raises `AlertError` when the connection is gone, so that it is made again before it is needed.
        """

    def close(self) -> None:
        """Disconnect. Never raises; may be called in any state."""


@runtime_checkable
class ShowsStatus(Protocol):
    """An output that shows how the line stands as well as sending events. No output has to."""

    def show_status(self, report: StatusReport) -> None:
        """Show it from now on: at once where it is connected, otherwise as soon as it is.

        Called in another thread than the rest, in any state, whenever the report changes. Returns at once and never
        raises: what cannot be shown is replaced by the next report.
        """


@runtime_checkable
class ShowsRecovery(Protocol):
    """An output that can find out without an event whether it works again. No output has to.

    Without it, an outage that began with an event lasts until an event is delivered. All that waited may have expired.
    """

    def works_again(self) -> bool:
        """Called instead of `check` after the last event failed. Raises `AlertError` when it still fails.

        False where only an event can show it: the receiver answers, and what it answered last was no.
        """


class AlertClass(Protocol):
    """What a class states about its outputs, and how it makes one: the constructor does no work."""

    acknowledges: bool

    def __call__(self, config: Any, *, line: str, state_dir: Path) -> Alert:
        """`config` is its own entry of `alerts:` (a plug-in's: its `options_model`, with the entry's name)."""

    def probe(self, config: Any, /) -> list[Finding]:
        """A static method: tries for `stream-inspect check` whether this output would work.

        Sends no event and leaves nothing behind, also while the service runs with the same configuration. The item of
        each finding is the output's name. It may take as long as the config allows a connection to take.
        """
