"""Changes single values in a YAML text and leaves every other byte alone: comments, order, quotes, blank lines.

A round trip through a YAML library keeps most comments but moves or loses those next to the change. So the library only
locates the values, the text is edited there, and the result is parsed again: it must hold exactly the intended change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, TypeGuard

from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, SequenceNode

from stream_inspect.config.problems import key_text
from stream_inspect.config.tree import Path, Place, Scalar, parse, reader
from stream_inspect.errors import StreamInspectError

Value = Scalar | Sequence[str] | Sequence[float] | Sequence[Sequence[float]] | Mapping[str, Any]

_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9 _./%()-]*[A-Za-z0-9_./%()-])?")
_NOT_TEXT = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))


class EditError(StreamInspectError):
    """The text cannot be edited safely by a program; the message says to edit it by hand."""


def set_value(text: str, path: Path, value: Value) -> str:
    """The text with `value` at `path`, whose last step is an old or a new key of an existing mapping."""
    wanted = _plain(text)
    mapping, new = _at(wanted, path[:-1]), list(value) if _is_list(value) else value
    if path[-1] in mapping and mapping[path[-1]] == new:
        return text
    mapping[path[-1]] = new
    node, key = _node(text, path[:-1]), str(path[-1])
    own = {str(key_node.value): value_node for key_node, value_node in node.value}
    if key not in own:
        changed = _inserted(text, node, f"{key}: {_rendered(value)}")
    elif (
        isinstance(own[key], SequenceNode) and not own[key].flow_style and own[key].value and value and _is_list(value)
    ):
        changed = _block_list(text, own[key], value)
    else:
        start, end = own[key].start_mark.index, _end(own[key])
        space = " " if text[start - 1 : start] == ":" else ""
        changed = text[:start] + space + _rendered(value) + text[end:]
    return _proven(changed, wanted, path)


def remove_key(text: str, path: Path) -> str:
    """The text without the key at `path`. Comments before it stay, one behind its value goes."""
    wanted = _plain(text)
    del _at(wanted, path[:-1])[path[-1]]
    parent = _node(text, path[:-1])
    index = next((number for number, (key, _) in enumerate(parent.value) if key.value == path[-1]), None)
    if index is None:
        raise _by_hand(path)
    key_node, value_node = parent.value[index]
    start, end = key_node.start_mark.index, _end(value_node)
    if not parent.flow_style:
        start, end = text.rfind("\n", 0, start) + 1, _line_end(text, end)
    elif index + 1 < len(parent.value):
        end = parent.value[index + 1][0].start_mark.index
    elif index:
        start = _end(parent.value[index - 1][1])
    return _proven(text[:start] + text[end:], wanted, path)


def append_item(text: str, path: Path, item: dict[str, Value]) -> str:
    """The text with `item` appended to the list at `path`."""
    wanted = _plain(text)
    _at(wanted, path).append({key: list(value) if _is_list(value) else value for key, value in item.items()})
    node = _node(text, path)
    parts = [f"{key}: {_rendered(value)}" for key, value in item.items()]
    if node.flow_style or not node.value:
        changed = _inserted(text, node, f"{{{', '.join(parts)}}}")
    else:
        indent = " " * node.start_mark.column
        lines = "\n".join(f"{indent}{'- ' if number == 0 else '  '}{part}" for number, part in enumerate(parts))
        changed = _with_line(text, _end(node), lines)
    return _proven(changed, wanted, path)


def remove_item(text: str, path: Path) -> str:
    """The text without the list item at `path`. Comments before it stay."""
    wanted = _plain(text)
    index = int(path[-1])
    del _at(wanted, path[:-1])[index]
    parent = _node(text, path[:-1])
    node = parent.value[index]
    start, end = node.start_mark.index, _end(node)
    if parent.flow_style:
        if index + 1 < len(parent.value):
            end = parent.value[index + 1].start_mark.index
        elif index:
            start = _end(parent.value[index - 1])
    else:
        start = text.rfind("\n", 0, text.rindex("-", 0, start)) + 1
        end = _line_end(text, end)
    return _proven(text[:start] + text[end:], wanted, path)


def _block_list(text: str, node: SequenceNode, value: Sequence[str]) -> str:
    """Replace the items of a block list; lines that stay the same are not touched, so they keep their comments."""
    items: list[Node] = node.value
    before = [item.value for item in items]
    indent = " " * node.start_mark.column
    for tag, i1, i2, j1, j2 in reversed(SequenceMatcher(None, before, list(value), autojunk=False).get_opcodes()):
        shared = min(i2 - i1, j2 - j1) if tag == "replace" else 0
        extra = [f"{indent}- {_rendered(word)}" for word in value[j1 + shared : j2]] if tag != "equal" else []
        gone = items[i1 + shared : i2] if tag in ("replace", "delete") else []
        if extra:
            previous = i1 + shared - 1
            if previous >= 0:
                text = _with_line(text, _end(items[previous]), "\n".join(extra))
            else:
                start = text.rfind("\n", 0, items[0].start_mark.index) + 1
                if text[start : start + len(indent) + 1] != f"{indent}-":
                    raise _by_hand(())
                text = text[:start] + "\n".join(extra) + "\n" + text[start:]
        for item in reversed(gone):
            start = text.rfind("\n", 0, item.start_mark.index) + 1
            text = text[:start] + text[_line_end(text, _end(item)) :]
        for offset in reversed(range(shared)):
            item = items[i1 + offset]
            text = text[: item.start_mark.index] + _rendered(value[j1 + offset]) + text[_end(item) :]
    return text


def _inserted(text: str, node: CollectionNode, part: str) -> str:
    """`part` (`key: value`, or an item) after the last thing in a mapping or a list."""
    if node.flow_style:
        last = _end(_last(node)) if node.value else node.start_mark.index + 1
        return text[:last] + (", " if node.value else "") + part + text[last:]
    return _with_line(text, _end(node), " " * node.start_mark.column + part)


def _with_line(text: str, index: int, line: str) -> str:
    """`line` after the line that holds the character before `index`."""
    end = _line_end(text, index)
    missing = "" if text[end - 1 : end] == "\n" else "\n"
    return text[:end] + missing + line + "\n" + text[end:]


def _line_end(text: str, index: int) -> int:
    """Where the line after the one that holds the character before `index` begins."""
    if text[index - 1 : index] == "\n":
        return index
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _last(node: CollectionNode) -> Node:
    last: Node = node.value[-1][1] if isinstance(node, MappingNode) else node.value[-1]
    return last


def _end(node: Node) -> int:
    """Where a value ends; the library ends a block collection at the next token, so comments would be included."""
    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        return _end(_last(node))
    return int(node.end_mark.index)


def _rendered(value: Value) -> str:
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_rendered(below)}' for key, below in value.items())}}}"
    if isinstance(value, Sequence):
        return f"[{', '.join(_rendered(word) for word in value)}]"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return json.dumps(value)


def _is_list(value: Value) -> TypeGuard[Sequence[str]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _node(text: str, path: Path) -> CollectionNode:
    """ruamel's node of a mapping or list: own keys only, because the text of `<<` or an alias is elsewhere."""
    node: CollectionNode = reader().compose(text)
    for step in path:
        own = node.value if isinstance(node, MappingNode) else []
        below = node.value[step] if isinstance(step, int) else next((v for k, v in own if k.value == step), None)
        if not isinstance(below, CollectionNode):
            raise _by_hand(path)
        node = below
    return node


def _plain(text: str) -> Any:
    tree, _ = parse(text, lambda line, column: Place("", line, column))
    return tree.plain()


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _proven(text: str, wanted: Any, path: Path) -> str:
    try:
        if _plain(text) == wanted:
            return text
    except (StreamInspectError, YAMLError):
        pass
    raise _by_hand(path)


def _by_hand(path: Path) -> EditError:
    return EditError(
        f"{key_text(path)} is written in a form that cannot be edited safely by a program: edit the file by hand"
    )
