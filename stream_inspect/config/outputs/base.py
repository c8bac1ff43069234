"""What every output has."""

from __future__ import annotations

from pydantic import Field

from stream_inspect.config.base import Model


class OutputModel(Model):
    """Base of the entries of `alerts:`."""

    max_age_s: float | None = Field(
        None,
        gt=0,
        description="Do not send events older than this, as after an outage: an old alert must not move a gate. "
        "The end of an event that was sent is always sent.",
    )
