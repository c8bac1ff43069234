"""Alerts to an HTTP(S) address, signed as Standard Webhooks specifies.

What an answer means, by its status:

| status | class | what becomes of the event |
|---|---|---|
| 2xx | delivered | |
| 400, 409, 413, 422 | this event (`AlertRejectedError`) | a dead letter; the next one is sent |
| 408, 423, 424, 425, 429, 5xx | may pass (`AlertError`) | sent again, not before `Retry-After` |
| every other one: 3xx, 401, 403, 404, 405, 410, 415, ... | all events (`OutputRefusedError`) | waits for a person |

The first class is about what is in the event. The last one is about us: an expired token, a path that a deploy has
moved, a gateway's maintenance page; what was not foreseen is in it too, for an event that waits is not lost.
"""

from __future__ import annotations

import asyncio
import binascii
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import httpx
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from stream_inspect import __version__
from stream_inspect.alerts.alert import AlertError, AlertRejectedError, OutputRefusedError
from stream_inspect.alerts.reach import connect_advice, connection_error, forget_frames, reach, tls_context
from stream_inspect.config.outputs.webhook import WebhookAlertConfig
from stream_inspect.findings import Finding, fail, ok, warn
from stream_inspect.messages import Event, event_json
from stream_inspect.network_errors import error_text

ABOUT_THIS_EVENT = {400, 409, 413, 422}
_MAY_PASS = {408, 423, 424, 425, 429}


class WebhookAlert:
    """Posts each event and takes any 2xx as its acknowledgement; `webhook-id` is the idempotency key.

    One exchange, from the address's look-up to the end of the answer's headers, has `timeout_s` in all. That is why
    it runs in an event loop: a blocking client has a time-out for each read, and a receiver that sends one byte at a
    time would hold up the events behind this one for hours.
    """

    acknowledges: ClassVar[bool] = True

    def __init__(self, config: WebhookAlertConfig, *, line: str, state_dir: Path) -> None:
        """`line` and `state_dir` are not used."""
        self._config = config
        parts = urlsplit(config.url)
        # Paths and queries of webhooks often hold a token: errors name the host alone.
        self._where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._uses_tls = parts.scheme == "https"
        self._tls: ssl.SSLContext | None = None
        """Kept from attempt to attempt: loading the authorities takes 30 ms and a megabyte, and each answer of httpx is
        a reference cycle that holds its client. Loaded again after a handshake that was rejected."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: httpx.AsyncClient | None = None
        self._signer: Webhook | None = None
        self._was_answered = False  # the last event, in whatever way

    def open(self) -> None:
        """Prepare; the connection itself is made by the first event."""
        self.close()
        if self._config.secret is not None:
            try:
                self._signer = Webhook(self._config.secret.get_secret_value())
            except (binascii.Error, ValueError, EmptyWebhookSecretError) as error:
                raise OutputRefusedError(f"webhook {self._where}: the secret is not whsec_ and base64") from error
        if self._uses_tls and self._tls is None:
            self._tls = tls_context(f"webhook {self._where}", self._config.ca_file)
        self._client = httpx.AsyncClient(
            # The whole exchange has one time-out; a handshake that is cancelled by it would leave its socket open.
            timeout=httpx.Timeout(None, connect=0.9 * self._config.timeout_s),
            verify=self._tls or False,  # without TLS nothing is to be verified
            follow_redirects=False,  # a signed event goes where the configuration says, and nowhere else
            headers={"content-type": "application/json", "user-agent": f"stream_inspect/{__version__}"},
            limits=httpx.Limits(max_connections=1),
        )
        self._loop = asyncio.new_event_loop()

    def send(self, event: Event) -> None:
        """Post one event and wait for a 2xx; see the module for what other answers mean."""
        body, self._was_answered = event_json(event), False
        status, retry_after = self._exchange("POST", body, self._headers(event, body))
        self._was_answered = True
        if 200 <= status < 300:
            return
        text = f"webhook {self._where}: HTTP {status}"
        if status in ABOUT_THIS_EVENT:
            raise AlertRejectedError(text)
        if status in _MAY_PASS or status >= 500:
            raise AlertError(text, retry_after_s=_seconds(retry_after))
        hint = ", redirects are not followed: configure the new address" if 300 <= status < 400 else ""
        raise OutputRefusedError(text + hint, retry_after_s=_seconds(retry_after))

    def check(self) -> None:
        """Nothing to check: each event may make its own connection."""

    def works_again(self) -> bool:
        """Whether it answers at all, to a request that changes nothing. Raises `AlertError` where it does not."""
        if self._was_answered:
            return False
        self._exchange("OPTIONS", b"", {})
        return True

    def close(self) -> None:
        """Close the connection."""
        if self._loop is not None and self._client is not None:
            self._loop.run_until_complete(self._client.aclose())
            # And what that leaves to the loop's next turn: without it, sockets stay open in a reference cycle.
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
        self._client, self._loop = None, None

    def _exchange(self, method: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        """The status of the answer and its `Retry-After`. Raises `AlertError`."""
        if self._client is None or self._loop is None:
            raise AlertError(f"webhook {self._where}: not open")
        try:
            return self._loop.run_until_complete(self._answer(self._client, method, body, headers))
        except (TimeoutError, httpx.TimeoutException) as error:
            forget_frames(error)
            text = f"webhook {self._where}: no complete answer within {self._config.timeout_s:g} s"
            raise AlertError(text) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            found = connection_error(f"webhook {self._where}", "cannot send", error)
            forget_frames(error)
            if isinstance(found, OutputRefusedError):
                self._tls = None  # its certificates may be replaced meanwhile
            raise type(found)(str(found).replace(self._config.url, self._where)) from None

    async def _answer(
        self, client: httpx.AsyncClient, method: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, str]:
        """Raises TimeoutError, httpx's errors."""
        async with (
            asyncio.timeout(self._config.timeout_s),
            client.stream(method, self._config.url, content=body, headers=headers) as got,
        ):
            # The status is all that matters. A body is left unread, which closes the connection.
            return got.status_code, got.headers.get("retry-after", "")

    def _headers(self, event: Event, body: bytes) -> dict[str, str]:
        now = datetime.now(UTC)
        headers = {"webhook-id": event.key, "webhook-timestamp": str(int(now.timestamp()))}
        if self._signer is not None:
            headers["webhook-signature"] = self._signer.sign(event.key, now, body.decode())
        return headers

    @staticmethod
    def probe(config: WebhookAlertConfig) -> list[Finding]:
        """Connect; nothing is posted."""
        item, parts = config.name, urlsplit(config.url)
        tls = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if tls else 80)
        where = f"{parts.scheme}://{host}:{port}"  # its path may hold a token
        try:
            reach(host, port, config.timeout_s, tls=tls, ca_file=config.ca_file)
        except OSError as error:
            advice = connect_advice(tls=tls, ca_file=config.ca_file)
            return [fail(item, f"{where}: cannot connect: {error_text(error)}", advice)]
        found = [ok(item, f"{where} can be reached; nothing was posted")]
        if config.secret is None:
            found.append(warn(item, "events are not signed", "set secret, so that the receiver knows who sent them"))
        return found


def _seconds(retry_after: str) -> float:
    """What a `Retry-After` header asks for: seconds or a date; 0 for anything else."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        then = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return max(0.0, (then - datetime.now(UTC if then.tzinfo else None)).total_seconds())
