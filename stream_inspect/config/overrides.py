"""`--set key=value`: overrides of single keys, applied to the tree of a configuration file.

A key is a dotted path; list items are named by their name or index: `cameras.top.sampling.rate_hz`, `cameras[0].name`.
Missing mappings are created. The value is YAML and may not hold a secret in plain text. Relative paths in a value are
relative to the current folder.
"""

from __future__ import annotations

import re
from pathlib import Path as FilePath

from stream_inspect.config.problems import ConfigError, Problem, did_you_mean, key_text
from stream_inspect.config.schema import schema_at
from stream_inspect.config.secret import HOW
from stream_inspect.config.tree import Path, Place, Tree, parse

_STEP = re.compile(r"(?:^|\.)(?P<name>[^.\[\]=]+)|\[(?P<index>\d{1,6})\]")
OPTION = "--set "


def apply(tree: Tree, override: str) -> list[Problem]:
    """Apply one override to the tree, in place. Returns its problems; if there are any, nothing was changed."""
    key, equals, text = override.partition("=")
    key = key.strip()
    place = Place(f"{OPTION}{key or override}")

    def wrong(message: str) -> list[Problem]:
        return [Problem(place.file, None, None, key, message)]

    if not equals:
        return [Problem(f"{OPTION}{key}", None, None, "", "write key=value, for example web.port=0")]
    steps = _steps(key)
    if steps is None:
        return wrong("the key must look like cameras.top.sampling.rate_hz or cameras[0].sampling.rate_hz")
    found = _resolve(tree, steps)
    if isinstance(found, str):
        return wrong(found)
    try:
        value, problems = parse(text, lambda line, column: place, found)
    except ConfigError as error:
        return list(error.problems)
    if problems:
        return problems
    _file_from_here(value)
    _put(tree, found, value, place)
    return []


def plain_secrets(tree: Tree) -> list[Problem]:
    """The secrets that overrides of this tree hold in plain text: every user of the computer sees them in `ps`."""
    message = "a secret on the command line is visible to every user (ps, shell history): " + HOW
    return [
        node.problem(message)
        for node in tree.walk()
        if node.place.file.startswith(OPTION) and isinstance(node.value, str) and node.value
        if schema_at(tree, node.path).get("x-secret")
    ]


def _steps(key: str) -> list[str | int] | None:
    steps: list[str | int] = []
    end = 0
    for match in _STEP.finditer(key):
        if match.start() != end:
            return None
        end = match.end()
        steps.append(int(match["index"]) if match["index"] is not None else match["name"])
    return steps if steps and end == len(key) and isinstance(steps[0], str) else None


def _resolve(tree: Tree, steps: list[str | int]) -> Path | str:
    """The path with names of list items turned into indices, or what is wrong."""
    path: Path = ()
    node: Tree | None = tree
    for step in steps:
        if node is not None and isinstance(node.value, list):
            found = _item(node.value, step, key_text(path))
            if isinstance(found, str):
                return found
            step = found
        elif node is not None and isinstance(node.value, dict) and isinstance(step, int):
            return f"{key_text(path)} is not a list"
        elif node is not None and not isinstance(node.value, dict) and node.value is not None:
            return f"{key_text(path)} is a single value and has no key {step}"
        elif isinstance(step, int) and step > 0:
            return f"{key_text(path)} has no items yet: begin with index 0"
        path = (*path, step)
        node = node.child(step) if node is not None else None
    return path


def _item(items: list[Tree], step: str | int, list_key: str) -> int | str:
    if isinstance(step, int):
        if step <= len(items):  # one past the end adds an item
            return step
        return f"{list_key} has {len(items)} items: expected an index from 0 to {len(items)}"
    names = [_name(item) for item in items]
    if step in names:
        return names.index(step)
    known = [name for name in names if name is not None]
    listed = f"available: {', '.join(known)}" if known else f"write an index, such as {list_key}[0]"
    return f"{list_key} has no item {step!r}; {listed}.{did_you_mean(step, known)}"


def _name(item: Tree) -> str | None:
    """The name of a list item; that of an alert without a name is its kind."""
    for key in ("name", "kind"):
        named = item.child(key)
        if named is not None and isinstance(named.value, str):
            return named.value
    return None


def _put(tree: Tree, path: Path, value: Tree, place: Place) -> None:
    node = tree
    for depth, step in enumerate(path):
        here = path[: depth + 1]
        child = value if depth == len(path) - 1 else node.child(step)
        if child is None or (child is not value and child.value is None):
            child = Tree([] if isinstance(path[depth + 1], int) else {}, place, here)
        if isinstance(step, int):
            if not isinstance(node.value, list):
                node.value = []
            node.value[step : step + 1] = [child]
        else:
            if not isinstance(node.value, dict):
                node.value = {}
            node.value[step] = child
            node.keys.setdefault(step, place) if child is not value else node.keys.update({step: place})
        node = child


def _file_from_here(value: Tree) -> None:
    """Make the path of a secret's file absolute: on the command line it is relative to the current folder."""
    for node in value.walk():
        if isinstance(node.value, dict) and set(node.value) == {"file"}:
            named = node.value["file"]
            if isinstance(named.value, str):
                named.value = str(FilePath.cwd() / FilePath(named.value).expanduser())
