"""The configuration's JSON Schema, and how to find one's way in it: for editors, error messages and the reference."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from stream_inspect.config.models import Config
from stream_inspect.config.plugin import options_schema
from stream_inspect.config.tree import Path, Tree

Schema = dict[str, Any]

_BEYOND = 2**53
"""A limit so high is there for the machine, not for the reader."""


@lru_cache(maxsize=1)
def json_schema() -> Schema:
    """The JSON Schema (draft 2020-12) of a configuration file. Do not change what is returned."""
    schema = Config.model_json_schema()
    _drop_titles(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "stream_inspect configuration",
        **schema,
    }


def resolved(schema: Schema) -> Schema:
    """The schema behind a $ref or an optional value; a description next to the $ref wins."""
    while True:
        options = schema.get("anyOf", [])
        if "$ref" in schema:
            target = json_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
            siblings = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**target, "x-about": target.get("description", ""), **siblings}
        elif len(options) == 2 and {"type": "null"} in options and not schema.get("x-secret"):
            option = options[0] if options[1] == {"type": "null"} else options[1]
            schema = {**option, **{key: value for key, value in schema.items() if key != "anyOf"}, "x-nullable": True}
        else:
            return schema


def variants(schema: Schema) -> dict[str, Schema]:
    """kind -> schema, where `kind` chooses among several; else empty."""
    kind_of = {ref: kind for kind, ref in schema.get("discriminator", {}).get("mapping", {}).items()}
    return {kind_of[option["$ref"]]: resolved(option) for option in schema.get("oneOf", []) if kind_of}


def steps(tree: Tree, path: Path) -> Iterator[tuple[Schema, Tree | None]]:
    """The schemas from the top to the value at `path`, as far as there are any, with the values there."""
    schema, node = resolved(json_schema()), tree
    here: Tree | None = node
    yield schema, here
    for step in path:
        chosen = variants(schema)
        if chosen:
            kind = here.child("kind") if here is not None else None
            schema = chosen.get(str(kind.value), {}) if kind is not None else {}
        if isinstance(step, int):
            prefix = schema.get("prefixItems", [])
            below = prefix[step] if step < len(prefix) else schema.get("items")
        else:
            below = schema.get("properties", {}).get(step) or schema.get("additionalProperties")
        if not isinstance(below, dict):
            return
        schema = resolved(below)
        if "x-plugin" in schema:
            named = here.child("plugin") if here is not None else None
            schema = {**schema, **options_schema(schema["x-plugin"], str(named.value) if named is not None else "")}
        here = here.child(step) if here is not None else None
        yield schema, here


def schema_at(tree: Tree, path: Path) -> Schema:
    """The schema of the value at a path; empty where there is none. `kind` in the tree chooses among variants."""
    found = list(steps(tree, path))
    return found[-1][0] if len(found) == len(path) + 1 else {}


def is_secret(schema: Schema) -> bool:
    """Whether a value of this schema must never be shown."""
    options = schema.get("anyOf", [])
    return bool(schema.get("x-secret")) or any(is_secret(option) for option in options)


def allowed_words(schema: Schema) -> list[str]:
    """The words that this value can be, or [] where it is not a choice."""
    if "const" in schema:
        return [str(schema["const"])]
    return [str(word) for word in schema.get("enum", [])]


def in_words(schema: Schema) -> str:
    """What a value must be: `a number from 0.5 to 30`, `tcp or udp`, `a list of at least 1`."""
    words = allowed_words(schema)
    if words:
        return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    if "x-rule" in schema:
        return str(schema["x-rule"])
    if is_secret(schema) and "type" not in schema:
        from stream_inspect.config.secret import HOW

        return f"a secret ({HOW})" if schema.get("x-secret") else "text, a number, true or false, or a secret"
    match schema.get("type"):
        case "integer":
            return f"a whole number{_range(schema)}"
        case "number":
            return f"a number{_range(schema)}"
        case "boolean":
            return "true or false"
        case "string":
            return "a path" if schema.get("format") == "path" else "text"
        case "array" if "prefixItems" in schema:
            return f"a list of {len(schema['prefixItems'])} numbers"
        case "array":
            return f"a list{_count(schema)}"
        case "object":
            return "a mapping of keys to values"
    return "a mapping with the key `kind`" if "discriminator" in schema else "another value"


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    bounds = []
    if low is not None and high is not None:
        bounds.append(f"from {_number(low)} to {_number(high)}")
    else:
        bounds += [f"at least {_number(low)}"] if low is not None else []
        bounds += [f"above {_number(above)}"] if above is not None else []
        bounds += [f"at most {_number(high)}"] if high is not None else []
        bounds += [f"below {_number(below)}"] if below is not None and below < _BEYOND else []
    return "".join(
        [
            f" {' and '.join(bounds)}" if bounds else "",
            f", a multiple of {schema['multipleOf']}" if "multipleOf" in schema else "",
        ]
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:g}"


def _count(schema: Schema) -> str:
    low, high = schema.get("minItems"), schema.get("maxItems")
    if low and high:
        return f" of {low}" if low == high else f" of {low} to {high}"
    return f" of at least {low}" if low else f" of at most {high}" if high else ""


def _drop_titles(schema: Any) -> None:
    """Titles that pydantic makes of names say nothing that the name does not."""
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        for value in schema.values():
            _drop_titles(value)
    elif isinstance(schema, list):
        for value in schema:
            _drop_titles(value)
