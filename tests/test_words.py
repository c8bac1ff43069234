"""The words that people read: no banned phrase in a message, a help text, on the page, in the code or the documents.

The phrases and what to write instead are the table in docs/words.md.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from stream_inspect.cli import app
from stream_inspect.commands.schemas import SCHEMAS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "stream_inspect"
TABLE = "| instead of | write | allowed in |"
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
NOT_FOR_AN_EXCEPTION = {"reason", "trouble", "why", "how", "detail", "exc", "message"}


class Text(NamedTuple):
    """Something that a person may read, and where it is written."""

    where: str
    text: str


class Phrase(NamedTuple):
    """A row of the table: one of these is not used, but in one of the longer phrases `allowed`."""

    words: tuple[str, ...]
    instead: str
    allowed: tuple[str, ...]

    def stands_in(self, text: str) -> bool:
        flat = " ".join(text.lower().split())
        for longer in self.allowed:
            flat = flat.replace(longer, "")
        return any(re.search(rf"\b{re.escape(words)}\b", flat) for words in self.words)


def banned() -> list[Phrase]:
    section = (ROOT / "docs" / "words.md").read_text().partition(TABLE)[2]
    rows = [row.strip("|").split("|") for row in section.strip().splitlines()[1:] if row.startswith("|")]
    code = re.compile(r"`([^`]+)`")
    return [Phrase(tuple(code.findall(old)), new.strip(), tuple(code.findall(allowed))) for old, new, allowed in rows]


BANNED = banned()


# --- what is read ---


def python_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def literal(node: ast.AST) -> str | None:
    """The text of a string or an f-string, with {} for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) if isinstance(part, ast.Constant) else "{}" for part in node.values)  # type: ignore[misc]
    return None


def texts_of_code(source: str, name: str = "") -> Iterator[Text]:
    """Every string of more than one word that is not a docstring: messages are often put together before the raise."""
    tree = ast.parse(source)
    hidden = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    hidden |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        text = literal(node)
        if text is not None and id(node) not in hidden and " " in text.strip():
            yield Text(f"{name}:{getattr(node, 'lineno', 0)}", text)


def texts_for_readers_of_the_code(source: str, name: str = "") -> Iterator[Text]:
    """Docstrings and comments; a comment of several lines is one text."""
    comment: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comment.append(token.string.lstrip("# "))
        elif token.type != tokenize.NL and comment:
            yield Text(f"{name}:{token.start[0]}", " ".join(comment))
            comment = []
        if token.type == tokenize.STRING and token.string.startswith('"""'):
            yield Text(f"{name}:{token.start[0]}", token.string.strip('"'))


def log_calls(source: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOG_METHODS:
            owner = ast.unparse(node.func.value)
            if owner.rpartition(".")[2] in ("log", "_log", "logger", "_logger"):
                yield node


def help_texts() -> Iterator[Text]:
    def walk(command: Any, words: str) -> Iterator[Text]:
        yield Text(f"{words} --help", command.help or "")
        yield from (Text(f"{words} {each.name}", getattr(each, "help", "") or "") for each in command.params)
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{words} {name}")

    return walk(typer.main.get_command(app), "stream-inspect")


def descriptions() -> Iterator[Text]:
    def walk(value: Any, path: str) -> Iterator[Text]:
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            if key in ("description", "x-about", "x-rule") and isinstance(below, str):
                yield Text(path, below)
            elif isinstance(below, dict | list):
                yield from walk(below, f"{path}.{key}")

    for name, make in SCHEMAS.items():
        yield from walk(make(), f"{name} schema")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.texts += [
            value for name, value in attrs if name in ("title", "aria-label", "alt", "placeholder") and value
        ]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data)


def page_texts() -> Iterator[Text]:
    static = PACKAGE / "web" / "static"
    for path in sorted(static.glob("*.html")):
        page = _Page()
        page.feed(path.read_text())
        yield from (Text(path.name, text) for text in page.texts)
    for path in sorted(static.glob("*.js")):
        strings = re.findall(
            r'"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`', re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.M)
        )
        yield from (Text(path.name, text[1:-1]) for text in strings if " " in text)


def texts_of_a_document(markdown: str, name: str = "") -> Iterator[Text]:
    """Headings, paragraphs, list items and rows of tables.

    Not code blocks, `code`, which is read where it is from, nor addresses of links; nor the table of banned phrases.
    """
    prose = re.sub(r"^```.*?^```|`[^`]+`|(?<=\])\([^)\s]+\)", _blank, markdown.partition(TABLE)[0], flags=re.S | re.M)
    lines: list[str] = []
    for number, line in enumerate([*prose.splitlines(), ""], 1):
        if lines and re.match(r"\s*(?:$|[-#|] ?|\d+\. )", line):
            yield Text(f"{name}:{number - len(lines)}", "\n".join(lines))
            lines = []
        if line.strip():
            lines.append(line)


def _blank(match: re.Match[str]) -> str:
    """As many lines, so that what comes after keeps its number."""
    return "…" + "\n" * match.group().count("\n")


def texts_of_comments(source: str, name: str = "") -> Iterator[Text]:
    """The comments of a file whose comments begin with #; those of lines that follow one another are one text."""
    lines: list[str] = []
    for number, line in enumerate([*source.splitlines(), ""], 1):
        comment = re.search(r"(?:^|\s)#+ ?(.*)", line)
        if comment:
            lines.append(comment[1])
        elif lines:
            yield Text(f"{name}:{number - len(lines)}", "\n".join(lines))
            lines = []


def document_texts() -> Iterator[Text]:
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(PACKAGE.rglob("*.md"))]:
        yield from texts_of_a_document(path.read_text(), str(path.relative_to(ROOT)))
    for path in [*sorted((ROOT / "configs").glob("*.yaml")), *sorted((ROOT / "deploy").iterdir())]:
        name, source = str(path.relative_to(ROOT)), path.read_text()
        if path.suffix == ".py":
            yield from texts_of_code(source, name)
            yield from texts_for_readers_of_the_code(source, name)
        else:
            yield from texts_of_comments(source, name)


SOURCES = {
    "code": lambda: [
        t for path in python_files() for t in texts_of_code(path.read_text(), str(path.relative_to(ROOT)))
    ],
    "docstrings and comments": lambda: [
        text
        for path in python_files()
        for text in texts_for_readers_of_the_code(path.read_text(), str(path.relative_to(ROOT)))
    ],
    "help": lambda: list(help_texts()),
    "descriptions": lambda: list(descriptions()),
    "page": lambda: list(page_texts()),
    "documents": lambda: list(document_texts()),
}
FEWEST = {
    "code": 800,
    "docstrings and comments": 2000,
    "help": 60,
    "descriptions": 150,
    "page": 30,
    "documents": 1000,
}


# --- the rules ---


@pytest.mark.parametrize("kind", SOURCES)
def test_no_banned_phrase_is_read_by_anybody(kind: str) -> None:
    found = SOURCES[kind]()
    assert len(found) > FEWEST[kind]
    wrong = [
        f"{text.where}: {text.text!r} holds one of {phrase.words}: write {phrase.instead}"
        for text in found
        for phrase in BANNED
        if phrase.stands_in(text.text)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_text_of_an_exception_is_logged_as_error() -> None:
    wrong = []
    for path in python_files():
        for call in log_calls(path.read_text()):
            for keyword in call.keywords:
                text = ast.unparse(keyword.value)
                is_domain_reason = keyword.arg == "reason" and text.endswith(".reason")
                if keyword.arg in NOT_FOR_AN_EXCEPTION and not is_domain_reason:
                    wrong.append(f"{path.relative_to(ROOT)}:{call.lineno}: {keyword.arg}={text}")
    assert not wrong, "\n".join(wrong)


def test_the_logger_of_a_class_is_its_log() -> None:
    wrong = []
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and "get_logger(" in ast.unparse(node.value):
                wrong += [
                    f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(target)}"
                    for target in node.targets
                    if isinstance(target, ast.Attribute) and target.attr != "_log"
                ]
    assert not wrong, "\n".join(wrong)


def test_a_log_message_is_short_and_the_same_each_time() -> None:
    """What varies is in the fields, so that a message can be searched for and counted."""
    wrong = []
    for path in python_files():
        for call in log_calls(path.read_text()):
            event = call.args[0] if call.args else None
            for choice in [event.body, event.orelse] if isinstance(event, ast.IfExp) else [event]:
                is_fixed = isinstance(choice, ast.Name | ast.Subscript) or (
                    isinstance(choice, ast.Constant) and len(str(choice.value)) <= 72
                )
                wrong += [] if is_fixed else [f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call.func)}"]
    assert not wrong, "\n".join(wrong)


# --- the collector itself ---


def test_the_table_is_read_whole() -> None:
    words = [word for phrase in BANNED for word in phrase.words]
    assert len(BANNED) >= 30
    assert len(words) == len(set(words))
    assert all(phrase.words and phrase.instead for phrase in BANNED)


@pytest.mark.parametrize(
    "line",
    [
        '_log.error("it goes on like this, and will be tried for ever")',
        'raise ValueError(f"{path} is no folder")',
        "text = f\"{a if b else 'is no folder'}\"",
        'return fail(item, "the broker refused us")',
    ],
)
def test_a_banned_phrase_is_found_wherever_a_message_is_made(line: str) -> None:
    assert any(phrase.stands_in(text.text) for text in texts_of_code(line) for phrase in BANNED)


def test_docstrings_and_comments_are_read_too() -> None:
    source = 'def f() -> None:\n    """It runs for ever."""\n    # it goes\n    # on\n    pass  # like this\n'
    read = [text.text for text in texts_for_readers_of_the_code(source)]
    assert read == ["It runs for ever.", "it goes on", "like this"]


def test_documents_are_read_but_their_code_is_not() -> None:
    document = """# It goes

Wait `for ever`,
see [the life of a frame](for-ever.md).
- It runs
  for ever. `a span
  of two lines`
```
for ever
```
| for | ever |
| instead of | write | allowed in |
| `for ever` | until stopped | |
"""
    read = list(texts_of_a_document(document, "a.md"))
    assert [text.where for text in read] == ["a.md:1", "a.md:3", "a.md:5", "a.md:8", "a.md:11"]
    assert [text.where for text in read for phrase in BANNED if phrase.stands_in(text.text)] == ["a.md:5"]


def test_comments_of_a_configuration_are_read_and_its_values_are_not() -> None:
    source = "# It runs for\n# ever.\nurl: rtsp://a/#1   # the camera's\nname: for ever\n"
    assert [text.text for text in texts_of_comments(source)] == ["It runs for\never.\nthe camera's"]


@pytest.mark.parametrize(
    "line",
    [
        '"""A docstring is no message."""',
        'raise ValueError("there is no file /a: at least one is needed")',
        'raise ValueError("delivery continued as usual; the device is busy")',
    ],
)
def test_plain_words_are_left_alone(line: str) -> None:
    assert not any(phrase.stands_in(text.text) for text in texts_of_code(line) for phrase in BANNED)
