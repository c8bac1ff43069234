"""What every config model is made of: the base class, names, addresses, and what a model states about itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from stream_inspect.config.address import HOST_PATTERN, HOST_RULE, plain_host
from stream_inspect.config.secret import Secret

Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$",
        json_schema_extra={
            "x-rule": "a name: up to 40 lower-case letters, digits, - and _, beginning with a letter or digit"
        },
    ),
]
Host = Annotated[
    str,
    Field(json_schema_extra={"pattern": HOST_PATTERN, "x-rule": HOST_RULE}),
    AfterValidator(plain_host),
]
OptionValue = str | int | float | bool | Secret
"""A value of a plug-in's `options`."""

RELOADABLE: JsonDict = {"x-reloadable": True}
"""Marks a key that, with all keys below it, takes effect while the service runs; see `reload.py`."""


class _InStateDir:
    """Marks a path that is relative to `state_dir`; every other path is relative to the configuration file."""


IN_STATE_DIR = _InStateDir()
StatePath = Annotated[Path, IN_STATE_DIR]


@dataclass(frozen=True, slots=True)
class ConfigFinding:
    """Something wrong at a path."""

    path: tuple[str | int, ...]
    message: str


class Model(BaseModel):
    """Base of all config models: unknown keys are refused, instances are immutable."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    example: ClassVar[str] = ""
    """YAML for the reference. A test loads it."""

    def crosscheck(self) -> Iterator[ConfigFinding]:
        """What is wrong between values of this mapping that are each right. Paths begin at this mapping."""
        return iter(())


def secrets_in(value: object, key: str = "") -> Iterator[tuple[str, Secret]]:
    """Every secret of a model, or of a part of one, with its key as the user writes it (`alerts.mqtt.password`)."""
    if isinstance(value, Secret):
        yield key, value
    elif isinstance(value, Model):
        for name in type(value).model_fields:
            yield from secrets_in(getattr(value, name), f"{key}.{name}".removeprefix("."))
    elif isinstance(value, dict):
        for name, below in value.items():
            yield from secrets_in(below, f"{key}.{name}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from secrets_in(below, f"{key}.{getattr(below, 'name', index)}")
