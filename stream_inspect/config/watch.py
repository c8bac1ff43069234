"""Notices that the configuration file has changed, and reads it again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from stream_inspect.config.load import load
from stream_inspect.config.models import Config
from stream_inspect.config.problems import ConfigError, Problem

SETTLE_S = 0.1
"""A file written in place is read when it has stayed the same for this long: an editor may be in the middle of it."""
_GONE_S = 2.0
"""Editors that replace a file may remove it for a moment."""

_Signature = tuple[int, int, int, int]
_UNREAD: _Signature = (0, 0, 0, 0)


class ConfigWatcher:
    """Polled to find out whether the configuration file has changed; costs one stat when it has not.

    A file that replaces the old one (as `stream-inspect prompts` and most editors write) is taken at once, one that is
    written in place after `SETTLE_S`. A wrong file is rejected whole: the configuration stays as it was.

    `current` is the configuration in use. The first poll compares the file with it, so that a restarted process, whose
    configuration is that of the start of the run, adopts what has changed since; without it the first poll returns what
    the file holds.
    """

    def __init__(self, path: Path, overrides: Sequence[str] = (), current: Config | None = None) -> None:
        self._path = path
        self._overrides = tuple(overrides)
        self._current = current
        self._taken: _Signature | None = _UNREAD
        self._seen: _Signature | None = _UNREAD
        self._seen_mono_s = time.monotonic()
        self.wrong = False
        """Whether the file, as last read, is rejected: false again once it is fixed, also when that changes nothing."""

    def poll(self) -> Config | None:
        """The new configuration, or None when nothing has changed. Raises `ConfigError` once for a wrong change."""
        signature = self._signature()
        if signature == self._taken:
            self._seen = signature
            return None
        now_s = time.monotonic()
        if signature != self._seen:
            replaced = signature is not None and (self._seen is None or signature[0] != self._seen[0])
            self._seen, self._seen_mono_s = signature, now_s
            if replaced and (config := self._loads()) is not None:
                return self._take(signature, config)
        if now_s - self._seen_mono_s < (SETTLE_S if signature is not None else _GONE_S):
            return None
        self._taken = signature
        if signature is None:
            self.wrong = True
            message = "the configuration file is missing; keeping the current configuration"
            raise ConfigError([Problem(str(self._path), None, None, "", message)])
        self.wrong = True
        return self._take(signature, load(self._path, self._overrides))

    def _loads(self) -> Config | None:
        try:
            return load(self._path, self._overrides)
        except ConfigError:
            return None  # perhaps not completely written; reported when it stays so

    def _take(self, signature: _Signature | None, config: Config) -> Config | None:
        self._taken = signature
        self.wrong = False
        if config == self._current:
            return None  # saved without a change
        self._current = config
        return config

    def _signature(self) -> _Signature | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
