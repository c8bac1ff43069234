"""`defects[]`: what is looked for, by its wordings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from stream_inspect.config.base import ConfigFinding, Model

DefectName = Annotated[
    str,
    Field(
        # Event ids are camera-session-name-n. Camera names are often numbered with a dash (cam-1); a defect's must not
        # be, or `a-1-2-b-3` could be of two events.
        pattern=r"^([0-9]*[a-z][a-z0-9_]*|[0-9]+_[a-z0-9_]*)(-([0-9]*[a-z_][a-z0-9_]*)?)*$",
        max_length=40,
        json_schema_extra={
            "x-rule": "a name: up to 40 lower-case letters, digits, - and _, beginning with a letter or digit, and no "
            "number alone between dashes (hole2 or hole_2, not hole-2)"
        },
    ),
]
Prompt = Annotated[
    str, Field(min_length=1, max_length=100, pattern=r"\S", json_schema_extra={"x-rule": "text of 1 to 100 characters"})
]


def same_wording(text: str) -> str:
    """What two wordings share that mean the same to a detector: spaces and capitals make no difference to it."""
    return " ".join(text.split()).casefold()


class DefectConfig(Model):
    """A defect, described in plain words. The PLC receives the name; engineers tune the prompts."""

    name: DefectName = Field(description="Appears in events and topics; this is what the PLC receives.")
    prompts: list[Prompt] = Field(min_length=1, max_length=32, description="Wordings; the best match counts.")
    counter_prompts: list[Prompt] = Field(
        [], max_length=32, description="Wordings for what only looks like the defect; the higher score wins."
    )
    threshold: float = Field(0.3, gt=0, lt=1, description="Minimum score.")
    min_area_mm2: float | None = Field(None, ge=0, description="Minimum area; needs the camera's scale.")
    min_area_px: float | None = Field(None, ge=0, description="Minimum area, in square pixels of the judged picture.")
    severity: Literal["minor", "major", "critical"] = Field("major", description="Included in the event.")

    def crosscheck(self) -> Iterator[ConfigFinding]:
        """A wording on both sides: the counter-prompt scores as high as the prompt, never higher, and has no effect."""
        own = {same_wording(text) for text in self.prompts}
        for index, text in enumerate(self.counter_prompts):
            if same_wording(text) in own:
                yield ConfigFinding(
                    ("counter_prompts", index),
                    f'"{text}" is listed as prompt and as counter-prompt: remove one of them',
                )
