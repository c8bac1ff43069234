"""Hosts and URLs as they are written in a configuration: one rule for all of them, and what to write instead.

No error quotes what is written: it may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

HOST_RULE = "a host name or address alone, without scheme and port"
HOST_PATTERN = r"^([^\s/@:\[\]]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%\S+)?)$"
"""For editors: what `plain_host` accepts, nearly."""


def plain_host(text: str) -> str:
    """A host name, or an IPv4 or IPv6 address, unchanged. Raises ValueError."""
    if _is_address(text) and not text.startswith("["):
        return text
    alone, colon, port = text.rpartition(":")
    if re.search(r"[\s/@]", text) or not text:
        raise ValueError(f"must be {HOST_RULE}")
    if text.startswith("["):
        beside = f", and `port: {port}` next to it" if port.isdecimal() else ""
        raise ValueError(f"must be {HOST_RULE}: write the address without brackets{beside}")
    if colon and alone and port.isdecimal():
        raise ValueError(f"must be {HOST_RULE}: write `port: {port}` next to it")
    if colon:
        raise ValueError(f"must be {HOST_RULE}")
    return text


def plain_url(text: str, schemes: tuple[str, ...], rule: str, instead: str) -> str:
    """A URL of one of these schemes (given in lower case, written in any), with its scheme in lower case.

    `rule` is what to write, `instead` what to do with a user name and a password. Raises ValueError.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in schemes:
        raise ValueError(f"must be {rule}")
    url = f"{scheme.lower()}://{rest}"
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    # A password may hold any character, `/` and `#` too: what is left of it then is rarely a port.
    if "@" in authority or (host is None and "@" in rest) or _holds_login(rest):
        raise ValueError(f"contains a user name or password: {instead}")
    if not host or re.search(r"\s", authority):
        raise ValueError("is not a URL; expected scheme://host:port/path")
    return url


_USUAL_PORTS = {"80", "322", "443", "554", "8080", "8443", "8554"}
_LOGIN = re.compile(r"([^\s/?#]*)([/?#].*)@([\w.-]*[a-zA-Z.][\w.-]*|\[[^]]*\])(?::\d+)?(?:[/?#].*)?")
"""What would be host and port, what follows it, and, behind the last @, what looks like a host."""


def _holds_login(rest: str) -> bool:
    """Whether `bob:123/x@host/path` means a host behind its @, and not the port 123 of the host bob.

    A camera's own paths, such as `host:554/live@main` and `host/user=a&password=b@1`, do not count.
    """
    found = _LOGIN.fullmatch(rest)
    if not found or re.search(r"[/?&]\w+=", found[2]):
        return False
    name, colon, port = found[1].rpartition(":")
    if ":" in found[2]:  # bob/x:secret@host
        return True
    return bool(colon) and port not in _USUAL_PORTS and not _is_address(name)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True
