"""Variables in the notation of other programs: nothing fills them in here, and the text would be taken as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stream_inspect.config.problems import Problem
from stream_inspect.config.schema import is_secret, schema_at
from stream_inspect.config.secret import HOW
from stream_inspect.config.syntax import NOT_FILLED_IN
from stream_inspect.config.tree import Tree

_INSIDE = re.compile(r"\$\{[^}]*\}|\{\{.*\}\}|\$\([A-Z_][A-Z0-9_]*\)")
_ALONE = re.compile(r"\$[A-Z_][A-Z0-9_]*|%[A-Z_][A-Z0-9_]*%")
"""A text that is nothing else."""
_OURS = re.compile(r"(env|file) *[:=] *\S+")
"""Our own way to write a secret, without its braces."""


def unfilled(tree: Tree) -> Iterator[Problem]:
    """One problem for each text with a variable; none quotes it, because it may be part of a password."""
    for node in tree.walk():
        text = node.value
        if not isinstance(text, str):
            continue
        is_variable = _INSIDE.search(text) or _ALONE.fullmatch(text.strip())
        if (is_variable or _OURS.fullmatch(text)) and is_secret(schema_at(tree, node.path)):
            yield node.problem(f"{NOT_FILLED_IN}: {HOW}" if is_variable else f"lacks its braces: {HOW}")
        elif not is_variable:
            continue
        elif "://" in text and "@" in text:
            continue  # a user name or password in a URL: that is said of it
        else:
            yield node.problem(f"{NOT_FILLED_IN}: write the value itself, or give it with --set KEY=VALUE")
