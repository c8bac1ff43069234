"""Parts that the detector finds: a judged frame's result, and where the belt was at that frame, meet here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from stream_inspect.belt.position import Position
from stream_inspect.messages import FrameHeader, FrameOrder, Inspection, Missed, PartsSeen
from stream_inspect.track.part_finder import PartFinder

_MOST_WAITING = 4096
"""Frames of one camera of which one of the two is waited for."""


class JudgedParts:
    """One camera's due frames and their results in, each in order; what the results show of the parts out."""

    def __init__(self, finder_of: Callable[[FrameHeader], PartFinder]) -> None:
        self._finder_of = finder_of
        self._placed: dict[FrameOrder, tuple[PartsSeen, Position]] = {}
        """Due frames whose result is waited for."""
        self._results: dict[FrameOrder, Inspection] = {}
        """Results whose frame waits for the odometer."""
        self._last: Position | None = None
        """At the last frame that was looked through."""

    def placed(self, captured: PartsSeen, position: Position) -> Iterator[PartsSeen]:
        """Where the belt was at a captured frame; one that is not due has no result."""
        frame = captured.frame
        if frame.due is None:
            return
        _drop_before(frame.id.order, self._results)
        if (result := self._results.pop(frame.id.order, None)) is not None:
            yield self._seen(result, captured, position)
        else:
            self._placed[frame.id.order] = captured, position

    def judged(self, result: Inspection | Missed) -> Iterator[PartsSeen]:
        """What became of a due frame."""
        order = result.frame.id.order
        _drop_before(order, self._placed)
        placed = self._placed.pop(order, None)
        if isinstance(result, Missed) or result.parts is None:
            return
        if placed is not None:
            yield self._seen(result, *placed)
        else:
            self._results[order] = result

    def interrupt(self) -> None:
        """The odometer does not continue: results of earlier frames say nothing of what is on the belt now."""
        self._placed.clear()
        self._results.clear()
        self._last = None

    def _seen(self, result: Inspection, captured: PartsSeen, position: Position) -> PartsSeen:
        frame, sights = result.frame, result.parts or []
        sigma_mm = position.way_since(self._last).sigma_mm if self._last is not None else 0.0
        self._last = position
        boxes = [part.outline_px for part in sights]
        changes = self._finder_of(frame).see(frame.capture_mono_ns, position.mm, sigma_mm, boxes)
        return msgspec.structs.replace(captured, changes=changes, sights=sights, by_result=True)


def _drop_before(order: FrameOrder, waiting: dict[FrameOrder, Any]) -> None:
    """Earlier frames are waited for in vain: both sides come in order. Nor are more than `_MOST_WAITING`."""
    while waiting and ((first := next(iter(waiting))) < order or len(waiting) >= _MOST_WAITING):
        del waiting[first]
