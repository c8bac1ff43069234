"""Shows and changes the defects of a configuration file, also while the service runs on it.

The whole file is validated before it replaces the old one, so an invalid change is rejected as a whole. The replacement
is one rename: a running service reads the old file or the new one. The previous version is kept as `FILE.undo`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from stream_inspect.config import edit
from stream_inspect.config.load import load_text
from stream_inspect.config.models import Config, DefectConfig
from stream_inspect.config.problems import did_you_mean
from stream_inspect.errors import StreamInspectError, UsageError
from stream_inspect.inspect.detect.detector import ModelError
from stream_inspect.inspect.prompt_length import refuse_long_prompts
from stream_inspect.store.durable import sync_folder
from stream_inspect.tiny import scope

Severity = Literal["minor", "major", "critical"]


class PromptEditError(StreamInspectError):
    """A valid change cannot be made; the file is unchanged. The text says what to do."""


def show(path: Path, defect: str | None = None) -> str:
    """The defects of a configuration file (or one of them) in plain text.

    Raises `UsageError` when the file is invalid or has no such defect.
    """
    config = _config(_read(path), path)
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

    Raises `UsageError` when there is no such defect or the file would become invalid, `PromptEditError` when the file
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
        index = _index(_config(text, path), defect)
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
        if any(each.name == defect for each in _config(text, path).defects):
            raise UsageError(f"defect {defect} already exists: change it with `prompts set`")
        return edit.append_item(text, ("defects",), {key: value for key, value in item.items() if value is not None})

    config = _edited(path, changed)
    return _answer(config, [config.defects[_index(config, defect)]])


def remove(path: Path, defect: str) -> str:
    """Remove a defect; returns the remaining ones in plain text. Raises the same errors as `set_prompts`."""

    def changed(text: str) -> str:
        config = _config(text, path)
        if len(config.defects) == 1:
            raise UsageError(f"cannot remove {defect}: at least one defect must remain")
        return edit.remove_item(text, ("defects", _index(config, defect)))

    config = _edited(path, changed)
    return _answer(config, config.defects)


def undo(path: Path) -> str:
    """Revert the last change (a second `undo` reapplies it); returns the defects in plain text.

    Raises `PromptEditError` when there is nothing to undo.
    """
    backup = _backup(path.resolve())
    try:
        before = backup.read_bytes().decode()
    except FileNotFoundError:
        raise PromptEditError(f"nothing to undo: {backup} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PromptEditError(f"cannot read {backup}: {error}") from None
    config = _edited(path, lambda _: before)
    return _answer(config, config.defects)


def _edited(path: Path, change: Callable[[str], str], unchanged: str = "nothing was changed") -> Config:
    """Replace the file by the changed text and return its configuration."""
    path = path.resolve()  # a symbolic link stays; the file it points to is replaced
    before = _read(path)
    after = change(before)
    if after == before:
        raise PromptEditError(unchanged)
    config = _config(after, path)
    with suppress(ModelError):  # a model that is not on this computer is the service's concern
        refuse_long_prompts(config.inspect.detector, config.defects, config.part_prompts)
    try:
        _replace(_backup(path), before, like=path)
        if _read(path) != before:
            raise PromptEditError(f"{path} was changed by another program at the same time: try again")
        _replace(path, after, like=path)
    except OSError as error:
        raise PromptEditError(f"cannot write {path}: {error.strerror}") from None
    return config


def _config(text: str, path: Path) -> Config:
    """The configuration of a text that is, or is about to be, in the file. Its secrets need not be available here."""
    return load_text(text, path, fetch_secrets=False)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")  # not read_text: line ends stay as they are
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None


def _backup(path: Path) -> Path:
    return path.with_name(path.name + ".undo")


def _replace(path: Path, text: str, like: Path) -> None:
    """Replace a file atomically, with the mode and owner of `like`; on return it is on disk."""
    status = like.stat()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fchmod(file.fileno(), status.st_mode & 0o777)
            with suppress(PermissionError):  # only root may give a file away
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    sync_folder(path.parent)


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
