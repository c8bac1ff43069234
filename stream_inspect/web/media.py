"""The picture and the clip of an event: where they are, and why one is missing. All in words for the page.

The state folder may lie on a disk that hangs. It is asked in threads, a few at a time, and the event loop of the web
server, which carries the live pictures, never waits for it.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

from stream_inspect.config.models import RecorderConfig
from stream_inspect.errors import StreamInspectError
from stream_inspect.messages import ConditionKind, Event, EventState
from stream_inspect.store.files import clip_name, picture_name
from stream_inspect.store.missing_clip import NOT_FINISHED

_ANSWERS_WITHIN_S = 2.0
_ASKED_AT_ONCE = 4
"""Threads that a hanging disk can hold, of the forty that also serve the page's own files."""
_PICTURE_WITHIN_S = 30.0
_CLIP_WRITTEN_WITHIN_S = 60.0
_DAY_S = 86_400.0
_BEING_WRITTEN, _UNKNOWN = "being written", "not recorded, or removed"


class DiskHangsError(StreamInspectError):
    """The state folder has not answered in time."""


class MediaFiles:
    """Asks the state folder for files by their relative names. For one event loop."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._limiter = anyio.CapacityLimiter(_ASKED_AT_ONCE)

    def path(self, name: str) -> str:
        return f"{self._state_dir}/{name}"

    async def status(self, name: str) -> os.stat_result | None:
        """The file's; None where it does not exist. Raises `DiskHangsError`, or waits with the disk as one of a few."""
        try:
            with anyio.fail_after(_ANSWERS_WITHIN_S):
                return await to_thread.run_sync(_status_of_file, self.path(name), limiter=self._limiter)
        except TimeoutError:
            raise DiskHangsError(f"{self._state_dir} has not answered for {_ANSWERS_WITHIN_S:g} s") from None


def _status_of_file(path: str) -> os.stat_result | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


@dataclass(slots=True)
class Media:
    """The files of one event, as the page shows them: an address relative to it, or why there is none."""

    event: Event
    known_mono_s: float
    """When the event became known here, and its age then: from there on no step of the wall clock counts."""
    age_then_s: float
    has_picture: bool = False
    has_clip: bool = False
    clip_missing: str = ""
    """Why there is no clip, as the recorder has it on record."""

    @property
    def names(self) -> list[str]:
        """The files that are not there yet."""
        found = ((self.has_picture, picture_name), (self.has_clip or self._stands_alone, clip_name))
        return [name(self.event.id) for is_there, name in found if not is_there]

    def note(self, present: set[str]) -> None:
        """These files of the state folder exist."""
        self.has_picture = self.has_picture or picture_name(self.event.id) in present
        self.has_clip = self.has_clip or clip_name(self.event.id) in present

    def age_s(self) -> float:
        """Of the event, now."""
        return self.age_then_s + time.monotonic() - self.known_mono_s

    def is_awaited(self, recorder: RecorderConfig) -> bool:
        """Whether a file may still come."""
        is_final = self.clip_missing not in ("", NOT_FINISHED) and self.has_picture
        return bool(self.names) and not is_final and self.age_s() <= clip_within_s(recorder)

    def card(self, recorder: RecorderConfig, stops: Iterable[Event]) -> dict[str, str | None]:
        """What the page shows. `stops` are the `recording_stopped` events of the log."""
        event_id = self.event.id
        return {
            "picture": picture_name(event_id) if self.has_picture else None,
            "clip": clip_name(event_id) if self.has_clip else None,
            "no_picture": "" if self.has_picture else self._why_missing(recorder, stops, _PICTURE_WITHIN_S),
            "no_clip": "" if self.has_clip else self._why_no_clip(recorder, stops),
        }

    @property
    def _stands_alone(self) -> bool:
        """Whether it was seen in a single picture, of which there is no clip."""
        return self.event.picture is not None and self.event.clip is None

    def _why_no_clip(self, recorder: RecorderConfig, stops: Iterable[Event]) -> str:
        if self._stands_alone:
            return "not made: this is a single picture"
        why = self._why_missing(recorder, stops, clip_within_s(recorder))
        if self.clip_missing == NOT_FINISHED:
            return why if why != _UNKNOWN else "not recorded: the recorder was stopped before it was finished"
        on_record = f"not recorded: {self.clip_missing.replace('_', ' ')}"
        return on_record if self.clip_missing and why in (_BEING_WRITTEN, _UNKNOWN) else why

    def _why_missing(self, recorder: RecorderConfig, stops: Iterable[Event], within_s: float) -> str:
        if not recorder.enabled:
            return "not recorded: recorder off"
        if self.age_s() > recorder.max_age_days * _DAY_S:
            return f"removed after {recorder.max_age_days:g} days"
        if any(_overlap(stop, self.event) for stop in stops):
            return "not recorded: recording stopped"
        return _BEING_WRITTEN if self.age_s() <= within_s else _UNKNOWN


def media_of(event: Event) -> Media:
    """Of an event that has just become known."""
    return Media(event, time.monotonic(), max(0.0, time.time() - event.first_seen_utc_ns / 1e9))


def clip_within_s(recorder: RecorderConfig) -> float:
    """The clip of an event is on disk by this age of the event, or was not recorded."""
    return recorder.max_clip_s + recorder.post_roll_s + _CLIP_WRITTEN_WITHIN_S


def is_recording_stop(event: Event) -> bool:
    """Whether this event reports a time without recording."""
    return event.kind == "condition" and event.name == ConditionKind.RECORDING_STOPPED


def _overlap(stop: Event, event: Event) -> bool:
    has_ended = stop.state is EventState.CLEARED and stop.last_seen_utc_ns < event.first_seen_utc_ns
    return stop.first_seen_utc_ns <= event.last_seen_utc_ns and not has_ended
