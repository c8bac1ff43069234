"""From what a server or broker sent, a number or a text of any kind, to a count, a level or a text. All raise
ValueError, whose text says what was expected and what came.
"""

from __future__ import annotations

from stream_inspect.messages import CounterBits

LONGEST_TEXT = 200
"""Characters; a serial number or a recipe's name is far shorter, and all of it goes into logs and events."""
_SWITCHED = {"true": True, "on": True, "false": False, "off": False}


def count_of(value: object, bits: CounterBits) -> int:
    """The count of an encoder."""
    number = _integer(value)
    if number is None or isinstance(value, bool):
        raise ValueError(f"expected a count, got {shown(value)}")
    if not -(2 ** (bits - 1)) <= number < 2**bits:
        raise ValueError(f"expected a count of {bits} bits, got {shown(value)}")
    return number


def level_of(value: object) -> bool | int:
    """How a signal stands, or a counter of its edges."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and (switched := _SWITCHED.get(value.strip().lower())) is not None:
        return switched
    number = _integer(value)
    if number is None:
        raise ValueError(f"expected true, false or a whole number, got {shown(value)}")
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"expected a counter of at most 64 bits, got {shown(value)}")
    return number


def text_of(value: object) -> str:
    """A recipe, a lot, a serial number; a whole number is taken for the text of its digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {shown(value)}")
    text = value.strip()
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"expected at most {LONGEST_TEXT} characters, got {len(text)}")
    if not text.isprintable():
        raise ValueError(f"expected a text without control characters, got {shown(value)}")
    return text


def shown(value: object) -> str:
    """The value for an error: short, whatever it is."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _integer(value: object) -> int | None:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and len(value) <= 20:
        try:
            return int(value)
        except ValueError:
            return None
    return None
