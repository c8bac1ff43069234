"""Replaces a configuration file by a changed text: validated first, in one rename, its last version kept next to it.

The whole file is validated before it replaces the old one, so an invalid change is rejected as a whole. A running
service reads the old file or the new one. The previous version is kept as `FILE.undo`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stream_inspect.config.load import load_text
from stream_inspect.config.models import Config
from stream_inspect.errors import StreamInspectError, UsageError
from stream_inspect.store.durable import sync_folder


class ConfigFileError(StreamInspectError):
    """A valid change cannot be made; the file is unchanged. The text says what to do."""


def config_of(text: str, path: Path) -> Config:
    """The configuration of a text that is, or is about to be, in the file. Its secrets need not be available here."""
    return load_text(text, path, fetch_secrets=False)


def read_text(path: Path) -> str:
    """The file's text, line ends as they are. Raises `UsageError`."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None


def backup_of(path: Path) -> Path:
    """Where the version before the last change is."""
    return path.with_name(path.name + ".undo")


def replace_text(
    path: Path,
    change: Callable[[str], str],
    unchanged: str = "nothing was changed",
    accept: Callable[[Config], None] = lambda _: None,
) -> Config:
    """Replace the file by the changed text and return its configuration, which `accept` may refuse by an error.

    Raises `UsageError` where the file would become invalid, `ConfigFileError` where it cannot be changed.
    """
    path = path.resolve()  # a symbolic link stays; the file it points to is replaced
    before = read_text(path)
    after = change(before)
    if after == before:
        raise ConfigFileError(unchanged)
    config = config_of(after, path)
    accept(config)
    try:
        _replace(backup_of(path), before, like=path)
        if read_text(path) != before:
            raise ConfigFileError(f"{path} was changed by another program at the same time: try again")
        _replace(path, after, like=path)
    except OSError as error:
        raise ConfigFileError(f"cannot write {path}: {error.strerror}") from None
    return config


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
