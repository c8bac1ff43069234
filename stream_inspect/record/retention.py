"""Removes clips and pictures that are too old, and the oldest ones where all of them are too large.

Where the size is reached before the age, evidence is kept for less time than was configured: the log says so once a day
for as long as it happens, and a metric always.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stream_inspect import log, metrics
from stream_inspect.record.kept_files import Kept, KeptFiles
from stream_inspect.store.durable import sync_folder
from stream_inspect.store.retention_clock import DAY_S, RetentionClock

_WARN_EVERY_S = DAY_S


@dataclass(frozen=True, slots=True)
class Limits:
    """What retention keeps."""

    max_age_s: float
    max_bytes: int
    min_free_bytes: int


class Retention:
    """Keeps `kept`, and the files in these folders, within the limits. For one thread."""

    def __init__(self, folders: Iterable[Path], limits: Limits, kept: KeptFiles, clock: RetentionClock) -> None:
        self._folders, self._limits, self._kept, self._clock = tuple(folders), limits, kept, clock
        self._now_s: float | None = None
        self._warn_at_mono_s = 0.0
        self._too_early = False
        """Whether the last removal came before its age."""
        self._log = log.get_logger(__name__)

    def apply(self) -> None:
        """Remove by age, then by size."""
        self._now_s = self._clock.now_s()
        while (oldest := self._kept.oldest()) and self._now_s - oldest.newest_s > self._limits.max_age_s:
            self._remove(oldest)
            self._removed_in_time()
        self.keep_within_size()

    def keep_within_size(self) -> None:
        """Remove by size."""
        removed = None
        while self._kept.total_bytes > self._limits.max_bytes and (oldest := self._kept.oldest()):
            self._remove(oldest)
            removed = oldest
        if removed:
            self._removed_early(removed)
            for folder in self._folders:
                with suppress(OSError):
                    sync_folder(folder)
        metrics.MEDIA_BYTES.set(self._kept.total_bytes)
        metrics.MEDIA_OLDEST.set(self._age_s(oldest) if (oldest := self._kept.oldest()) else 0.0)

    def _age_s(self, kept: Kept) -> float:
        now_s = time.time() if self._now_s is None else self._now_s
        return max(0.0, now_s - kept.newest_s)

    def _removed_early(self, kept: Kept) -> None:
        now_mono_s = time.monotonic()
        if now_mono_s >= self._warn_at_mono_s:
            self._warn_at_mono_s = now_mono_s + _WARN_EVERY_S
            self._log.warning(
                "clips removed before their age; recorder.max_size_gb is reached",
                kept_days=round(self._age_s(kept) / DAY_S, 2),
                max_age_days=round(self._limits.max_age_s / DAY_S, 2),
                max_size_gb=self._limits.max_bytes / 1e9,
            )
        self._too_early = True

    def _removed_in_time(self) -> None:
        if self._too_early:
            self._too_early = False
            self._log.info("clips are kept for recorder.max_age_days again")

    def _remove(self, kept: Kept) -> None:
        for path in kept.sizes:
            with suppress(OSError):
                os.unlink(path)
        self._kept.forget(kept)
