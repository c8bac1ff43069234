"""Where a key belongs that is written on the wrong level."""

from __future__ import annotations

from stream_inspect.config.schema import Schema, resolved, schema_at, variants
from stream_inspect.config.tree import Path, Tree

_DEPTH = 3
_FEW = 3


def homes(tree: Tree, path: Path) -> list[Path]:
    """The nearest places for the last key of this path, which is unknown there; [] where there are none, or many.

    `rate_hz` of a camera belongs in its `sampling`, `web` within a defect belongs at the top.
    """
    *around, word = path
    mapping = tuple(around)
    for length in range(len(mapping), -1, -1):
        outer = mapping[:length]
        if length < len(mapping) and word in _properties(tree, outer, schema_at(tree, outer)):
            return [(*outer, word)]
        if (length or not mapping) and (found := _below(tree, outer, word)):
            return found if len(found) <= _FEW else []
    return []


def _below(tree: Tree, path: Path, word: str | int) -> list[Path]:
    level = [(path, schema_at(tree, path))]
    for _ in range(_DEPTH):
        level = [
            _item((*at, key), resolved(below))
            for at, schema in level
            for key, below in _properties(tree, at, schema).items()
        ]
        if found := [(*at, word) for at, schema in level if word in _properties(tree, at, schema)]:
            return found
    return []


def _item(path: Path, schema: Schema) -> tuple[Path, Schema]:
    """The first item of a list, any other value itself."""
    items = schema.get("items")
    return ((*path, 0), resolved(items)) if isinstance(items, dict) else (path, schema)


def _properties(tree: Tree, path: Path, schema: Schema) -> dict[str, Schema]:
    """Those of the chosen kind; of every kind where none is chosen yet."""
    chosen = variants(schema)
    if not chosen:
        return dict(schema.get("properties", {}))
    kind = tree.find((*path, "kind"))
    one = chosen.get(str(kind.value)) if kind is not None else None
    options = chosen.values() if one is None else [one]
    return {key: below for option in options for key, below in option.get("properties", {}).items()}
