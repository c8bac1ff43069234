"""The findings of a check, as data and as plain text."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from stream_inspect.findings import Finding, Level


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the order of the configuration."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Nothing failed; there may be warnings."""
        return all(finding.level is not Level.FAIL for finding in self.findings)

    def to_text(self, columns: int | None = None) -> str:
        """One line for each finding, its advice below it, and a summary line. With `columns`, wrapped to fit."""
        width = max((len(finding.item) for finding in self.findings), default=0)
        lines = []
        for finding in self.findings:
            lines += _wrapped(f"{finding.level:<4}  {finding.item:<{width}}  ", finding.text, columns)
            if finding.advice:
                lines += _wrapped(f"{'':<4}  {'':<{width}}  -> ", finding.advice, columns)
        return "\n".join([*lines, "", self._summary()])

    def _summary(self) -> str:
        failed = sum(finding.level is Level.FAIL for finding in self.findings)
        warned = sum(finding.level is Level.WARN for finding in self.findings)
        if not failed and not warned:
            return "All checks passed."
        counted = [_count(failed, "failure")] if failed else []
        counted += [_count(warned, "warning")] if warned else []
        return f"{' and '.join(counted)}: {'the service will not work' if failed else 'the service will run'}."


def _wrapped(head: str, text: str, columns: int | None) -> list[str]:
    """Wrapped and indented lines; no word is cut, so that commands and paths can be copied."""
    if columns is None:
        return [head + text]
    parts = textwrap.wrap(text, max(20, columns - len(head)), break_long_words=False, break_on_hyphens=False)
    return [(head if number == 0 else " " * len(head)) + part for number, part in enumerate(parts)] or [head]


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number != 1 else ''}"
