"""Removes passwords from texts that people will read: URLs, and library error messages that quote them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

STARS = "***"
_CREDENTIALS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<secret>[^/\s'\"]*)@")
"""user:password@ of a URL. Greedy up to the last @ before the path: a password may itself hold an @."""
_PARAMETER = re.compile(r"(?i)(?P<name>[?&](?:pass|passwd|password|pwd|token|auth|key|secret)=)[^&\s'\"]+")


SHORTEST_HIDDEN = 4
"""Shortest secret, in characters, that is searched for in the whole text: a shorter one would turn harmless words into
stars. In the credentials of a URL it is hidden at any length."""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the credentials of any URL in it and without the given secrets, plain or URL-encoded."""
    for secret in sorted((secret for secret in secrets if len(secret) >= SHORTEST_HIDDEN), key=len, reverse=True):
        for form in {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}:
            text = text.replace(form, STARS)
    text = _CREDENTIALS.sub(rf"\g<scheme>{STARS}@", text)
    return _PARAMETER.sub(rf"\g<name>{STARS}", text)
