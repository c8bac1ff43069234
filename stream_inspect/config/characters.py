"""Characters that a text holds by mistake: a word processor put them there, or an escape in double quotes means them.

YAML takes them as part of the text, and a path with a line break in it, or a name with a typographic quote, is not
found. No message quotes the text: it may be part of a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stream_inspect.config.problems import Problem
from stream_inspect.config.schema import is_secret, schema_at
from stream_inspect.config.syntax import split_lines
from stream_inspect.config.tree import Place, Tree

_TYPOGRAPHIC = re.compile(r"[\u2018-\u201f\u2039\u203a\u00ab\u00bb\u00b4]")
_SPACES = r"\u00a0\u2000-\u200a\u202f\u205f\u3000"
_INVISIBLE = r"\u200b\u2060\ufeff"
_AROUND = re.compile(rf"^[{_SPACES}]|[{_SPACES}]$|[{_INVISIBLE}]")
_IN_KEY = re.compile(rf"[{_SPACES}{_INVISIBLE}]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CLOSED_ONLY = re.compile(r"""[^\d]["']""")
"""Not 2", which are inches."""
_TAKEN_AWAY = re.compile(r"""[\w"']+ *: *[#&]\S""")
"""`password: #abc` is an empty password with a comment."""

_QUOTE = "begins with a typographic quote: write \" or '"
_SPACE = "holds an invisible character or a special space: write an ordinary space, or none"
_ESCAPES = (
    "holds a control character (in double quotes, \\t is a tab and \\n a line break): "
    "write it in single quotes and on one line"
)


def misplaced(tree: Tree, text: str) -> Iterator[Problem]:
    """One problem for each text and each key with such a character; `text` is what the tree was read from."""
    lines = split_lines(text)
    for node in tree.walk():
        for key, place in node.keys.items():
            if _IN_KEY.search(key):
                yield node.problem(_SPACE, node.path, place)
            elif _TYPOGRAPHIC.match(key):
                yield node.problem(_QUOTE, node.path, place)
            elif _is_taken_away(node, key, place, lines) and is_secret(schema_at(tree, (*node.path, key))):
                yield node.problem("is empty: text that begins with # or & needs quotes", (*node.path, key), place)
        if message := _misplaced(tree, node) or _continued(node, lines):
            yield node.problem(message)


def _is_taken_away(mapping: Tree, key: str, place: Place, lines: list[str]) -> bool:
    value = mapping.child(key)
    if value is None or value.value is not None or place.line is None or place.column is None:
        return False
    return bool(_TAKEN_AWAY.match(lines[place.line - 1], place.column - 1))


def _continued(node: Tree, lines: list[str]) -> str:
    """Whether an item that is indented too deep continues the text above it."""
    if not (node.bare and isinstance(node.value, str) and " - " in node.value and node.place.line is not None):
        return ""
    following = lines[node.place.line].strip() if node.place.line < len(lines) else ""
    if node.value.startswith("-") or not following.startswith("- ") or f" {following}" not in node.value:
        return ""
    return f"is continued by line {node.place.line + 1}, an item of a list: begin both dashes in the same column"


def _misplaced(tree: Tree, node: Tree) -> str:
    text = node.value
    if not isinstance(text, str):
        return ""
    if node.bare and _TYPOGRAPHIC.match(text):
        return _QUOTE
    if node.bare and _AROUND.search(text):
        return _SPACE
    comma_behind = node.bare and text.endswith(",")
    closed_only = node.bare and _CLOSED_ONLY.fullmatch(text[-2:]) and text.count(text[-1]) == 1
    if not comma_behind and not closed_only and not _CONTROL.search(text):
        return ""
    schema = schema_at(tree, node.path)
    if is_secret(schema):  # any other character may be meant
        return ""
    if comma_behind:
        return "ends with a comma: remove it, or put the text in quotes"
    if closed_only:
        return f"ends with {text[-1]} and does not begin with it: put it in quotes, or remove it"
    is_path = schema.get("format") == "path"  # any other text may be written over lines, and then ends with a break
    return _ESCAPES if _CONTROL.search(text if is_path else text.removesuffix("\n")) else ""
