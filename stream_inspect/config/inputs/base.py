"""What every plant input has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pydantic import Field

from stream_inspect.config.base import ConfigFinding, Model, Name

ENCODER_HZ = 5.0
"""A belt is lost sight of when its encoder is heard more seldom: it is silent after 1 s, and a read may fail."""


class Named(Model):
    """Base of a value with a name."""

    name: Name = Field(description="Names this value within its input, as photo_eye or serial.")


class InputModel(Model):
    """Base of the entries of `inputs:`."""

    line: Name | None = Field(None, description="Production line that it reads; the file's `line` if absent.")

    def values(self) -> dict[str, Sequence[Named]]:
        """The named values by their key."""
        return {key: getattr(self, key) for key in ("photo_eyes", "levels", "texts")}

    def encoder_too_seldom(self) -> str:
        """Why a belt that stands would look like one that is not read; "" where its encoder is heard often enough."""
        raise NotImplementedError

    def crosscheck(self) -> Iterator[ConfigFinding]:
        """Names that are there twice, and an input that reads nothing."""
        yield from super().crosscheck()
        names = [(key, index, one.name) for key, all_of in self.values().items() for index, one in enumerate(all_of)]
        count = Counter(name for _, _, name in names)
        seen: set[str] = set()
        for key, index, name in names:
            if count[name] > 1 and name in seen:
                yield ConfigFinding((key, index, "name"), f"{name} is there twice: each value has a name of its own")
            seen.add(name)
        if not names and getattr(self, "encoder", None) is None:
            yield ConfigFinding((), "reads nothing: give an encoder, photo_eyes, levels or texts")
