"""Alerts to an HTTP(S) address, signed as Standard Webhooks specifies."""

from __future__ import annotations

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
from stream_inspect.alerts.alert import AlertError, AlertRejectedError
from stream_inspect.alerts.reach import connect_advice, error_text, reach
from stream_inspect.config.outputs.webhook import WebhookAlertConfig
from stream_inspect.findings import Finding, fail, ok, warn
from stream_inspect.messages import Event, event_json

_RETRYABLE = {408, 425, 429}


class WebhookAlert:
    """Posts each event and takes any 2xx as its acknowledgement; `webhook-id` is the idempotency key."""

    acknowledges: ClassVar[bool] = True

    def __init__(self, config: WebhookAlertConfig, *, line: str, state_dir: Path) -> None:
        """`line` and `state_dir` are not used."""
        self._config = config
        parts = urlsplit(config.url)
        # Paths and queries of webhooks often hold a token: errors name the host alone.
        self._where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._client: httpx.Client | None = None
        self._signer: Webhook | None = None

    def open(self) -> None:
        """Prepare; the connection itself is made by the first event."""
        self.close()
        if self._config.secret is not None:
            try:
                self._signer = Webhook(self._config.secret.get_secret_value())
            except (binascii.Error, ValueError, EmptyWebhookSecretError) as error:
                raise AlertError(f"webhook {self._where}: the secret is not whsec_ and base64") from error
        try:
            verify = ssl.create_default_context(cafile=self._config.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise AlertError(f"webhook {self._where}: cannot load ca_file {self._config.ca_file}: {error}") from error
        self._client = httpx.Client(
            timeout=self._config.timeout_s,
            verify=verify,
            follow_redirects=False,  # a signed event goes where the configuration says, and nowhere else
            headers={"content-type": "application/json", "user-agent": f"stream_inspect/{__version__}"},
            limits=httpx.Limits(max_connections=1),
        )

    def send(self, event: Event) -> None:
        """Post one event and wait for a 2xx."""
        if self._client is None:
            raise AlertError(f"webhook {self._where}: not open")
        body = event_json(event)
        try:
            with self._client.stream("POST", self._config.url, content=body, headers=self._headers(event, body)) as got:
                # The status is all that matters. A body is left unread, which closes the connection: one that trickles
                # would hold up the events behind this one, for each byte of it has a time-out of its own.
                status, retry_after = got.status_code, got.headers.get("retry-after", "")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error).replace(self._config.url, self._where) or type(error).__name__
            raise AlertError(f"webhook {self._where}: {reason}") from None
        if 200 <= status < 300:
            return
        text = f"webhook {self._where}: HTTP {status}"
        if 400 <= status < 500 and status not in _RETRYABLE:
            raise AlertRejectedError(text)
        hint = ", redirects are not followed: configure the new address" if 300 <= status < 400 else ""
        raise AlertError(text + hint, retry_after_s=_seconds(retry_after))

    def check(self) -> None:
        """Nothing to check: each event may make its own connection."""

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

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
