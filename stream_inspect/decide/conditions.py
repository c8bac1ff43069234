"""From condition levels to events: each source has conditions of its own, which last whatever is restarted."""

from __future__ import annotations

from collections.abc import Callable

from stream_inspect.decide.events import INTERRUPTED, EventIds, cleared, event_key, reference
from stream_inspect.messages import CONDITION_REPEAT_S, Condition, ConditionKind, Event, EventState, Severity

_MAJOR = {
    ConditionKind.PROMPTS_REFUSED,
    ConditionKind.SPEED_NOT_OBSERVABLE,
    ConditionKind.STATIC_FIND,
    ConditionKind.STATIC_PART,
    ConditionKind.PHOTO_EYE_FAULTY,
    ConditionKind.UNCHANGED,
    ConditionKind.OVERLOAD,
    ConditionKind.OUTPUT_FAILING,
    ConditionKind.EVENT_LOG_STUCK,
    ConditionKind.ALERTS_REJECTED,
    ConditionKind.INPUT_SILENT,
}
SEVERITY: dict[ConditionKind, Severity] = {kind: "major" if kind in _MAJOR else "critical" for kind in ConditionKind}
"""A camera that sees nothing lets every defect pass; dirt on its lens hides a few; a
speed that is not observable is most often as configured; a picture that does not change is
mostly that of a belt that stands; an alert that waits is not lost; the values before a mistake in the configuration
stay in use; an input may be of a recipe alone, and an encoder that is missing is `odometer_unknown` as well; parts of
which a photo-eye or something static leaves a doubt are UNDECIDED, while on a belt that is not learned none is seen."""
_SETTLED_AFTER_S = 2.5 * CONDITION_REPEAT_S
"""By now a source that still knows of an inherited condition has reported it, twice. Until then its "inactive" may be
that of a process that has just started and not yet looked."""
_SILENT_AFTER_S = 2 * _SETTLED_AFTER_S
"""No source has reported it, active or not: the one that did has gone (a camera or a rule taken out of the config)."""

_Key = tuple[str, str, str]
"""(camera, kind, source): one process that is down must not hide the next."""


class Conditions:
    """The open conditions of all cameras and of the line; `line_of` names the line of a camera."""

    def __init__(self, ids: EventIds, line_of: Callable[[str], str]) -> None:
        self._ids = ids
        self._line_of = line_of
        self._open: dict[_Key, Event] = {}
        self._inherited: dict[_Key, Condition | None] = {}
        """Of the open ones those of the previous run that no source has confirmed yet, each with the last level that
        says that it is inactive."""
        self._inherited_mono_ns: int | None = None

    def inherit(self, event: Event) -> None:
        """Take over an event that the previous run left open: its sources' next levels confirm or end it."""
        self._open[_key(event)] = event
        self._inherited[_key(event)] = None

    def is_open(self, camera: str, name: str) -> bool:
        """Whether at least one source reports this condition of this camera."""
        return any(key[:2] == (camera, name) for key in self._open)

    def update(self, level: Condition) -> list[Event]:
        """The events that a level begins or ends; a level that is repeated changes nothing."""
        key = (level.camera, str(level.kind), level.source)
        event = self._open.get(key)
        if level.active:
            self._inherited.pop(key, None)
            if event is not None:
                return []
            event = self._open[key] = self._raised(level)
            return [event]
        if key in self._inherited:
            self._inherited[key] = level
        elif event is not None:
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
        del self._open[_key(event)]
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
            source=level.source,
            severity=SEVERITY[level.kind],
            first_seen_utc_ns=level.utc_ns,
            last_seen_utc_ns=level.utc_ns,
            frame=reference(frame) if frame else None,
            reason=level.detail,
        )


def _key(event: Event) -> _Key:
    return event.camera, event.name, event.source
