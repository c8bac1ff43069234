"""From condition levels to events: a condition lasts while any of its sources reports it, whatever is restarted."""

from __future__ import annotations

from collections.abc import Callable

from stream_inspect.decide.events import INTERRUPTED, EventIds, cleared, event_key, reference
from stream_inspect.messages import CONDITION_REPEAT_S, Condition, ConditionKind, Event, EventState, Severity

SEVERITY: dict[ConditionKind, Severity] = {
    kind: "major" if kind is ConditionKind.STATIC_FIND else "critical" for kind in ConditionKind
}
"""A camera that sees nothing lets every defect pass; dirt on its lens hides a few."""
_SETTLED_AFTER_S = 2.5 * CONDITION_REPEAT_S
"""By now each source that still knows of an inherited condition has reported it, twice. Until then one source's
"inactive" does not end what another one's "active" is on its way for."""
_SILENT_AFTER_S = 2 * _SETTLED_AFTER_S
"""No source has reported it, active or not: the one that did has gone (a camera or a rule taken out of the config)."""

_Key = tuple[str, str]
"""(camera, kind)"""


class Conditions:
    """The open conditions of all cameras and of the line; `line_of` names the line of a camera."""

    def __init__(self, ids: EventIds, line_of: Callable[[str], str]) -> None:
        self._ids = ids
        self._line_of = line_of
        self._open: dict[_Key, Event] = {}
        self._active_sources: dict[_Key, set[str]] = {}
        self._inherited: dict[_Key, Condition | None] = {}
        """Of the open ones those of the previous run that no source has confirmed yet, each with the last level that
        says that it is inactive."""
        self._inherited_mono_ns: int | None = None

    def inherit(self, event: Event) -> None:
        """Take over an event that the previous run left open: its sources' next levels confirm or end it."""
        self._open[event.camera, event.name] = event
        self._inherited[event.camera, event.name] = None

    def update(self, level: Condition) -> list[Event]:
        """The events that a level begins or ends; a level that is repeated changes nothing."""
        key = (level.camera, str(level.kind))
        sources = self._active_sources.setdefault(key, set())
        event = self._open.get(key)
        if level.active:
            sources.add(level.source)
            self._inherited.pop(key, None)
            if event is not None:
                return []
            event = self._open[key] = self._raised(level)
            return [event]
        sources.discard(level.source)
        if key in self._inherited:
            self._inherited[key] = level
        elif event is not None and not sources:
            return [self._ended(event, level)]
        return []

    def expire_inherited(self, now_mono_ns: int) -> list[Event]:
        """End the inherited conditions that are inactive, or that no source reports."""
        if not self._inherited:
            return []
        if self._inherited_mono_ns is None:
            self._inherited_mono_ns = now_mono_ns
        waited_s = (now_mono_ns - self._inherited_mono_ns) / 1e9
        events = []
        for key, last_inactive in list(self._inherited.items()):
            if waited_s >= (_SILENT_AFTER_S if last_inactive is None else _SETTLED_AFTER_S):
                del self._inherited[key]
                events.append(self._ended(self._open[key], last_inactive))
        return events

    def _ended(self, event: Event, last_inactive: Condition | None) -> Event:
        del self._open[event.camera, event.name]
        if last_inactive is None:
            return cleared(event, reason=INTERRUPTED)
        ended_utc_ns = max(event.first_seen_utc_ns, last_inactive.utc_ns)
        return cleared(event, reason=last_inactive.detail, last_seen_utc_ns=ended_utc_ns)

    def _raised(self, level: Condition) -> Event:
        frame = level.frame
        name = str(level.kind)
        identity = self._ids.next(level.camera, frame.id.session if frame else 0, name)
        return Event(
            id=identity,
            key=event_key(identity, EventState.CONFIRMED),
            kind="condition",
            state=EventState.CONFIRMED,
            line=self._line_of(level.camera),
            camera=level.camera,
            name=name,
            severity=SEVERITY[level.kind],
            first_seen_utc_ns=level.utc_ns,
            last_seen_utc_ns=level.utc_ns,
            frame=reference(frame) if frame else None,
            reason=level.detail,
        )
