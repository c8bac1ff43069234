"""`web`, `transport`, `metrics`, `log`: what the service needs of its computer, and what it serves there."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from stream_inspect.config.base import Host, Model
from stream_inspect.config.secret import Secret


class WebConfig(Model):
    """The live page."""

    enabled: bool = Field(True, description="Serve the live page.")
    host: Host = Field("127.0.0.1", description="Address to listen on; any but a loopback address requires a token.")
    port: int = Field(8080, ge=0, le=65535, description="0: any free port.")
    token: Secret | None = Field(None, description="Token that users must enter on the page.")
    live_rate_hz: float = Field(10.0, gt=0, le=60, description="Live pictures per second, for each camera.")
    live_height_px: int = Field(540, ge=120, le=2160, description="Live pictures are scaled down to this height.")


class TransportConfig(Model):
    """The frame ring and the sockets."""

    ring_dir: Path = Field(
        Path("/dev/shm"), description="Folder in memory for the frames; a container's default of 64 MB is too small."
    )
    ring_s: float = Field(4.0, gt=0.5, le=120, description="Length of each ring: pre-roll plus the time to judge.")
    ring_max_mb: int = Field(1024, ge=16, le=65536, description="Maximum memory of one camera's ring.")


class MetricsConfig(Model):
    """Prometheus metrics, /healthz (what is wrong) and /livez (503: a restart would help), served by the supervisor."""

    enabled: bool = Field(True, description="Serve /metrics, /healthz and /livez.")
    host: Host = Field("127.0.0.1", description="Address to listen on; no token is required.")
    port: int = Field(9108, ge=0, le=65535, description="0: any free port.")


class LogConfig(Model):
    """Logs are written to stderr: transitions, not frames."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum level.")
    format: Literal["text", "json"] = Field("text", description="text: for people; json: for a collector of logs.")
