"""Turns pydantic's errors into plain words: the place in the file, what is allowed, and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic_core import ErrorDetails

from stream_inspect import registry
from stream_inspect.config.nesting import homes
from stream_inspect.config.problems import Problem, did_you_mean, key_text
from stream_inspect.config.schema import Schema, allowed_words, in_words, is_secret, resolved, schema_at, variants
from stream_inspect.config.syntax import glued_key
from stream_inspect.config.tree import Path, Tree

_SHOWN_CHARACTERS = 40


def explain(tree: Tree, errors: Sequence[ErrorDetails]) -> dict[Path, Problem]:
    """One problem for each value that is wrong, missing or unknown, by its path."""
    problems: dict[Path, Problem] = {}
    # Of a value that may be a secret or something else, the secret's own complaint says most, and `0,3` between braces
    # is a wrong key behind a wrong number.
    for error in sorted(errors, key=lambda error: error["type"] not in ("secret_missing", "extra_forbidden")):
        path = written_path(tree, error["loc"])
        if error["type"] == "missing" and _mistyped(_nearest(tree, path[:-1]), path[-1]):
            continue  # that is said of the key
        if error["type"] == "extra_forbidden" and (comma := _decimal_comma(tree, path)):
            whole = re.sub("[. ]", "", str(comma.value))
            problems.setdefault(comma.path, comma.problem(f"must be written with a point: {whole}.{path[-1]}"))
            continue
        while error["type"] != "missing" and tree.find(path) is None:
            path = path[:-1]  # a member of a union that the schema here does not show
        if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
            path = (*path, "kind")
        problems.setdefault(path, _problem(tree, path, error))
    return problems


def written_path(tree: Tree, location: tuple[str | int, ...]) -> Path:
    """The path as the user wrote it: without the names of union members that pydantic adds."""
    path: Path = ()
    node: Tree | None = tree
    for index, step in enumerate(location):
        last = index == len(location) - 1
        if node is not None:
            schema = schema_at(tree, path)
            if "anyOf" in schema or (not isinstance(node.value, dict | list) and node.value is not None):
                break  # a member of a union
            kind = node.child("kind")
            is_tag = kind is not None and kind.value == step and bool(variants(schema))
            if is_tag and not (last and node.child(step) is not None):
                continue
        path = (*path, step)
        node = node.child(step) if node is not None else None
    return path


def _problem(tree: Tree, path: Path, error: ErrorDetails) -> Problem:
    schema = schema_at(tree, path)
    node = tree.find(path)
    parent = _nearest(tree, path[:-1])
    match error["type"]:
        case "union_tag_not_found" if mistyped := _mistyped(parent, "kind"):
            return parent.problem(glued_key(mistyped)[1], path[:-1], parent.keys[mistyped])
        case "missing" | "union_tag_not_found":
            rule = in_words({"enum": kinds} if path[-1] == "kind" and (kinds := _kinds(tree, path)) else schema)
            what = _first_sentence(schema.get("description", ""))
            return parent.problem(f"is missing: write {rule}{f' ({what})' if what else ''}", path)
        case "extra_forbidden":
            known = list(_properties(tree, path[:-1]))
            glued, instead = glued_key(str(path[-1]))
            if glued in known:  # `{port:8080}`: the key must not show its value
                return parent.problem(instead, path[:-1], parent.keys.get(str(path[-1]), parent.place))
            if node is not None and node.value is None and not homes(tree, path):  # it may be a value: {password, abc}
                message = f"is not a key with a value. Known keys: {', '.join(known)}."
                return parent.problem(message, path[:-1], parent.keys.get(str(path[-1]), parent.place))
            meant = _meant(tree, path, known) or f" Known keys: {', '.join(known)}."
            place = parent.keys.get(str(path[-1]), parent.place)
            return parent.problem(f"unknown key.{meant}", path, place)
        case "union_tag_invalid":
            return (node or parent).problem(_not_one_of(node, _kinds(tree, path), _plugins(path)), path)
    node = node or parent
    if error["type"] in ("value_error", "secret_missing", "secret_form"):
        return node.problem(error["msg"].removeprefix("Value error, "), path)
    if node.value is None:
        key = parent.keys.get(str(path[-1]), node.place) if path else node.place
        if _keys_follow(tree, parent, path):
            return node.problem("is empty: indent its keys below it, by two spaces more", path, key)
        return node.problem(f"is empty: write {in_words(schema)}, or remove it", path, key)
    if slip := _glued(tree, node, path):
        return node.problem(slip, path)
    words = allowed_words(schema)
    if words and not isinstance(node.value, dict | list):
        hint = _hint_for_text(node.value, None) if isinstance(node.value, str) else ""
        return node.problem(_not_one_of(node, words, hint=hint), path)
    shown = _shown(node, schema, error)
    return node.problem(f"must be {in_words(schema)}{f', not {shown}' if shown else ''}{_hint(node, schema)}", path)


def _mistyped(mapping: Tree, key: str | int) -> str:
    """The text `key:value` or `key=value` that was to be this key of a mapping; "" where there is none."""
    return next((text for text in mapping.keys if text != key and glued_key(text)[0] == key), "")


def _decimal_comma(tree: Tree, path: Path) -> Tree | None:
    """The number before an unknown key that is the part of it behind the comma: {threshold: 0,3}."""
    mapping, key = _nearest(tree, path[:-1]), str(path[-1])
    before = list(mapping.keys)[: list(mapping.keys).index(key)] if key in mapping.keys else []
    number = mapping.child(before[-1]) if before else None
    is_one = number is not None and re.fullmatch(r"-?\d[\d. ]*", str(number.value)) and key.isdecimal()
    return number if is_one else None


def _meant(tree: Tree, path: Path, known: list[str]) -> str:
    section, dot, key = str(path[-1]).partition(".")
    if dot and schema_at(tree, (*path[:-1], section, key)):
        return f" Write `{key}` below `{section}:`, by two spaces more."
    if found := [key_text(home) for home in homes(tree, path)]:
        return f" Did you mean {' or '.join(filter(None, (', '.join(found[:-1]), found[-1])))}?"
    return did_you_mean(path[-1], known, path[:-1])


def _keys_follow(tree: Tree, parent: Tree, path: Path) -> bool:
    """Whether the next key belongs into this empty mapping, and not where it is."""
    following = list(parent.keys)[list(parent.keys).index(str(path[-1])) + 1 :] if path[-1] in parent.keys else []
    return bool(following) and (*path, following[0]) in homes(tree, (*path[:-1], following[0]))


def _hint(node: Tree, schema: Schema) -> str:
    """What to write instead of this value."""
    value = node.value
    if schema.get("type") == "array":
        return (
            ": begin each item with `- `"
            if isinstance(value, dict)
            else ""
            if isinstance(value, list)
            else (": write a list in [ ]")
        )
    if isinstance(value, int | float) and schema.get("type") == "string":
        return ": put it in quotes"
    highest = schema.get("maximum", schema.get("exclusiveMaximum"))
    if isinstance(value, int | float) and highest == 1 and 1 < value <= 100:
        return f": write {value / 100:g} for {value:g} %"
    if isinstance(value, str) and (kind := value.partition(":")[0]) in variants(schema):
        return f": write {{kind: {kind}{', url: ...' if '://' in value else ''}}}"
    if schema.get("type") == "object":
        return ""
    return _hint_for_text(value, highest) if isinstance(value, str) and not is_secret(schema) else ""


def _hint_for_text(text: str, highest: float | None) -> str:
    if re.fullmatch(r"[-+]?\d+,\d+", text):
        return f": write {text.replace(',', '.')}, with a point"
    if re.fullmatch(r"\d{1,3}([ '\u2019]\d{3})+", text):
        return f": write {re.sub('[^0-9]', '', text)}"
    if percent := re.fullmatch(r"([\d.]+) *%", text):
        return f": write {float(percent[1]) / 100:g}" if highest == 1 else ": write the number alone"
    if re.fullmatch(r"[-+]?\d[\d.]* *[a-zA-Z\u00b5/\u00b0\u00b2\u00b3]+", text):
        return ": write the number alone, without a unit"
    if re.search(r"\S#", text):
        return ": a comment needs a space before its #"
    return f": remove the {text[-1]}" if text.endswith((",", ";")) else ""


def _glued(tree: Tree, node: Tree, path: Path) -> str:
    """Whether a space is missing where this mapping or list was to begin: a text is there in its place."""
    first = next(iter(node.value), "") if isinstance(node.value, dict) else node.value
    if not isinstance(first, str):
        return ""
    if first.startswith("-") and schema_at(tree, path).get("type") == "array":
        return "a space is missing after `-`"
    glued, instead = glued_key(first)
    known = ["kind"] if variants(schema_at(tree, path)) else list(_properties(tree, path))
    return instead if glued in known else ""


def _nearest(tree: Tree, path: Path) -> Tree:
    """The value at a path, or the nearest one around it that is written."""
    while (found := tree.find(path)) is None:
        path = path[:-1]
    return found


def _not_one_of(node: Tree | None, known: list[str], plugins: Sequence[str] = (), hint: str = "") -> str:
    if node is None or isinstance(node.value, dict | list):
        return f"must be {in_words({'enum': known})}"
    meant = did_you_mean(node.value, [*known, *plugins])
    for name in plugins:
        if meant == f" Did you mean {name}?":
            meant = f" For the plug-in {name} write kind: plugin, plugin: {name}"
    if hint:
        return f"must be {in_words({'enum': known})}, not {_scalar(node)}{hint}"
    return f"must be {in_words({'enum': known})}, not {_scalar(node)}.{meant}".removesuffix(".")


def _plugins(path: Path) -> list[str]:
    """The installed plug-ins that a `kind` at this path may have meant."""
    kind: registry.Kind
    if path[0] == "alerts":
        kind = "alert"
    elif path[-2:] == ("source", "kind"):
        kind = "camera"
    else:
        return []
    return [name for name in registry.names(kind) if name not in registry.BUILT_IN[kind]]


def _kinds(tree: Tree, path: Path) -> list[str]:
    return list(variants(schema_at(tree, path[:-1])))


def _properties(tree: Tree, path: Path) -> Schema:
    schema = schema_at(tree, path)
    node = tree.find(path)
    kind = node.child("kind") if node is not None else None
    chosen = variants(schema)
    if chosen and kind is not None:
        schema = chosen.get(str(kind.value), {})
    properties: Schema = schema.get("properties", {})
    return properties


def _shown(node: Tree, schema: Schema, error: ErrorDetails) -> str | None:
    """The value as the message quotes it, or None where it may hold a secret."""
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        if error["type"] in ("too_short", "too_long"):
            return f"{len(node.value)}" if node.value else "an empty one"
        return "a list"
    within = resolved(schema.get("items") or schema)
    if (within.get("type") == "object" or variants(within)) and not re.fullmatch(r"[\w-]*", str(node.value)):
        return None  # `password=...`
    if is_secret(schema) or "://" in str(node.value) or "@" in str(node.value):
        return None
    return _scalar(node)


def _scalar(node: Tree) -> str:
    value = node.value
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        cut = value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "..."
        return f'"{cut}"'
    return f"{value}"


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".")
