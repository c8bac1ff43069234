"""How many examples the property tests try: `make test-unit` a quarter of what `make test` does."""

from __future__ import annotations

from hypothesis import settings

WHOLE_RUN = 100
"""Examples of a property that asks for no number of its own."""


def examples(count: int) -> int:
    """For `max_examples`: `count` in a whole run, a quarter of it in a quick one."""
    return count * settings().max_examples // WHOLE_RUN
