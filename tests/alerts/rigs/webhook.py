"""The webhook with an HTTP server, with tokens in its address and in its signature."""

from __future__ import annotations

from pathlib import Path

from stream_inspect.config.outputs.webhook import WebhookAlertConfig
from tests.alerts.receivers import HttpReceiver
from tests.alerts.rigs import SECRET, TIMEOUT_S, Rig


class WebhookRig(Rig):
    def __init__(self, folder: Path) -> None:
        self._receiver = HttpReceiver()
        self._receiver.start()
        url = f"http://127.0.0.1:{self._receiver.port}/hook?token={SECRET}"
        super().__init__(WebhookAlertConfig(kind="webhook", url=url, secret=SECRET, timeout_s=TIMEOUT_S), folder)

    def payloads(self) -> list[bytes]:
        return [request.body for request in self._receiver.requests]

    def take_away(self) -> None:
        self._receiver.kill()

    def bring_back(self) -> None:
        self._receiver.start()

    def close(self) -> None:
        super().close()
        self._receiver.close()


RIGS = {"webhook": WebhookRig}
