"""The events on the page: the newest of the event log, each with its picture and clip once they are on disk.

The event log is the truth, so no event can be missed: the `events` topic only says when to read it. A browser receives
all cards once and then those that changed.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from stream_inspect import log
from stream_inspect.messages import Event, EventState
from stream_inspect.store.database import StoreError
from stream_inspect.store.events import EventStore, UnreadableEventError
from stream_inspect.store.files import clip_name, picture_name

CARDS_MAX = 200
_LOOK_EVERY_S = 1.0
_READ_MAX = 500
_FILES_COME_WITHIN_S = 900.0
"""A clip may be long; after this time its file is no longer expected (it was not recorded, or retention removed it)."""


class EventFeed:
    """Runs in the event loop of the web server; `run` is its task, `notify` may be called from any thread."""

    def __init__(self, store: Callable[[], EventStore], state_dir: Path) -> None:
        self._open_store = store
        self._state_dir = state_dir
        self._cards: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._conditions: dict[str, dict[str, Any]] = {}
        self._awaited: dict[str, float] = {}
        self._cursor = 0
        self._changes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._look = asyncio.Event()
        self._changed = asyncio.Event()
        self._error = ""
        self._log = log.get_logger(__name__)

    @property
    def changes(self) -> int:
        """Increases with each change; a browser remembers the last one that it has seen."""
        return self._changes

    @property
    def error(self) -> str:
        """Why the event log cannot be read; "" while it can."""
        return self._error

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

    def conditions(self) -> list[dict[str, Any]]:
        """The active conditions of the cameras and the line, oldest first."""
        return list(self._conditions.values())

    async def wait(self, timeout_s: float) -> None:
        """Return at the next change, or after `timeout_s`."""
        changed = self._changed
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await changed.wait()

    async def run(self) -> None:
        """Follow the event log until cancelled; retry while it cannot be read."""
        self._loop = asyncio.get_running_loop()
        store: EventStore | None = None
        has_begun = False
        try:
            while True:
                before = self._changes
                try:
                    if store is None:
                        store = await asyncio.to_thread(self._open_store)
                    if not has_begun:
                        await self._begin(store)
                        has_begun = True
                    await self._follow(store)
                    self._set_error("")
                except StoreError as error:
                    self._set_error(str(error))
                self._look_for_files()
                if self._changes != before:
                    self._wake()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._look.wait()
                self._look.clear()
        finally:
            if store is not None:
                store.close()

    async def _begin(self, store: EventStore) -> None:
        recent = await asyncio.to_thread(store.recent, 2 * CARDS_MAX)
        among_recent = {event.id for _, event in recent}
        for event in await asyncio.to_thread(store.open_events):
            if event.kind == "condition" and event.id not in among_recent:
                self._take(event)
        for position, event in reversed(recent):
            self._cursor = position
            self._take(event)

    async def _follow(self, store: EventStore) -> None:
        while True:
            try:
                found = await asyncio.to_thread(store.after, self._cursor, _READ_MAX)
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
        self._changes += 1
        card = _card(event)
        card["change"] = self._changes
        known = self._cards.get(event.id)
        if known is not None:
            card["picture"], card["clip"] = known["picture"], known["clip"]
        elif event.kind == "defect":
            self._awaited[event.id] = time.monotonic() + _FILES_COME_WITHIN_S
        self._cards[event.id] = card
        if event.kind == "condition":
            if event.state is EventState.CONFIRMED:
                self._conditions[event.id] = card
            else:
                self._conditions.pop(event.id, None)
        while len(self._cards) > CARDS_MAX:
            gone, _ = self._cards.popitem(last=False)
            self._awaited.pop(gone, None)

    def _look_for_files(self) -> None:
        now_s = time.monotonic()
        for event_id, until_s in list(self._awaited.items()):
            card = self._cards[event_id]
            for what, name in (("picture", picture_name(event_id)), ("clip", clip_name(event_id))):
                if card[what] is None and (self._state_dir / name).is_file():
                    self._changes += 1
                    card[what], card["change"] = f"/{name}", self._changes
            if (card["clip"] is not None and card["picture"] is not None) or now_s > until_s:
                del self._awaited[event_id]


def _card(event: Event) -> dict[str, Any]:
    extent = event.extent
    return {
        "id": event.id,
        "kind": event.kind,
        "state": str(event.state),
        "line": event.line,
        "camera": event.camera,
        "name": event.name,
        "severity": event.severity,
        "first_seen_ms": event.first_seen_utc_ns // 1_000_000,
        "last_seen_ms": event.last_seen_utc_ns // 1_000_000,
        "score": event.score,
        "views": event.views,
        "length_mm": extent.length_mm if extent else None,
        "width_mm": extent.width_mm if extent else None,
        "area_mm2": extent.area_mm2 if extent else None,
        "reason": event.reason,
        "picture": None,
        "clip": None,
    }
