"""The value in the payload of an MQTT message: all of it, or what a JSON pointer (RFC 6901) points at."""

from __future__ import annotations

import msgspec

from stream_inspect.plant.values import shown

MAX_BYTES = 64 * 1024
"""A larger payload is rejected unread."""


def value_of(payload: bytes | bytearray, pointer: str | None) -> object:
    """A number, truth value or text as JSON has it; without a pointer, a plain text.

    Raises ValueError, which says what was expected and what came.
    """
    if len(payload) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes, got {len(payload)}")
    if pointer is None:
        try:
            return payload.decode()
        except UnicodeDecodeError:
            raise ValueError(f"expected a text, got {shown(payload)}") from None
    try:
        return _found(msgspec.json.decode(payload), pointer)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError(f"expected JSON, got {shown(payload)}") from None


def _found(document: object, pointer: str) -> object:
    """Raises ValueError."""
    here = document
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and key in here:
            here = here[key]
        elif isinstance(here, list) and key.isdecimal() and int(key) < len(here):
            here = here[int(key)]
        else:
            raise ValueError(f"there is no {pointer} in {shown(document)}")
    return here
