"""What every output has."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stream_inspect.config.base import Model
from stream_inspect.messages import Verdict


class OutputModel(Model):
    """Base of the entries of `alerts:`."""

    max_age_s: float | None = Field(
        None,
        gt=0,
        description="Do not send events older than this, as after an outage: an old alert must not move a gate. "
        "The end of an event that was sent is always sent.",
    )
    verdicts: list[Literal["PASS", "FAIL", "UNDECIDED"]] = Field(
        ["FAIL", "UNDECIDED"],
        max_length=3,
        description="Send the verdict of each part of a line under `lines` that is one of these. UNDECIDED is what was "
        "not inspected: a receiver of FAIL alone would take it for good. PASS is sent, and kept in the event log, only "
        "where an output lists it: ten parts a second are 864,000 a day. `[]`: none.",
    )

    @property
    def unwanted(self) -> frozenset[Verdict]:
        """The verdicts of parts that it is not sent."""
        return frozenset(verdict for verdict in Verdict if verdict not in self.verdicts)
