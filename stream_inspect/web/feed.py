"""The events on the page: the newest of the event log, each with its picture and clip once they are on disk.

The event log is the truth, so no event can be missed: the `events` topic only says when to read it. A browser receives
all cards once and then those that changed. Log and files are followed by two tasks: where the one disk hangs, the other
does not wait for it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from stream_inspect import log
from stream_inspect.config.models import RecorderConfig
from stream_inspect.messages import Event, EventState
from stream_inspect.store.database import StoreError
from stream_inspect.store.events import EventStore, UnreadableEventError
from stream_inspect.store.files import clip_name
from stream_inspect.store.missing_clip import why_missing
from stream_inspect.web.media import Media, is_recording_stop, media_of

T = TypeVar("T")

CARDS_MAX = 200
_LOOK_EVERY_S = 1.0
_READ_MAX = 500
_ANSWERS_WITHIN_S = 6.0
"""A reading of the event log that takes longer hangs: SQLite gives up a lock after 5 s."""


class EventFeed:
    """Runs in the event loop of the web server; `run` is its task, `notify` may be called from any thread."""

    def __init__(self, store: Callable[[], EventStore], state_dir: Path, recorder: RecorderConfig) -> None:
        self._open_store = store
        self._state_dir = state_dir
        self._recorder = recorder
        self._cards: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._media: dict[str, Media] = {}
        """Of the defects among the cards."""
        self._awaited: set[str] = set()
        """Ids of those whose files may still come."""
        self._stops: dict[str, Event] = {}
        """The times without recording: those among the cards, and those that last."""
        self._cursor = 0
        self._changes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._look = asyncio.Event()
        self._changed = asyncio.Event()
        self._error = ""
        self._asked_mono_s: float | None = None
        """Since when a reading of the log has been under way."""
        self._log = log.get_logger(__name__)

    @property
    def changes(self) -> int:
        """Increases with each change; a browser remembers the last one that it has seen."""
        return self._changes

    @property
    def error(self) -> str:
        """Why the event log cannot be read; "" while it can."""
        waited_s = time.monotonic() - self._asked_mono_s if self._asked_mono_s is not None else 0.0
        return f"no answer for {waited_s:.0f} s" if waited_s > _ANSWERS_WITHIN_S else self._error

    def notify(self) -> None:
        """Read the log now: it has a new event."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._look.set)

    def wake_waiters(self) -> None:
        """Wake every `wait`. May be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Cards, newest first."""
        return [card for _, card in zip(range(limit), reversed(self._cards.values()), strict=False)]

    def changed_since(self, change: int) -> list[dict[str, Any]]:
        """Cards that are new or different, oldest first."""
        return [card for card in self._cards.values() if card["change"] > change]

    async def wait(self, timeout_s: float) -> None:
        """Return at the next change, or after `timeout_s`."""
        changed = self._changed
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await changed.wait()

    async def run(self) -> None:
        """Follow the event log and the files until cancelled; retry while the log cannot be read."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_log())
            tasks.create_task(self._follow_files())

    async def _follow_log(self) -> None:
        store: EventStore | None = None
        has_begun = False
        try:
            while True:
                before = self._changes
                try:
                    if store is None:
                        store = await self._ask(self._open_store)
                    if not has_begun:
                        await self._begin(store)
                        has_begun = True
                    await self._read_on(store)
                    self._set_error("")
                except StoreError as error:
                    self._set_error(str(error))
                if self._changes != before:
                    self._wake()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._look.wait()
                self._look.clear()
        finally:
            if store is not None:
                store.close()

    async def _ask(self, read: Callable[[], T]) -> T:
        self._asked_mono_s = time.monotonic()
        try:
            return await asyncio.to_thread(read)
        finally:
            self._asked_mono_s = None

    async def _begin(self, store: EventStore) -> None:
        recent = await self._ask(partial(store.recent, 2 * CARDS_MAX, parts=False))
        for event in await self._ask(store.open_events):
            if is_recording_stop(event):
                self._stops[event.id] = event
        for position, event in reversed(recent):
            self._cursor = position
            self._take(event)

    async def _read_on(self, store: EventStore) -> None:
        while True:
            try:
                found = await self._ask(partial(store.after, self._cursor, _READ_MAX))
            except UnreadableEventError as error:
                self._cursor = error.position
                continue
            for position, event in found:
                self._cursor = position
                self._take(event)
            if len(found) < _READ_MAX:
                return

    def _set_error(self, error: str) -> None:
        if error == self._error:
            return
        self._error = error
        if error:
            self._log.warning("cannot read the event log", error=error)
        else:
            self._log.info("event log readable again")

    def _take(self, event: Event) -> None:
        if event.kind == "part":  # ten a second would leave no room for defects
            return
        self._changes += 1
        if event.kind == "defect":
            if event.id not in self._media:
                self._media[event.id] = media_of(event)
                self._awaited.add(event.id)
            self._media[event.id].event = event
        elif is_recording_stop(event):
            self._stops[event.id] = event
        self._cards[event.id] = {**_card(event), **self._media_card(event.id), "change": self._changes}
        while len(self._cards) > CARDS_MAX:
            gone, _ = self._cards.popitem(last=False)
            self._media.pop(gone, None)
            if gone in self._stops and self._stops[gone].state is EventState.CLEARED:
                del self._stops[gone]
            self._awaited.discard(gone)

    def _media_card(self, event_id: str) -> dict[str, str | None]:
        media = self._media.get(event_id)
        return media.card(self._recorder, self._stops.values()) if media else {}

    # --- the files ---

    async def _follow_files(self) -> None:
        while True:
            before = self._changes
            await self._look_for_files()
            if self._changes != before:
                self._wake()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _look_for_files(self) -> None:
        looked_for = {event_id: self._media[event_id].names for event_id in self._awaited}
        if not looked_for:
            return
        present = await asyncio.to_thread(self._present, [name for names in looked_for.values() for name in names])
        without_clip = [
            one for one, names in looked_for.items() if clip_name(one) in names and clip_name(one) not in present
        ]
        missing = await asyncio.to_thread(self._missing, without_clip)
        for event_id in looked_for.keys() & self._media.keys():
            media, card = self._media[event_id], self._cards[event_id]
            media.note(present)
            media.clip_missing = missing.get(event_id, "")
            if not media.is_awaited(self._recorder):
                self._awaited.discard(event_id)
            shown = self._media_card(event_id)
            if not shown.items() <= card.items():
                self._changes += 1
                card |= {**shown, "change": self._changes}

    def _present(self, names: list[str]) -> set[str]:
        """Which of these files exist. In a thread: the disk may hang."""
        return {name for name in names if os.path.isfile(f"{self._state_dir}/{name}")}

    def _missing(self, event_ids: list[str]) -> dict[str, str]:
        """Why these events have no clip, as the recorder has it on record. In a thread: the disk may hang."""
        return {event_id: why_missing(self._state_dir, event_id) for event_id in event_ids}


def _card(event: Event) -> dict[str, Any]:
    extent = event.extent
    return {
        "id": event.id,
        "kind": event.kind,
        "state": str(event.state),
        "line": event.line,
        "camera": event.camera,
        "name": event.name,
        "source": event.source,
        "severity": event.severity,
        "first_seen_ms": event.first_seen_utc_ns // 1_000_000,
        "last_seen_ms": event.last_seen_utc_ns // 1_000_000,
        "score": event.score,
        "score_seq": event.score_seq,
        "frame": [event.frame.session, event.frame.seq] if event.frame else None,
        "file": (event.frame.file or None) if event.frame else None,
        "views": event.views,
        "length_mm": extent.length_mm if extent else None,
        "width_mm": extent.width_mm if extent else None,
        "area_mm2": extent.area_mm2 if extent else None,
        "reason": event.reason,
    }
