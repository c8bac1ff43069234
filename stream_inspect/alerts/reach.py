"""What the probes of networked outputs share: connecting once, and saying in words why it failed."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path


def reach(host: str, port: int, timeout_s: float, *, tls: bool, ca_file: Path | None) -> None:
    """Connect, shake hands if it is TLS, and hang up. Raises OSError (ssl's errors are such)."""
    with socket.create_connection((host, port), timeout=timeout_s) as connection:
        if tls:
            with ssl.create_default_context(cafile=ca_file).wrap_socket(connection, server_hostname=host):
                pass


def error_text(error: Exception) -> str:
    """Why it failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def connect_advice(*, tls: bool, ca_file: Path | None) -> str:
    """What to check after a failed connection."""
    if tls and ca_file is None:
        return "check host and port; for a plant's own certificate authority set ca_file"
    return f"check host and port{' and ca_file' if tls else ''}"
