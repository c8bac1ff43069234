"""The problems of a configuration: all of them at once, each with its place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stream_inspect.config.synonyms import synonym
from stream_inspect.errors import UsageError

_WORD = re.compile(r"[\w.-]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. No field holds a secret."""

    file: str
    """The configuration file as the user named it, or the override: `--set web.port`."""
    line: int | None
    """From 1; None where the problem has no line (an override, an unreadable file)."""
    column: int | None
    """From 1."""
    key: str
    """The path of the key as the user writes it (`cameras[0].source.url`); empty for the whole file."""
    message: str
    """What is wrong, what is allowed, and what to do."""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"
        # The place of an override already names the key.
        key = "" if not self.key or place == f"--set {self.key}" else f"{self.key}: "
        return f"{place}: {key}{self.message}"


class ConfigError(UsageError):
    """The configuration is invalid. `problems` lists every problem, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(_once(sorted(problems, key=_in_file_order)))
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        head = f"{len(self.problems)} problems in the configuration:"
        return "\n".join([head, *(f"  {problem}" for problem in self.problems)])


def key_text(path: Sequence[str | int]) -> str:
    """A path as the user writes it: `cameras[0].source.url`.

    A key with a slip in it (`password=...`) ends where the slip begins: what follows may be a secret.
    """
    return "".join(f"[{step}]" if isinstance(step, int) else f".{_word(step)}" for step in path).removeprefix(".")


def _word(key: str) -> str:
    word = _WORD.match(key)
    shown = word.group() if word else ""
    return shown if shown == key else f"{shown}..."


def did_you_mean(wrong: object, known: Sequence[str], below: Sequence[str | int] = ()) -> str:
    """' Did you mean x?', or "" where no known word is similar. For a key, `below` is the path of its mapping."""
    text = str(wrong).strip().lower()
    if meant := synonym(text, known):
        return f" Did you mean {key_text((*below, meant))}?"
    by_lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(text, by_lower, n=1, cutoff=0.5)
    # A word that is contained in a known one (`rate` for `rate_hz`) is closer than difflib's ratio suggests.
    near = near or [word for word in by_lower if len(text) > 2 and (text in word or word in text)][:1]
    return f" Did you mean {key_text((*below, by_lower[near[0]]))}?" if near else ""


def _once(problems: Iterable[Problem]) -> Iterator[Problem]:
    """A value at an anchor is reported once, however many aliases use it."""
    reported = set()
    for problem in problems:
        at = (problem.line, problem.column, problem.key.rpartition(".")[2], problem.message)
        if problem.line is None or at not in reported:
            reported.add(at)
            yield problem


def _in_file_order(problem: Problem) -> tuple[bool, int, int, str]:
    return (problem.line is None, problem.line or 0, problem.column or 0, problem.key)
