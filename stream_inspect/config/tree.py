"""Parses a YAML text into plain values that know their file, line and column, and collects every syntax problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from stream_inspect.config.problems import ConfigError, Problem, key_text
from stream_inspect.config.syntax import find_slip, foreign_secret, line_and_column

MAX_BYTES = 1_000_000
_MAX_DEPTH = 30
_MAX_NODES = 50_000
"""A limit against alias bombs: a few aliases in a small file can multiply to any number of values."""

Path = tuple[str | int, ...]
"""Keys and list indices from the top: ("cameras", 0, "source", "url")."""
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Place:
    """A line and column (from 1) of a file, or an override (`--set web.port`)."""

    file: str
    line: int | None = None
    column: int | None = None


@dataclass(slots=True)
class Tree:
    """A value with its place. A mapping also knows the places of its keys."""

    value: Scalar | list[Tree] | dict[str, Tree]
    place: Place
    path: Path = ()
    keys: dict[str, Place] = field(default_factory=dict)
    bare: bool = False
    """A text that is written without quotes."""

    def plain(self) -> Any:
        """The value without places, as a YAML library would return it."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, step: str | int) -> Tree | None:
        """The value at a key or an index, or None."""
        if isinstance(self.value, dict) and isinstance(step, str):
            return self.value.get(step)
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None

    def find(self, path: Path) -> Tree | None:
        """The value at a path, or None."""
        node: Tree | None = self
        for step in path:
            node = node.child(step) if node is not None else None
        return node

    def walk(self) -> Iterator[Tree]:
        """This value and all values below it."""
        yield self
        if isinstance(self.value, dict):
            for child in self.value.values():
                yield from child.walk()
        elif isinstance(self.value, list):
            for child in self.value:
                yield from child.walk()

    def problem(self, message: str, path: Path | None = None, place: Place | None = None) -> Problem:
        """A problem with this value, or with a missing or wrong one at `path` inside it."""
        place = place or self.place
        return Problem(place.file, place.line, place.column, key_text(self.path if path is None else path), message)


def parse(text: str, place: Callable[[int, int], Place], path: Path = ()) -> tuple[Tree, list[Problem]]:
    """The tree of a YAML 1.2 text, and its problems other than syntax errors (duplicate keys, tags).

    `place` makes the place of a line and a column (from 1). Raises `ConfigError` where the text is not YAML at all.
    """
    yaml = reader()
    yaml.allow_duplicate_keys = True  # found below, with both places

    def refusal(message: str, line: int = 1, column: int = 1) -> ConfigError:
        at = place(line, column)
        return ConfigError([Problem(at.file, at.line, at.column, key_text(path), message)])

    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        slip = find_slip(error, text)
        raise refusal(slip.message, slip.line + 1, slip.column + 1) from None
    except RecursionError:
        raise refusal("is nested too deeply") from None
    except ReaderError as error:
        line, column = line_and_column(text, error.position)
        raise refusal("holds a control character: remove it", line, column) from None
    except (YAMLError, ValueError):
        raise refusal("is not YAML text") from None
    if root is None:
        return Tree(None, place(1, 1), path), []
    builder = _Builder(yaml, place)
    try:
        return builder.tree(root, path), builder.problems
    except _TooMuchError as error:
        raise refusal(str(error)) from None


def reader() -> YAML:
    """The library's reader, without its warning for a repeated anchor: that is allowed, and the warning quotes lines
    of the file."""
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    return yaml


class _TooMuchError(Exception):
    pass


class _Builder:
    """Builds a `Tree` from ruamel's nodes."""

    def __init__(self, yaml: YAML, place: Callable[[int, int], Place]) -> None:
        self.problems: list[Problem] = []
        self._constructor = yaml.constructor
        self._place_of = place
        self._nodes = 0

    def tree(self, node: Node, path: Path, depth: int = 0) -> Tree:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise _TooMuchError(f"holds more than {_MAX_NODES} values, with aliases counted at each use")
        if depth > _MAX_DEPTH:
            raise _TooMuchError(f"is nested more than {_MAX_DEPTH} levels deep")
        if isinstance(node, MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, SequenceNode):
            items = [self.tree(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
            return Tree(items, self._place(node), path)
        assert isinstance(node, ScalarNode)
        return Tree(self._scalar(node, path), self._place(node), path, bare=node.style is None)

    def _mapping(self, node: MappingNode, path: Path, depth: int) -> Tree:
        result = Tree({}, self._place(node), path)
        assert isinstance(result.value, dict)
        merged: list[Tree] = []
        for key_node, value_node in node.value:
            if _short_tag(key_node) == "merge":
                merged += self._merged(value_node, path, depth)
                continue
            if not isinstance(key_node, ScalarNode):
                self.problems.append(result.problem("a key must be a word", place=self._place(key_node)))
                continue
            key = str(key_node.value)
            if key in result.keys:
                first = result.keys[key]
                message = f"duplicate key (first on line {first.line}): keep one"
                self.problems.append(result.problem(message, (*path, key), self._place(key_node)))
                continue
            result.keys[key] = self._place(key_node)
            result.value[key] = self.tree(value_node, (*path, key), depth + 1)
        for source in merged:  # the mapping's own keys win, then the first source
            assert isinstance(source.value, dict)
            for key, child in source.value.items():
                if key not in result.value:
                    result.keys[key], result.value[key] = source.keys[key], child
        return result

    def _merged(self, node: Node, path: Path, depth: int) -> list[Tree]:
        sources = node.value if isinstance(node, SequenceNode) else [node]
        trees = [self.tree(source, path, depth + 1) for source in sources]
        for tree in trees:
            if not isinstance(tree.value, dict):
                self.problems.append(tree.problem("<< needs an alias of a mapping, such as `<<: *name`"))
        return [tree for tree in trees if isinstance(tree.value, dict)]

    def _scalar(self, node: ScalarNode, path: Path) -> Scalar:
        kind = _short_tag(node)
        try:
            if kind == "int":
                return int(self._constructor.construct_yaml_int(node))
            if kind == "float":
                return float(self._constructor.construct_yaml_float(node))
        except (ValueError, OverflowError):
            return str(node.value)
        if kind == "bool":
            return str(node.value).lower() == "true"
        if kind == "null":
            return None
        if kind not in ("str", "timestamp"):  # we read a date as text
            place = self._place(node)
            message = foreign_secret(kind) or "begins with ! (a YAML tag): put the text in quotes"
            self.problems.append(Problem(place.file, place.line, place.column, key_text(path), message))
        return str(node.value)

    def _place(self, node: Node) -> Place:
        return self._place_of(node.start_mark.line + 1, node.start_mark.column + 1)


def _short_tag(node: Node) -> str:
    return str(node.tag).removeprefix("tag:yaml.org,2002:")
