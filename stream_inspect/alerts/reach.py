"""What networked outputs and their probes share: TLS, connecting once, and what a failed connection means."""

from __future__ import annotations

import socket
import ssl
import traceback
from collections.abc import Iterator
from pathlib import Path

from stream_inspect.alerts.alert import AlertError, OutputRefusedError
from stream_inspect.network_errors import error_text


def tls_context(where: str, ca_file: Path | None) -> ssl.SSLContext:
    """Checks certificates against `ca_file`, or the system's authorities. Raises `OutputRefusedError`."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl's errors are such
        raise OutputRefusedError(f"{where}: cannot load ca_file {ca_file}: {error_text(error)}") from error


def reach(host: str, port: int, timeout_s: float, *, tls: bool, ca_file: Path | None) -> None:
    """Connect, shake hands if it is TLS, and hang up. Raises OSError (ssl's errors are such)."""
    with socket.create_connection((host, port), timeout=timeout_s) as connection:
        if tls:
            with ssl.create_default_context(cafile=ca_file).wrap_socket(connection, server_hostname=host):
                pass


def connection_error(where: str, doing: str, error: BaseException) -> AlertError:
    """The error of an output whose connection failed; `doing` is "cannot connect" or the like.

    A handshake that one side rejects (a certificate that is not trusted, TLS to a plain port) waits for a person, and
    so does what this computer forbids (a firewall).
    """
    causes = [one for one in _chain(error) if isinstance(one, OSError) and one.errno is not None]
    causes = [one for one in causes if not isinstance(one, ssl.SSLWantReadError | ssl.SSLWantWriteError)]  # no failures
    of_tls = [one for one in causes if isinstance(one, ssl.SSLError)]
    ended = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    is_rejected = any(not isinstance(one, ended) for one in of_tls)
    is_forbidden = any(isinstance(one, PermissionError) for one in causes)
    kind = OutputRefusedError if is_rejected or is_forbidden else AlertError
    return kind(f"{where}: {doing}: {error_text([error, *causes, *of_tls][-1])}")


def forget_frames(error: BaseException) -> None:
    """Forget the variables of the stack frames that this error and its causes passed.

    Client libraries keep an error in a variable of such a frame. That is a reference cycle, and the client with its TLS
    context, a megabyte at each failed attempt, would stay until Python collects the oldest generation.
    """
    for one in _chain(error):
        traceback.clear_frames(one.__traceback__)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes: a client library wraps what the system said."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def connect_advice(*, tls: bool, ca_file: Path | None) -> str:
    """What to check after a failed connection."""
    if tls and ca_file is None:
        return "check host and port; for a plant's own certificate authority set ca_file"
    return f"check host and port{' and ca_file' if tls else ''}"
