"""The health of the line: frames and processes as the supervisor counts them, read from its /healthz."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

from stream_inspect.config.models import MetricsConfig

_POLL_EVERY_S = 2.0
_TIMEOUT_S = 1.5
_RATE_OVER_S = 10.0
_ANSWER_MAX_BYTES = 1 << 20
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Bypasses any proxy of the environment: the supervisor is on this computer."""


class Health:
    """Reads /healthz every 2 s and turns counts into rates. `known` is None without metrics, or while unreachable."""

    def __init__(self, metrics: MetricsConfig) -> None:
        host = metrics.host if metrics.host not in ("0.0.0.0", "::", "") else "127.0.0.1"
        bracketed = f"[{host}]" if ":" in host else host
        self._url = f"http://{bracketed}:{metrics.port}/healthz" if metrics.enabled and metrics.port else None
        self._counts: list[tuple[float, dict[str, int]]] = []
        self.known: dict[str, Any] | None = None
        """{"captured_fps", "judged_fps", "dropped", "in_flight", "residual", "down": [process, ...]}"""

    async def run(self) -> None:
        """Poll until cancelled."""
        while self._url is not None:
            document = await asyncio.to_thread(_fetch, self._url)
            try:
                self.known = self._summary(document) if document else None
            except (KeyError, TypeError, AttributeError):
                self.known = None  # another program listens at that port
            await asyncio.sleep(_POLL_EVERY_S)

    def _summary(self, document: dict[str, Any]) -> dict[str, Any]:
        cameras = list(document["frames"].values())
        counts = {name: sum(camera[name] for camera in cameras) for name in ("captured", "judged")}
        now_s = time.monotonic()
        self._counts = [*(one for one in self._counts if now_s - one[0] <= _RATE_OVER_S), (now_s, counts)]
        then_s, then = self._counts[0]
        span_s = now_s - then_s
        rates = {
            f"{name}_fps": round(max(0, counts[name] - then[name]) / span_s, 1) if span_s > 0 else None
            for name in counts
        }
        return {
            **rates,
            **counts,
            "dropped": sum(sum(camera["dropped"].values()) for camera in cameras),
            "in_flight": sum(camera["in_flight"] for camera in cameras),
            "residual": sum(camera["residual"] for camera in cameras),
            "down": [name for name, process in document["processes"].items() if not process["running"]],
        }


def _fetch(url: str) -> dict[str, Any] | None:
    with suppress(OSError, ValueError, RecursionError, http.client.HTTPException):
        try:
            answer = _DIRECT.open(url, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            answer = error  # 503 carries the same document
        with answer:
            body = answer.read(_ANSWER_MAX_BYTES)
        document = json.loads(body)
        return document if isinstance(document, dict) and "frames" in document else None
    return None
