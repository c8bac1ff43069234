"""Condition levels: how each condition of one source stands, and when it has to be sent."""

from __future__ import annotations

import time
from dataclasses import dataclass

import msgspec

from stream_inspect.messages import CONDITION_REPEAT_S, Condition, ConditionKind, Output


@dataclass(slots=True)
class _Level:
    condition: Condition
    sent: bool = False
    """Whether it was sent since it last changed."""


class Levels:
    """The conditions that one source knows of. One that was never `set` is unknown and not sent."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._levels: dict[tuple[str, ConditionKind], _Level] = {}
        self._repeat_at_mono_ns = 0

    def set(self, kind: ConditionKind, active: bool, detail: str = "", *, camera: str = "") -> Condition:
        """Set how a condition stands, from now on if it has changed; returns the level."""
        return self.put(
            Condition(
                camera=camera,
                kind=kind,
                active=bool(active),  # a comparison of NumPy numbers gives a bool that cannot be sent
                source=self._source,
                detail=detail,
                mono_ns=time.monotonic_ns(),
                utc_ns=time.time_ns(),
            )
        )

    def put(self, level: Condition) -> Condition:
        """Set a level that is known with its time and its frame.

        Only a change of `active` is news. A level that stays as it is keeps its time and frame; another detail goes out
        with the next repeat. Returns the level as it stands.
        """
        known = self._levels.get((level.camera, level.kind))
        if known is None or known.condition.active is not level.active:
            known = self._levels[level.camera, level.kind] = _Level(level)
        elif known.condition.detail != level.detail:
            known.condition = msgspec.structs.replace(known.condition, detail=level.detail)
        return known.condition

    def explain(self, kind: ConditionKind, camera: str, detail: str) -> None:
        """Put what has become known, unless that is "", in place of the detail of an active level."""
        known = self._levels.get((camera, kind))
        if detail and known is not None and known.condition.active and known.condition.detail != detail:
            known.condition = msgspec.structs.replace(known.condition, detail=detail)

    def repeat_now(self) -> None:
        """Have all levels due at once: a reader has just come that knows none of them."""
        self._repeat_at_mono_ns = 0

    def due(self, now_mono_ns: int) -> list[Output]:
        """What to send now: the levels that have changed, and all of them every `CONDITION_REPEAT_S`."""
        repeat = now_mono_ns >= self._repeat_at_mono_ns
        if repeat:
            self._repeat_at_mono_ns = now_mono_ns + round(CONDITION_REPEAT_S * 1e9)
        due = [level for level in self._levels.values() if repeat or not level.sent]
        for level in due:
            level.sent = True
        return [Output("conditions", level.condition) for level in due]
