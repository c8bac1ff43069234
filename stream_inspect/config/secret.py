"""A value that is never printed: `{env: NAME}`, `{file: PATH}`, or, against advice, written out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SecretStr, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from stream_inspect.errors import StreamInspectError

HOW = "write {env: NAME} or {file: PATH}"
_MAX_BYTES = 64 * 1024
_DUMPED = "dumped secret"


class SecretError(StreamInspectError):
    """A secret cannot be had. The text names where it was looked for, never what was found."""


class Secret(SecretStr):
    """Text that prints as stars and knows where it came from.

    In a configuration: `{env: NAME}`, or `{file: PATH}` (relative to the configuration file; a line break at the end
    is dropped), or the text itself.
    """

    origin: dict[str, str] | None
    """{"env": NAME} or {"file": PATH}; None where the text itself is written in the configuration."""

    fetched: bool
    """False where the configuration was read without its secrets: the value is empty then."""

    def __init__(self, secret_value: str, origin: dict[str, str] | None = None, fetched: bool = True) -> None:
        super().__init__(secret_value)
        self.origin = origin
        self.fetched = fetched

    def dumped(self) -> dict[str, Any]:
        """What `parse_dump` takes back. It holds the secret: for our own processes alone."""
        return {_DUMPED: self.get_secret_value(), "origin": self.origin}

    @classmethod
    def _validated(cls, value: object, info: ValidationInfo) -> Secret:
        context = info.context or {}
        if isinstance(value, Secret):
            return value
        if isinstance(value, SecretStr):
            return cls(value.get_secret_value())
        if isinstance(value, str):
            return cls._not_empty(value, "it is empty")
        if isinstance(value, dict) and len(value) == 1:
            ((how, where),) = value.items()
            if how in ("env", "file") and isinstance(where, str) and where:
                if not context.get("fetch_secrets", True):
                    return cls("", {how: where}, fetched=False)
                try:
                    found = _from_env(where) if how == "env" else _from_file(where, context.get("folder", Path()))
                except SecretError as error:
                    raise PydanticCustomError("secret_missing", "{text}", {"text": str(error)}) from None
                return cls._not_empty(found, f"{how} {where} is empty", {how: where})
        if isinstance(value, dict) and _DUMPED in value and context.get("dumped"):
            return cls(value[_DUMPED], value["origin"])
        raise PydanticCustomError("secret_form", "is a secret: {how}", {"how": HOW})

    @classmethod
    def _not_empty(cls, text: str, complaint: str, origin: dict[str, str] | None = None) -> Secret:
        if not text:
            raise PydanticCustomError("secret_missing", "{text}", {"text": complaint})
        return cls(text, origin)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls._validated, serialization=core_schema.to_string_ser_schema(when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        def one_key(key: str, meaning: str) -> dict[str, Any]:
            return {
                "type": "object",
                "properties": {key: {"type": "string", "minLength": 1, "description": meaning}},
                "required": [key],
                "additionalProperties": False,
            }

        return {
            "x-secret": True,
            "anyOf": [
                one_key("env", "Name of the environment variable that holds it."),
                one_key("file", "File that holds it, relative to the configuration file."),
                {"type": "string", "minLength": 1, "writeOnly": True},
            ],
        }


def _from_env(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise SecretError(f"the environment variable {name} is not set: set it where the service starts")
    return value


def _from_file(name: str, folder: Path) -> str:
    path = folder / Path(name).expanduser()
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise SecretError(f"the secret's file {path} is longer than {_MAX_BYTES} bytes: is it the right one?")
        text = content.decode()
    except OSError as error:
        raise SecretError(f"the secret's file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretError(f"the secret's file {path} is no UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")
