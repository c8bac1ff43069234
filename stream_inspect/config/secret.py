"""A value that is never printed: `{env: NAME}`, `{file: PATH}`, or, not recommended, plain text."""

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
    """A secret cannot be read. The text names its source, never its value."""


class Secret(SecretStr):
    """Text that prints as stars and knows its source.

    In a configuration: `{env: NAME}`, or `{file: PATH}` (relative to the configuration file; a line break at the end
    is dropped), or the text itself.
    """

    origin: dict[str, str] | None
    """{"env": NAME} or {"file": PATH}; None where the configuration holds the text itself."""

    fetched: bool
    """False where the configuration was read without its secrets; the value is then empty."""

    def __init__(self, secret_value: str, origin: dict[str, str] | None = None, fetched: bool = True) -> None:
        super().__init__(secret_value)
        self.origin = origin
        self.fetched = fetched

    def dumped(self) -> dict[str, Any]:
        """The form that `parse_dump` reads. It holds the secret: only for our own processes."""
        return {_DUMPED: self.get_secret_value(), "origin": self.origin}

    @classmethod
    def _validated(cls, value: object, info: ValidationInfo) -> Secret:
        context = info.context or {}
        if isinstance(value, Secret):
            return value
        if isinstance(value, SecretStr):
            return cls(value.get_secret_value())
        if isinstance(value, str):
            return cls._not_empty(value, "is empty")
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
        raise PydanticCustomError("secret_form", "must be a secret: {how}", {"how": HOW})

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
                one_key("env", "Name of the environment variable that holds the secret."),
                one_key("file", "File that holds the secret, relative to the configuration file."),
                {"type": "string", "minLength": 1, "writeOnly": True},
            ],
        }


def _from_env(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise SecretError(f"environment variable {name} is not set: set it for the service")
    return value


def _from_file(name: str, folder: Path) -> str:
    path = folder / Path(name).expanduser()
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise SecretError(f"secret file {path} is longer than {_MAX_BYTES} bytes: is it the right file?")
        text = content.decode()
    except OSError as error:
        raise SecretError(f"cannot read secret file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretError(f"secret file {path} is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")
