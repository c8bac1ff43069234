"""Plug-ins of other packages, as far as a configuration names them: whether they are installed, and their options."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import Field

from stream_inspect import registry
from stream_inspect.config.base import Model, Name
from stream_inspect.config.problems import did_you_mean


class PluginOptions(Model):
    """Base of a plug-in's own config model: the keys of its `options`, and the name of the entry they belong to.

    The plug-in's class names the model in its attribute `options_model`. Options are checked by it like any other key
    of the file: with line and column, what is allowed and what was probably meant. Each is text, a number, true or
    false, a `Path` (relative to the configuration file), a `Secret`, or a list of such.
    """

    name: Name = Field(description="Name of the entry in the configuration; not one of the options.")


def unknown_plugin(kind: registry.Kind, name: str, more: Sequence[str] = ()) -> str:
    """What is wrong with the name of a plug-in, or nothing. `more` are words allowed as well as the names."""
    if name in registry.BUILT_IN[kind]:
        return ""  # looking for installed plug-ins takes tens of milliseconds
    known = [*more, *registry.names(kind)]
    if name in known:
        return ""
    return f'no {kind} named "{name}"; available: {", ".join(known)}.{did_you_mean(name, known)}'


@cache
def options_model(kind: registry.Kind, name: str) -> type[PluginOptions] | None:
    """The model that an installed plug-in's class names for its options.

    None where the plug-in cannot be imported or names none. The configuration is then not wrong, and the rest of
    the line must run without it: `check` and the process that is to use it report it.
    """
    if name in registry.BUILT_IN[kind]:
        return None
    try:
        model = getattr(registry.load(kind, name), "options_model", None)
    except Exception:  # whatever goes wrong in another package when it is imported
        return None
    return model if isinstance(model, type) and issubclass(model, PluginOptions) else None


@cache
def options_schema(kind: registry.Kind, name: str) -> dict[str, Any]:
    """The JSON Schema of a plug-in's options, without references; empty where it states none."""
    model = options_model(kind, name)
    if model is None:
        return {}
    schema = model.model_json_schema()
    properties = _inlined(schema["properties"], schema.get("$defs", {}))
    del properties["name"]
    required = [key for key in schema.get("required", []) if key != "name"]
    return {"properties": properties, "required": required, "additionalProperties": False}


def _inlined(value: Any, definitions: dict[str, Any], within: tuple[str, ...] = ()) -> Any:
    if isinstance(value, list):
        return [_inlined(item, definitions, within) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _inlined(below, definitions, within) for key, below in value.items() if key != "$ref"}
    target = str(value.get("$ref", "")).rpartition("/")[2]
    if target and target not in within:
        found = {**_inlined(definitions[target], definitions, (*within, target)), **found}
    return found
