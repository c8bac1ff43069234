"""Where a YAML text has its slip, and what to write there: a parser notices most slips lines later.

No message holds words of the file: the line may hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StreamMark
from ruamel.yaml.tokens import ScalarToken

NOT_FILLED_IN = "`${...}` and the like are not filled in"
_BACKSLASH = "a backslash in double quotes starts an escape: put this text in single quotes"
_FOREIGN_SECRET = re.compile(r"!(env|env_var|secret)$", re.IGNORECASE)
_KEY = r"([a-z][a-z0-9_]*)"
_NO_SPACE = re.compile(rf"^\s*(?:- +)?{_KEY}:(?=[^\s/:])")
"""A key whose colon touches its value; not the scheme of a URL."""
_NO_COLON = re.compile(rf"^\s*(?:- +)?{_KEY} *(?::?=>?|->|::|\uff1a|;|[\x22']:)")
_WORDS = re.compile(rf"^{_KEY}\s+\S")
_NO_SPACE_AFTER_DASH = re.compile(r"^\s*-(?=[^\s.\d-])")
_BULLET = re.compile(r"^\s*([*+\u2022\u2010-\u2015\u2212\u00b7])(?=\s)")
_FOREIGN_COMMENT = re.compile(r"^\s*(//|/\*|;|--|%)")
_HARD_SPACE = re.compile(r"^(?:\s|- *|[a-z0-9_]+:)*[\u00a0\u2000-\u200b\u202f\u3000\ufeff]")
"""A space that is not an ordinary one, where YAML needs one."""
_LINE_BREAK = re.compile(r"\r\n?|\n")
_QUOTED = re.compile(r"""(?<![^\s\[{,:])(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')""")


@dataclass(frozen=True, slots=True)
class Slip:
    """What is wrong, and where: line and column count from 0."""

    message: str
    line: int
    column: int


def find_slip(error: MarkedYAMLError, text: str) -> Slip:
    """The likeliest slip behind a syntax error."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = split_lines(text)
    found = (
        _in_one_text(error)
        or _tab(lines, line, column)
        or _open_quote(error, text, line)
        or _text_after_quote(lines, line, column)
        or _nearby(lines, line)
        or _in_brackets(error, lines, line, column)
        or _extra_bracket(error, lines, line, column)
        or _not_filled_in(lines, line)
        or _no_colon(error, lines)
        or _open_bracket(error, line)
        or _indentation(error, lines, line, column)
    )
    return found or Slip(_in_plain_words(error), line, column)


def split_lines(text: str) -> list[str]:
    """The lines as YAML counts them: `str.splitlines` breaks at other characters too."""
    return _LINE_BREAK.split(text)


def line_and_column(text: str, position: int) -> tuple[int, int]:
    """Of a character, both from 1."""
    lines = split_lines(text[:position])
    return len(lines), len(lines[-1]) + 1


def foreign_secret(tag: str) -> str:
    """What to write instead of another program's tag for a secret; "" for any other tag."""
    return "is not a tag here: write {env: NAME} or {file: PATH}" if _FOREIGN_SECRET.match(tag) else ""


def no_space(key: str) -> str:
    """The same words wherever it is found."""
    return f"a space is missing after `{key}:`"


def glued_key(text: str) -> tuple[str, str]:
    """The key of `key:value`, `key=value` or `key value`, and what to write; ("", "") for any other text."""
    if found := _NO_SPACE.match(text):
        return found[1], no_space(found[1])
    if found := _NO_COLON.match(f"{text}:") or _WORDS.match(text):
        return found[1], _colon(found[1])
    return "", ""


def _colon(key: str) -> str:
    return f"write `{key}: ` and the value: a key ends with one colon and a space"


def _in_one_text(error: MarkedYAMLError) -> Slip | None:
    """What is wrong within one text is reported where the text begins."""
    opening = error.context_mark
    if opening is None:
        return None
    if error.context == "while scanning a block scalar":
        return Slip("text that begins with | or > needs quotes", opening.line, opening.column)
    if re.search("expected escape sequence|unknown escape character", str(error.problem)):
        return Slip(_BACKSLASH, opening.line, opening.column)
    return None


def _tab(lines: list[str], line: int, column: int) -> Slip | None:
    if line >= len(lines):
        return None
    if "\t" in (indent := lines[line][: _indent(lines[line])]):
        return Slip("is indented with a tab: write spaces, two for each level", line, indent.index("\t"))
    if lines[line][column : column + 1] != "\t":
        return None
    behind = lines[line][column:].strip()
    return Slip("is a tab: write a space" if behind else "a tab ends the line: remove it", line, column)


def _open_quote(error: MarkedYAMLError, text: str, line: int) -> Slip | None:
    """A quote that is not closed on its line ends where the next one opens, and what follows that makes no sense."""
    opening: StreamMark | None = None
    if error.context == "while scanning a quoted scalar":
        opening = error.context_mark
    ends = {end.line: start for start, end in _quoted_over_lines(text)}
    at = opening.line if opening else line
    while (start := ends.get(at)) is not None and start.line < at:
        opening, at = start, start.line
    if opening is None:
        return None
    if split_lines(text)[at].rstrip(" ]},").endswith('\\"'):
        return Slip(_BACKSLASH, at, opening.column)
    return Slip("a quote that opens here is not closed on its line: close it where the text ends", at, opening.column)


def _quoted_over_lines(text: str) -> Iterator[tuple[StreamMark, StreamMark]]:
    """(start, end) of each quoted text that ends on another line, up to the error."""
    try:
        for token in YAML(typ="safe", pure=True).scan(text):
            quoted = isinstance(token, ScalarToken) and token.style in ("'", '"')
            if quoted and token.start_mark.line < token.end_mark.line:
                yield token.start_mark, token.end_mark
    except MarkedYAMLError:
        return


def _text_after_quote(lines: list[str], line: int, column: int) -> Slip | None:
    """A quote closes a text too early: the one that was to close the text is missing, or the text holds a quote."""
    text = lines[line] if line < len(lines) else ""
    before = [each for each in _QUOTED.finditer(text) if each.end() <= column]
    if not before:
        return None
    quoted, end = before[-1], before[-1].end()
    following = end + _indent(text[end:])
    if text[following : following + 1] in ("", *",]}:#"):
        return None
    if following > end:
        if text[following] in "'\"":
            return Slip("a comma is missing before this text", line, following)
        return Slip("text follows a closing quote: put all of it in the quotes, or remove it", line, following)
    if text[end] == ";":
        return Slip("write a comma, not a semicolon", line, end)
    if re.search(r"[,:{\[]\s*$", quoted.group()[:-1]):  # it is closed where the next text was to begin
        return Slip("a quote that opens here is not closed: close it where the text ends", line, quoted.start())
    mark, other = ("'", "double") if quoted.group()[0] == "'" else ('"', "single")
    message = f"the quote that opens here is closed in column {end}: text that holds {mark} belongs in {other} quotes"
    return Slip(message, line, quoted.start())


def _nearby(lines: list[str], line: int) -> Slip | None:
    """On the line of the error or the last one above it that holds something."""
    above = [index for index in range(min(line, len(lines) - 1), -1, -1) if lines[index].strip()][:2]
    for index in above:
        text = lines[index]
        if found := _HARD_SPACE.match(text):
            return Slip(
                "holds an invisible character or a special space: write an ordinary space", index, found.end() - 1
            )
        if found := _NO_SPACE_AFTER_DASH.match(text):
            return Slip("a space is missing after `-`", index, found.end())
        if found := _BULLET.match(text):
            return Slip("write `- ` here: an item of a list begins with a dash", index, found.start(1))
        if found := _NO_SPACE.match(text):
            return Slip(no_space(found[1]), index, found.end())
        if found := _NO_COLON.match(text):
            return Slip(_colon(found[1]), index, found.end() - 1)
    return None


def _in_brackets(error: MarkedYAMLError, lines: list[str], line: int, column: int) -> Slip | None:
    """What is wrong with an entry between { and }, or [ and ]."""
    opening = error.context_mark
    if not str(error.context).startswith("while parsing a flow") or line >= len(lines):
        return None
    for index in range(opening.line if opening else line, line + 1):
        if comment := re.search(r"\s#", _QUOTED.sub(lambda each: "x" * len(each.group()), lines[index])):
            message = "what follows a space and # is a comment: put text that holds it in quotes"
            if index < line or comment.start() < column:
                return Slip(message, index, comment.end() - 1)
    before, at = lines[line][:column], lines[line][column : column + 1]
    if at in ("[", "{", '"', "'") and (glued := re.search(rf"{_KEY}:$", before)):
        return Slip(no_space(glued[1]), line, column)
    if at == ":" and (entry := re.search(rf"[^\s:](;?) +{_KEY}$", before)):
        what = "write a comma, not a semicolon, before" if entry[1] else "a comma is missing before"
        return Slip(f"{what} `{entry[2]}:`", line, entry.start(2))
    if opening is None or opening.line < line:
        return None
    if at == ":":
        return Slip("text that holds ': ' needs quotes", line, column)
    if at in ("]", "}"):
        wanted, begun = ("]", "[") if at == "}" else ("}", "{")
        return Slip(f"what begins with {begun} ends with {wanted}, not with {at}", line, column)
    return None


def _no_colon(error: MarkedYAMLError, lines: list[str]) -> Slip | None:
    key = error.context_mark
    if error.context != "while scanning a simple key" or key is None:
        return None
    if _FOREIGN_COMMENT.match(lines[key.line]):
        return Slip("is not YAML here: a comment begins with #", key.line, key.column)
    return Slip("is not YAML here: a key ends with a colon and a space", key.line, key.column)


def _extra_bracket(error: MarkedYAMLError, lines: list[str], line: int, column: int) -> Slip | None:
    if line >= len(lines):
        return None
    before, at = lines[line][:column], lines[line][column : column + 1]
    if at in ("]", "}"):
        return Slip(f"a {at} that closes nothing: remove it", line, column)
    another = at == "," or (at in ("[", '"', "'") and before.rstrip().endswith(("]", ",")))
    if another and "expected <block end>" in str(error.problem):
        return Slip("a list on one line is written in one pair of [ ]", line, column)
    if before.endswith(("]", "}")) and at.isalnum():
        return Slip(f"text that holds {before[-1]} needs quotes", line, column - 1)
    return None


def _not_filled_in(lines: list[str], line: int) -> Slip | None:
    if line < len(lines) and (column := lines[line].find("${")) >= 0:
        message = f"{NOT_FILLED_IN}: write a secret as {{env: NAME}}, anything else itself or with --set KEY=VALUE"
        return Slip(message, line, column)
    return None


def _open_bracket(error: MarkedYAMLError, line: int) -> Slip | None:
    """A list or mapping in brackets that the error's line is no longer part of."""
    opening = error.context_mark
    if error.context not in ("while parsing a flow sequence", "while parsing a flow mapping") or opening is None:
        return None
    return Slip(_in_plain_words(error), opening.line, opening.column) if opening.line < line else None


def _indentation(error: MarkedYAMLError, lines: list[str], line: int, column: int) -> Slip | None:
    if line >= len(lines):
        return None
    indent = _indent(lines[line])
    above = next((index for index in range(line - 1, -1, -1) if lines[index].strip()), None)
    second_colon = ":" in lines[line][:column]
    if error.problem == "mapping values are not allowed here" and second_colon:
        return Slip("text that holds ': ' needs quotes", line, column)
    if error.problem == "mapping values are not allowed here" and above is not None and indent > _indent(lines[above]):
        spaces = _key_column(lines[above])
        message = (
            f"is indented deeper than line {above + 1}, which has a value already: begin it in column {spaces + 1}"
        )
        return Slip(message, line, indent)
    if "expected <block end>" in str(error.problem) and error.context_mark is not None and column == indent:
        mark = error.context_mark
        if column == mark.column and lines[line].startswith("-", column):
            return Slip("an item of a list among the keys of a mapping: remove the dash, or indent it", line, column)
        if column == mark.column:
            message = f"a list begins above (line {mark.line + 1}): begin each of its items with `- `, the keys of one "
            return Slip(f"{message}in column {_key_column(lines[mark.line]) + 1}", line, column)
        what = "items of its list" if lines[mark.line][mark.column :].startswith("-") else "keys of its mapping"
        message = (
            f"begins in column {column + 1}, between levels: the {what} (line {mark.line + 1}) begin in column "
            f"{mark.column + 1}, and each level has two spaces more"
        )
        return Slip(message, line, column)
    return None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _key_column(line: str) -> int:
    """Where the key of a line begins, behind the dash of a list's item."""
    return (
        len(line) - len(line.lstrip().removeprefix("-").lstrip()) if line.lstrip().startswith("- ") else _indent(line)
    )


_PLAIN_WORDS = (
    ("sequence entries are not allowed", "the first item of a list begins on the next line; on this one write [ ]"),
    ("expected '<document start>'", "is indented less than the first line: begin both in column 1"),
    ("mapping keys are not allowed here", "text that begins with ? needs quotes"),
    ("cannot start any token", "is not YAML here: text that begins with a special character needs quotes"),
    ("mapping values are not allowed", "is not YAML here: text that holds ': ' needs quotes, or a line is indented"),
    ("undefined alias", "text that begins with * needs quotes (unquoted, it is a YAML alias)"),
    ("undefined tag handle", "text that begins with ! needs quotes (unquoted, it is a YAML tag)"),
    ("expected ',' or ']'", "is not YAML here: a list that begins with [ has no closing ], or lacks a comma"),
    ("expected ',' or '}'", "is not YAML here: a mapping that begins with { has no closing }, or lacks a comma"),
    ("did not find expected node content", "is not YAML here: a value is missing, or there is an extra bracket"),
    ("expected the node content", "is not YAML here: a value is missing, or there is an extra bracket"),
    ("expected <block end>", "does not line up with the lines above: check the indentation and the quotes"),
    ("unexpected end of stream", "a quote is not closed before the end of the file"),
    ("special characters are not allowed", "holds control characters"),
    ("expected a single document", "holds a second document (after ---): one file holds one configuration"),
    ("but found another document", "holds a second document (after ---): one file holds one configuration"),
    ("after document end marker", "holds something after the end of the document (...): remove it"),
    ("expected alphabetic or numeric character", "text that begins with & or * needs quotes"),
)


_FIT_TO_SHOW = re.compile(r"""(?:[^'"]|'(?:<[a-z ]+>|[^\w\s'"]{1,2})')*""")
"""Words of the library, with what it quotes itself (`','` or `'<stream end>'`), and none from the file."""


def _in_plain_words(error: MarkedYAMLError) -> str:
    # Never with the snippet or the quoted words that the library adds: the line may hold a password.
    original = " ".join(filter(None, (error.context, error.problem)))
    for words, plain in _PLAIN_WORDS:
        if words in original:
            return plain
    problem = error.problem or "wrong syntax"
    shown = _FIT_TO_SHOW.match(problem)
    cut = shown.group() if shown else ""
    return f"is not YAML here: {cut}{'...' if cut != problem else ''}"
