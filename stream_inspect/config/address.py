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
    try:
        ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
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
    # A password may hold any character, `/` and `#` too: what is left of it then cannot be a port.
    if "@" in authority or (host is None and "@" in rest):
        raise ValueError(f"contains a user name or password: {instead}")
    if not host or re.search(r"\s", authority):
        raise ValueError("is not a URL; expected scheme://host:port/path")
    return url
