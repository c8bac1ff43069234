"""`decide`: when a defect is confirmed."""

from __future__ import annotations

from pydantic import Field, model_validator

from stream_inspect.config.base import Model

CONFIRMED_WHEN = "seen in {n} of the last {m} judged frames that show it"
"""The rule in words, as events and documents state it (`decide.rules.NOfM`)."""


class DecideConfig(Model):
    __doc__ = f"From tracks to events: a defect is confirmed when it was {CONFIRMED_WHEN.format(n='n', m='m')}."

    confirm_hits: int = Field(2, ge=1, le=100, description="n: number of judged frames in which it must be seen.")
    confirm_window: int = Field(4, ge=1, le=100, description="m: number of last judged frames considered.")

    @model_validator(mode="after")
    def _n_of_m(self) -> DecideConfig:
        if self.confirm_hits > self.confirm_window:
            raise ValueError(
                f"confirm_hits (n = {self.confirm_hits}) must not exceed confirm_window (m = {self.confirm_window})"
            )
        return self
