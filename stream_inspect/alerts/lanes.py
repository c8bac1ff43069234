"""Which event of an output's queue is sent next: in order for each camera, and no camera waits for another one's.

When an event fails, nothing says whether the fault is its own or the receiver's. So the first event of another camera
is tried: if that is delivered, the fault is the event's own, and only its camera waits. If all of them fail, the
receiver is down, and everything waits. The same holds of an answer that is about the receiver, or about us, as it says:
a broker may forbid the topic of one camera alone. Only that no number of such answers makes an event a dead letter.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

GIVE_UP_TRIES = 5
GIVE_UP_AFTER_S = 30.0
"""An event that has failed this often, for this long, while others were delivered is no longer waited for. A receiver
that is overloaded fails on some events in some seconds; half a minute of one event alone is that event's fault. And
its camera's later events wait no longer than this for it."""

FAILING_RETRY_S = 1.0
"""Between two tries of such an event."""


class Fault(Enum):
    """What the failure of an event says."""

    UNKNOWN = auto()  # the receiver's, as far as anything shows
    EVENT = auto()  # its own: others are delivered
    FOR_GOOD = auto()  # its own, for long enough


@dataclass(slots=True)
class Failures:
    """Those of one event so far."""

    tries: int = 0  # since the last outage; what `refused` notes is not among them
    since_s: float = math.inf
    tried_at_s: float = -math.inf
    retry_at_s: float = -math.inf
    passes: int = 0  # of the output, at the last one
    is_accused: bool = False
    probe_after_s: float = GIVE_UP_AFTER_S

    @property
    def is_tried(self) -> bool:
        """Whether it has failed, in any way."""
        return self.tried_at_s > -math.inf


@dataclass(slots=True)
class Lane:
    """The events of one camera that are queued, as positions in the event log, and the failures of the first one."""

    waiting: deque[int] = field(default_factory=deque)
    first: Failures = field(default_factory=Failures)


@dataclass(frozen=True, slots=True)
class Turn:
    """The event to send now."""

    lane: Lane
    position: int

    @property
    def is_probe(self) -> bool:
        """Not the first event of its lane: it has to show whose fault the failure of the first one is."""
        return self.position != self.lane.waiting[0]


class Lanes:
    """The queue of one output. Dead letters that are queued again have a lane of their own: they hold up no others."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._again = Lane()
        self._passes = 0  # events delivered so far
        self._probe: Lane | None = None
        self._retry_at_s = -math.inf
        """Until then the events that fail alone leave the time to the others, however many cameras have one."""
        self._is_outage = False
        """Since the last answer, something failed that does not fail alone: no failure says anything about an event."""

    def add(self, camera: str, position: int) -> None:
        """Queue the event behind those of its camera."""
        self._lanes.setdefault(camera, Lane()).waiting.append(position)

    def add_again(self, positions: Sequence[int]) -> None:
        """Queue these dead letters, except those that are queued already."""
        known = set(self._again.waiting)
        self._again.waiting.extend(position for position in positions if position not in known)

    def __len__(self) -> int:
        return sum(len(lane.waiting) for lane in self._all())

    @property
    def lowest(self) -> int | None:
        """The lowest position that is queued; None where there is none. Dead letters do not count."""
        return min((lane.waiting[0] for lane in self._lanes.values() if lane.waiting), default=None)

    @property
    def has_untried(self) -> bool:
        """Whether there is an event that may be delivered at once: one of a camera whose first event has not failed."""
        return any(lane.waiting and not lane.first.is_tried for lane in self._lanes.values())

    def heads(self) -> Iterator[Turn]:
        """The first event of each camera; dead letters that are queued again are not among them."""
        for lane in self._lanes.values():
            if lane.waiting:
                yield Turn(lane, lane.waiting[0])

    def next(self, now_s: float, *, is_down: bool) -> Turn | None:
        """The event to send now, if one is due; `is_down`: nothing was delivered since a failure."""
        probed, self._probe = self._probe, None
        if probed is not None and len(probed.waiting) > 1:
            return Turn(probed, probed.waiting[1])
        due = [lane for lane in self._all() if lane.waiting and self._due_at_s(lane) <= now_s]
        if not due:
            return None
        if is_down:  # in turns: the receiver may fail on one of them and be well
            lane = min(due, key=lambda lane: (lane.first.is_accused, lane.first.tried_at_s, *self._age(lane)))
        else:
            accused = [lane for lane in due if lane.first.is_accused]
            lane = min(accused, key=lambda lane: lane.first.tried_at_s) if accused else min(due, key=self._age)
        return Turn(lane, lane.waiting[0])

    def due_in_s(self, now_s: float) -> float:
        """How long until an event is due, in seconds; infinite while none waits."""
        return max(0.0, min((self._due_at_s(lane) for lane in self._all() if lane.waiting), default=math.inf) - now_s)

    def passed(self, turn: Turn, now_s: float) -> None:
        """It was delivered."""
        self._passes += 1
        self.answered(turn)
        if turn.is_probe:  # the one before it is tried at once, which decides
            turn.lane.first.retry_at_s = now_s
        self.remove(turn)

    def answered(self, turn: Turn) -> None:
        """The receiver delivered or rejected it, so it works: if there was an outage, that is over."""
        if self._is_outage:
            for lane in self._all():
                if lane is not turn.lane:
                    lane.first.tries = 0
        self._is_outage = False

    def receiver_failed(self) -> None:
        """Not even an event was sent."""
        self._is_outage = True

    def failed(self, turn: Turn, now_s: float, took_s: float) -> Fault:
        """The receiver failed on it. Where it fails for good, it is still to be removed."""
        if turn.is_probe:  # it has failed as well
            self._is_outage = True
            return Fault.UNKNOWN
        first = turn.lane.first
        if not first.tries:
            first.since_s = now_s
        first.tries += 1
        has_passed = self._note_try(turn, now_s)
        failing_s = now_s - first.since_s
        if first.tries >= GIVE_UP_TRIES and failing_s >= GIVE_UP_AFTER_S:
            if has_passed:
                return Fault.FOR_GOOD
            if failing_s >= first.probe_after_s and len(turn.lane.waiting) > 1:
                # No other camera shows whose fault it is, so the next event of this one has to. At doubling distances:
                # a receiver that returns in just this moment gets the two in the wrong order.
                first.probe_after_s = 2 * failing_s
                self._probe = turn.lane
        if self._fault(first, now_s, took_s, FAILING_RETRY_S) is Fault.UNKNOWN:
            return Fault.UNKNOWN
        # The receiver may have died since. Where no event waits that would show it, this one has to.
        return Fault.EVENT if has_passed or self.has_untried else Fault.UNKNOWN

    def refused(self, turn: Turn, now_s: float, took_s: float, retry_after_s: float) -> Fault:
        """The receiver rejected us on it, or asked for a pause. Never for good: a person or the receiver changes it."""
        if turn.is_probe:
            self._is_outage = True
            return Fault.UNKNOWN
        self._note_try(turn, now_s)
        return self._fault(turn.lane.first, now_s, took_s, max(FAILING_RETRY_S, retry_after_s))

    def _note_try(self, turn: Turn, now_s: float) -> bool:
        """Whether another event was delivered between this failure and the one before."""
        first = turn.lane.first
        has_passed = first.is_tried and self._passes > first.passes
        first.passes, first.tried_at_s = self._passes, now_s
        first.is_accused |= has_passed
        return has_passed

    def _fault(self, first: Failures, now_s: float, took_s: float, retry_s: float) -> Fault:
        if not first.is_accused:
            self._is_outage = True
            return Fault.UNKNOWN
        first.retry_at_s = now_s + retry_s
        self._retry_at_s = now_s + took_s  # half of the time at most, where it times out
        return Fault.EVENT

    @property
    def has_probe(self) -> bool:
        """Whether the next turn is a probe, which belongs right behind the failure before it."""
        return self._probe is not None

    def remove(self, turn: Turn) -> None:
        """It is settled."""
        lane = turn.lane
        if turn.position == lane.waiting[0]:
            lane.waiting.popleft()
            lane.first = Failures()
        else:
            lane.waiting.remove(turn.position)

    def _due_at_s(self, lane: Lane) -> float:
        return max(lane.first.retry_at_s, self._retry_at_s) if lane.first.is_accused else lane.first.retry_at_s

    def _age(self, lane: Lane) -> tuple[bool, int]:
        """Sorts the oldest event first; dead letters that are queued again after all others."""
        return lane is self._again, lane.waiting[0]

    def _all(self) -> Iterator[Lane]:
        yield from self._lanes.values()
        yield self._again
