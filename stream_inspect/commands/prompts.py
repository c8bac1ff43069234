"""Shows and changes the defects of a configuration file, also while the service runs on it (`config_file.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from stream_inspect.commands.config_file import ConfigFileError, backup_of, config_of, read_text, replace_text
from stream_inspect.config import edit
from stream_inspect.config.models import Config, DefectConfig
from stream_inspect.config.problems import did_you_mean
from stream_inspect.errors import UsageError
from stream_inspect.inspect.detect.detector import ModelError
from stream_inspect.inspect.prompt_length import refuse_long_prompts
from stream_inspect.tiny import scope

Severity = Literal["minor", "major", "critical"]


def show(path: Path, defect: str | None = None) -> str:
    """The defects of a configuration file (or one of them) in plain text.

    Raises `UsageError` when the file is invalid or has no such defect.
    """
    config = config_of(read_text(path), path)
    chosen = config.defects if defect is None else [config.defects[_index(config, defect)]]
    return _answer(config, chosen)


def set_prompts(
    path: Path,
    defect: str,
    *,
    prompts: Sequence[str] | None = None,
    counter_prompts: Sequence[str] | None = None,
    threshold: float | None = None,
    min_area_mm2: float | None = None,
    min_area_px: float | None = None,
    severity: Severity | None = None,
) -> str:
    """Change the given values of a defect; returns the changed defect in plain text.

    Raises `UsageError` when there is no such defect or the file would become invalid, `ConfigFileError` when the file
    cannot be changed.
    """
    changes: dict[str, edit.Value] = {
        "prompts": prompts,
        "counter_prompts": counter_prompts,
        "threshold": threshold,
        "min_area_mm2": min_area_mm2,
        "min_area_px": min_area_px,
        "severity": severity,
    }
    changes = {key: value for key, value in changes.items() if value is not None}
    if not changes:
        raise UsageError("nothing to change: give prompts, counter-prompts, a threshold, a minimum area or a severity")

    def changed(text: str) -> str:
        index = _index(config_of(text, path), defect)
        for key, value in changes.items():
            text = edit.set_value(text, ("defects", index, key), value)
        return text

    config = _edited(path, changed, f"{defect} already has these values; nothing was changed")
    return _answer(config, [config.defects[_index(config, defect)]])


def add(
    path: Path,
    defect: str,
    prompts: Sequence[str],
    *,
    counter_prompts: Sequence[str] = (),
    threshold: float | None = None,
    min_area_mm2: float | None = None,
    min_area_px: float | None = None,
    severity: Severity | None = None,
) -> str:
    """Append a defect; returns it in plain text. Raises the same errors as `set_prompts`."""
    item: dict[str, edit.Value] = {
        "name": defect,
        "prompts": list(prompts),
        "counter_prompts": list(counter_prompts) or None,
        "threshold": threshold,
        "min_area_mm2": min_area_mm2,
        "min_area_px": min_area_px,
        "severity": severity,
    }

    def changed(text: str) -> str:
        if any(each.name == defect for each in config_of(text, path).defects):
            raise UsageError(f"defect {defect} already exists: change it with `prompts set`")
        return edit.append_item(text, ("defects",), {key: value for key, value in item.items() if value is not None})

    config = _edited(path, changed)
    return _answer(config, [config.defects[_index(config, defect)]])


def remove(path: Path, defect: str) -> str:
    """Remove a defect; returns the remaining ones in plain text. Raises the same errors as `set_prompts`."""

    def changed(text: str) -> str:
        config = config_of(text, path)
        if len(config.defects) == 1:
            raise UsageError(f"cannot remove {defect}: at least one defect must remain")
        return edit.remove_item(text, ("defects", _index(config, defect)))

    config = _edited(path, changed)
    return _answer(config, config.defects)


def undo(path: Path) -> str:
    """Revert the last change (a second `undo` reapplies it); returns the defects in plain text.

    Raises `ConfigFileError` when there is nothing to undo.
    """
    backup = backup_of(path.resolve())
    try:
        before = backup.read_bytes().decode()
    except FileNotFoundError:
        raise ConfigFileError(f"nothing to undo: {backup} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigFileError(f"cannot read {backup}: {error}") from None
    config = _edited(path, lambda _: before)
    return _answer(config, config.defects)


def _edited(path: Path, change: Callable[[str], str], unchanged: str = "nothing was changed") -> Config:
    """Replace the file by the changed text and return its configuration."""

    def accept(config: Config) -> None:
        with suppress(ModelError):  # a model that is not on this computer is the service's concern
            refuse_long_prompts(config.inspect.detector, config.defects, config.part_prompts)

    return replace_text(path, change, unchanged, accept)


def _index(config: Config, defect: str) -> int:
    names = [each.name for each in config.defects]
    if defect not in names:
        raise UsageError(f"no defect named {defect!r}; available: {', '.join(names)}.{did_you_mean(defect, names)}")
    return names.index(defect)


def _answer(config: Config, defects: Sequence[DefectConfig]) -> str:
    """The defects in plain text, and what the embedded models make of them."""
    paragraphs = [_described(each) for each in defects]
    if text := scope.cameras_warning(config):
        paragraphs.append(f"warning: {text}; {scope.ADVICE}")
    is_tiny = config.inspect.detector.model == scope.TINY
    if is_tiny and (text or scope.unknown_prompts(defects)):
        paragraphs.append(f"warning: {scope.words(defects)}")
    return "\n\n".join(paragraphs)


def _described(found: DefectConfig) -> str:
    area = [
        f"at least {found.min_area_mm2:g} mm²" if found.min_area_mm2 else "",
        f"at least {found.min_area_px:g} px²" if found.min_area_px else "",
    ]
    facts = [f"threshold {found.threshold:g}", found.severity, *filter(None, area)]
    lines = [f"{found.name}: {', '.join(facts)}", f"  prompts: {', '.join(found.prompts)}"]
    if found.counter_prompts:
        lines.append(f"  counter-prompts: {', '.join(found.counter_prompts)}")
    return "\n".join(lines)
