"""The latest live picture of each camera, passed from the stage's thread to any number of browsers.

Only the latest is kept: a slow or stalled browser costs nothing and continues with the newest picture.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from stream_inspect.messages import LivePicture


@dataclass(frozen=True, slots=True)
class Numbered:
    """A picture and its number in the order of arrival."""

    number: int
    picture: LivePicture


class LiveHub:
    """`put` may be called from any thread, the other methods from the event loop that called `attach`."""

    def __init__(self, cameras: Iterable[str]) -> None:
        self._latest: dict[str, Numbered | None] = dict.fromkeys(cameras)
        self._lock = threading.Lock()
        self._number = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived = asyncio.Event()
        self._is_woken = False

    @property
    def cameras(self) -> list[str]:
        return list(self._latest)

    def attach(self) -> None:
        """Serve the browsers of the running event loop."""
        self._loop = asyncio.get_running_loop()

    def put(self, picture: LivePicture) -> None:
        """Replace the latest picture of its camera."""
        with self._lock:
            if picture.camera not in self._latest:
                return
            self._number += 1
            self._latest[picture.camera] = Numbered(self._number, picture)
        self.wake_waiters()

    def wake_waiters(self) -> None:
        """Wake every `wait`. May be called from any thread."""
        with self._lock:
            wake = not self._is_woken and self._loop is not None and not self._loop.is_closed()
            self._is_woken = self._is_woken or wake
        if wake and self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        with self._lock:
            self._is_woken = False
        arrived, self._arrived = self._arrived, asyncio.Event()
        arrived.set()

    def newer(self, seen: dict[str, int]) -> list[Numbered]:
        """The latest pictures that are not in `seen` (camera -> number), oldest first; adds them to `seen`."""
        with self._lock:
            found = [one for camera, one in self._latest.items() if one and one.number > seen.get(camera, 0)]
        found.sort(key=lambda one: one.number)
        seen.update((one.picture.camera, one.number) for one in found)
        return found

    async def wait(self, timeout_s: float) -> None:
        """Return at the next picture of any camera, or after `timeout_s`."""
        arrived = self._arrived
        try:
            async with asyncio.timeout(timeout_s):
                await arrived.wait()
        except TimeoutError:
            return
