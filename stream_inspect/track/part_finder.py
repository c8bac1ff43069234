"""The parts on a belt, found in the pictures of one camera: each is one thing with a number, however often it is seen.

A part keeps its place on the belt (`belt/geometry.py`), so that a box is the part whose place it covers: after a stop,
after a reversal, and after frames in which the part was missed. A part leaves by the odometer, seen or not. It is kept
for a while longer, so that a belt that runs backwards brings the same part and not a new one.

Neighbours that touch appear as one box in some frames, and one part as two. A box that covers several known parts shows
each of them and measures none; boxes inside a known part are pieces of it. Only where most sights of a part are in two
pieces is it cut in two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stream_inspect.belt.geometry import BeltBox, BeltView
from stream_inspect.belt.lanes import Lane, lane_at
from stream_inspect.messages import Box, Corners, Doubt, Interval, PartChange, What
from stream_inspect.track.assign import FORBIDDEN, assign
from stream_inspect.track.sought_part import (
    JOINS,
    OTHER_LENGTH,
    SIGHTS_NEEDED,
    Look,
    SoughtPart,
    adjoin,
    is_due,
    is_rest_of,
    widened,
)
from stream_inspect.track.static_places import StaticPlaces

_SLACK_MM_OF_PICTURE = 0.008
"""How badly a box is placed, as a share of the picture's length: 10 px of 1280."""
_SIGMAS = 3.0
_INSIDE = 0.7
"""Share of a box from which on it is a piece of the part that covers it."""
_MOVED_MM_OF_PICTURE = 0.0025
"""A change of place below this is not reported."""
_UNSEEN = 0.05
"""Share of the picture from which on a part may lie on a stretch that no look has shown."""
_OUTAGE = 0.5
"""Share of the picture that the belt may run from one look to the next; beyond it, parts were not watched entering."""


class PartFinder:
    """Boxes of one camera's frames in, changes of its parts out.

    `offset_mm` is where the picture's upstream edge lies on the line. Numbers count from `first` and go to parts in the
    order in which they are found. `kept_mm` is how far a belt may run backwards past parts that have left. With
    `counts_unseen` a stretch of belt that no look has shown is one part of each lane, in doubt.
    """

    def __init__(
        self,
        view: BeltView,
        lanes: Sequence[Lane] = (),
        *,
        offset_mm: float = 0.0,
        first: int = 1,
        kept_mm: float | None = None,
        counts_unseen: bool = False,
    ) -> None:
        self._view = view
        self._lanes = lanes
        self._offset_mm = offset_mm
        self._next_number = first
        self._counts_unseen = counts_unseen
        self._kept_mm = view.length_mm if kept_mm is None else kept_mm
        self._slack_mm = _SLACK_MM_OF_PICTURE * view.length_mm
        self._moved_mm = _MOVED_MM_OF_PICTURE * view.length_mm
        self._sought: list[SoughtPart] = []
        self._static = StaticPlaces(view.length_mm / 2)
        self._last: Look | None = None
        self._unwatched: list[tuple[Doubt, float, float]] = []
        """Stretches of s_mm whose parts were not seen entering."""
        self._forgotten_mm = -math.inf
        """Whatever lies farther downstream has been counted, or lay there before the start."""

    def see(
        self, mono_ns: int, odometer_mm: float, sigma_mm: float, boxes_px: Sequence[Box | Corners]
    ) -> list[PartChange]:
        """The next frame: `boxes_px` are the parts in it, or their corners, in pixels of the judged picture.

        `sigma_mm` is how far, as one sigma, the odometer may be off since the parts in the picture were seen last. A
        frame that is not later than the one before is ignored.
        """
        if self._last is not None and mono_ns <= self._last.mono_ns:
            return []
        here = odometer_mm - self._offset_mm
        reach_mm = self._slack_mm + _SIGMAS * sigma_mm
        look = Look(mono_ns, here - self._view.length_mm, here, reach_mm)
        passed = self._passed_unseen(look)
        self._note_unwatched(look)
        rest = self._follow(self._static.without(self._placed(boxes_px, here), look.upstream), look)
        for box in rest:
            self._begin(box, look)
        changes = self._changes(look)
        self._forget(look)
        self._last = look
        return [*changes, *passed]

    @property
    def static_px(self) -> list[Box]:
        """Where in the picture something stays while the belt runs."""
        return [self._view.px_from_belt(place, 0.0) for place in self._static.places]

    def interrupt(self, mono_ns: int) -> list[PartChange]:
        """The odometer does not continue: all parts end, and what is seen next was on the belt before."""
        ended = [self._change(What.LEFT, part, mono_ns) for part in self._sought if part.number and not part.left]
        self._sought, self._unwatched = [], []
        self._static.clear()
        self._last, self._forgotten_mm = None, -math.inf
        return ended

    # --- one look ------------------------------------------------------------------------------------------------

    def _passed_unseen(self, look: Look) -> list[PartChange]:
        """The belt that ran through the picture since the last look, as one part of each lane.

        What lay on it is not known, and so it is neither nothing nor good.
        """
        if not self._counts_unseen or self._last is None:
            return []
        if look.downstream - self._last.upstream <= _UNSEEN * self._view.length_mm:
            return []
        along = Interval(self._last.upstream, look.downstream)
        changes = []
        for lane in [lane.number for lane in self._lanes] or [0]:
            number, self._next_number = self._next_number, self._next_number + 1
            changes += [
                PartChange(what, number, lane, along, look.mono_ns, Doubt.NOT_SEEN)
                for what in (What.ENTERED, What.LEFT)
            ]
        return changes

    def _note_unwatched(self, look: Look) -> None:
        if self._last is None:
            self._unwatched.append((Doubt.AT_START, -math.inf, look.upstream))
        elif look.upstream - self._last.upstream > _OUTAGE * self._view.length_mm:
            self._unwatched.append((Doubt.UNWATCHED, self._last.upstream, look.upstream))

    def _placed(self, boxes_px: Sequence[Box | Corners], here: float) -> list[BeltBox]:
        """The boxes on the belt, in its order. A sliver at the upstream edge waits until there is more of it."""
        boxes = [self._view.belt_from_px(box, here) for box in boxes_px]
        boxes = [box for box in boxes if not (box.along.high_cut and box.along.length < self._slack_mm)]
        boxes = [box for box in boxes if box.along.high > self._forgotten_mm + self._slack_mm and box.area_mm2 > 0]
        return sorted(boxes, key=lambda box: (box.along.low, box.across.low))

    def _follow(self, boxes: Sequence[BeltBox], look: Look) -> list[BeltBox]:
        """Show the boxes to the parts whose places they cover; the boxes that are left over."""
        in_sight = widened(look.stretch, look.reach_mm)
        near = [part for part in self._sought if part.box.along.shared(in_sight) > 0]
        cost = np.array([[_cost(part.box, box, look.reach_mm) for box in boxes] for part in near], dtype=np.float64)
        shown = {column: [near[row]] for row, column in assign(cost)}
        for column, parts in shown.items():
            parts[0].pieces.append(boxes[column])
        rest: list[BeltBox] = []
        for column, box in enumerate(boxes):
            if column in shown:
                continue
            if (whole := _largest_holder(near, box, look)) is not None:
                whole.pieces.append(box)
            else:
                rest.append(box)
        for part in near:
            if not part.pieces:
                over = [column for column in shown if _covers(boxes[column], part.box, look)]
                if over:
                    shown[over[0]].append(part)
        for column, parts in shown.items():
            rest += self._show(boxes[column], parts, look)
        for part in near:
            part.misses += not part.pieces and not any(part in parts for parts in shown.values()) and is_due(part, look)
        return rest

    def _show(self, box: BeltBox, covered: list[SoughtPart], look: Look) -> list[BeltBox]:
        """Let these parts see the box that covers them; what of it belongs to none of them."""
        parts = self._without_absorbed(covered)
        for part in parts:
            part.sights += 1
        if len(parts) == 1 and len(parts[0].pieces) > 1:
            self._show_pieces(parts[0], look)
            return []
        last = max(parts, key=lambda part: part.box.along.high)
        if parts == covered and (neighbour := _neighbour_behind(last, box, look)) is not None:
            return [neighbour]
        if len(parts) == 1:
            last.in_one += 1
            last.measure(box, look)
        elif last.box.along.high_cut:
            along = Interval(last.box.along.low, box.along.high, last.box.along.low_cut, box.along.high_cut)
            last.measure(BeltBox(along, last.box.across), look)
        return []

    def _without_absorbed(self, parts: list[SoughtPart]) -> list[SoughtPart]:
        """The parts that the box shows, without those that do not count yet and may be pieces of another one.

        They are dropped when they are seen so more often than by themselves.
        """
        longest_known = max(parts, key=lambda part: (part.number > 0, part.sights))
        shown: list[SoughtPart] = []
        for part in parts:
            came_later = all(other.first_watched_to <= part.box.along.low for other in parts if other is not part)
            if part.number or part is longest_known or came_later:
                shown.append(part)
                continue
            part.absorbed += 1
            if part.absorbed > part.sights:
                self._sought.remove(part)
        return shown

    def _show_pieces(self, part: SoughtPart, look: Look) -> None:
        """Note that a part is seen in pieces; what is so more often than not is two parts, which came in as one box."""
        part.in_two += 1
        if part.in_two < SIGHTS_NEEDED or part.in_two <= part.in_one or len(part.pieces) != 2:
            return
        first, second = sorted(part.pieces, key=lambda piece: (piece.along.low, piece.across.low))
        other = SoughtPart(second, part.on_new_belt, part.doubt, adjoins=True, sights=part.in_two, in_one=part.in_two)
        other.wholes, other.watched_to = int(second.along.whole), look.upstream
        part.box, part.wholes, part.in_one, part.in_two = first, int(first.along.whole), part.in_two, 0
        self._sought.append(other)

    def _begin(self, box: BeltBox, look: Look) -> None:
        along = box.along
        is_new = self._last is None or along.high_cut or along.high > self._last.upstream
        doubt = next((why for why, low, high in self._unwatched if low < along.high <= high), None)
        adjoins = any(adjoin(box, other.box, look.reach_mm) for other in self._sought)
        part = SoughtPart(box, is_new, None if along.high_cut else doubt, adjoins, sights=1, in_one=1)
        if along.whole:
            part.wholes, part.watched_to, part.first_watched_to = 1, look.upstream, look.upstream
        self._sought.append(part)

    def _changes(self, look: Look) -> list[PartChange]:
        """What has changed by this look, the most downstream part first."""
        changes: list[PartChange] = []
        kept: list[SoughtPart] = []
        for part in sorted(self._sought, key=lambda part: (part.box.along.low, part.box.across.low)):
            part.pieces = []
            out = look.downstream >= part.box.along.high
            if not part.left and part.is_static(look):
                changes += self._end_static(part, look)
                continue
            if not part.number and (part.enough or (out and part.on_new_belt and part.outweighs)):
                part.number, self._next_number = self._next_number, self._next_number + 1
                part.lane = lane_at(self._lanes, part.box.across.centre)
                changes.append(self._change(What.ENTERED, part, look.mono_ns))
            elif part.number and not part.left and self._is_news(part):
                changes.append(self._change(What.UPDATED, part, look.mono_ns))
            if part.number and out and not part.left:
                part.left = True
                changes.append(self._change(What.LEFT, part, look.mono_ns))
            if part.number or not (out or part.misses >= max(SIGHTS_NEEDED, part.sights + 1)):
                kept.append(part)
        self._sought = kept
        return changes

    def _end_static(self, part: SoughtPart, look: Look) -> list[PartChange]:
        """What does not move with the belt is no longer a part, nor is what appears in its place."""
        self._static.add(part.box, look.upstream)
        part.doubt = Doubt.STATIC
        return [self._change(what, part, look.mono_ns) for what in (What.UPDATED, What.LEFT) if part.number]

    def _is_news(self, part: SoughtPart) -> bool:
        now, told = part.box.along, part.told
        if told is None or (now.low_cut, now.high_cut) != (told.low_cut, told.high_cut):
            return True
        return max(abs(now.low - told.low), abs(now.high - told.high)) > self._moved_mm

    def _change(self, what: What, part: SoughtPart, mono_ns: int) -> PartChange:
        part.told = part.box.along
        return PartChange(what, part.number, part.lane, part.box.along, mono_ns, part.doubt)

    def _forget(self, look: Look) -> None:
        """Forget parts that the belt will not bring back, and remember up to where."""
        end = look.downstream - self._kept_mm
        gone = [part for part in self._sought if part.left and part.box.along.high <= end]
        if gone:
            self._forgotten_mm = max(self._forgotten_mm, *(part.box.along.high for part in gone))
            self._sought = [part for part in self._sought if not (part.left and part.box.along.high <= end)]
        self._unwatched = [stretch for stretch in self._unwatched if stretch[2] > end]


def _cost(known: BeltBox, seen: BeltBox, reach_mm: float) -> float:
    """Distance of the two places in mm, or `FORBIDDEN` where they do not cover each other enough to be one part."""
    if known.across.shared(seen.across) < JOINS * min(known.across.length, seen.across.length):
        return FORBIDDEN
    along = widened(known.along, reach_mm).shared(seen.along)
    if along < JOINS * min(known.along.length, seen.along.length) and not is_rest_of(known.along, seen.along, reach_mm):
        return FORBIDDEN
    return abs(known.along.offset_to(seen.along)) + abs(known.across.centre - seen.across.centre)


def _neighbour_behind(part: SoughtPart, box: BeltBox, look: Look) -> BeltBox | None:
    """What the box shows beyond a part whose end is known, on belt that came in after the part was measured last."""
    known = part.box.along
    tail = Interval(known.high, box.along.high, False, box.along.high_cut)
    came_in_since = tail.low > part.watched_to - look.reach_mm
    if not (known.whole and part.wholes and came_in_since) or tail.length <= look.reach_mm:
        return None
    is_more_than_noise = tail.high_cut or tail.length > OTHER_LENGTH * known.length
    return BeltBox(tail, box.across) if is_more_than_noise else None


def _largest_holder(parts: Sequence[SoughtPart], box: BeltBox, look: Look) -> SoughtPart | None:
    """The part that this box is a piece of."""
    holders = [
        part
        for part in parts
        if _extent(part, look).shared(box.along) >= _INSIDE * box.along.length
        and part.box.across.shared(box.across) >= _INSIDE * box.across.length
    ]
    return max(holders, key=lambda part: part.box.shared_mm2(box), default=None)


def _extent(part: SoughtPart, look: Look) -> Interval:
    """Where pieces of the part may lie: up to the edge for one that is coming in and of which a piece is seen."""
    along = part.box.along
    in_pieces = along.high_cut and part.pieces and part.is_shorter(part.pieces[0], look)
    return Interval(along.low, look.upstream) if in_pieces else along


def _covers(box: BeltBox, part: BeltBox, look: Look) -> bool:
    """Whether the box covers what this look can show of the part."""
    low, high = max(part.along.low, look.downstream), min(part.along.high, look.upstream)
    along = box.along.shared(Interval(low, high)) >= _INSIDE * (high - low)
    return high > low and along and box.across.shared(part.across) >= _INSIDE * part.across.length
