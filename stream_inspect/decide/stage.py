"""The decide stage: tracks and conditions in, events out. One event a defect, not one a frame.

Every event is in the event log before it is sent anywhere: what the log holds will reach the outputs, whatever dies.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from stream_inspect import metrics
from stream_inspect.config.models import Config
from stream_inspect.decide.event_log import EventLog
from stream_inspect.decide.rules import NOfM, shows
from stream_inspect.decide.states import Observation, State, advance
from stream_inspect.errors import StreamInspectError
from stream_inspect.log import get_logger
from stream_inspect.messages import (
    AnyMessage,
    Clock,
    Condition,
    Event,
    EventState,
    FrameHeader,
    FrameRef,
    Output,
    Tracked,
    TrackUpdate,
    event_id,
)
from stream_inspect.store.files import clip_name, picture_name

_REASONS = {Observation.LEFT: "left", Observation.LOST: "lost"}
_INTERRUPTED = "interrupted"
"""The service was stopped while it was open."""
_ADOPTED_SETTLE_S = 5.0
"""Sources repeat themselves every two seconds: by now each that still says an adopted condition has said so. Until then
one source's "all is well" does not end what another one's "it lasts" is on its way for."""
_ADOPTED_SILENCE_S = 10.0
"""Nobody says anything of it, good or bad: whoever knew it is no more (a camera or a rule taken out of the config)."""
_PRUNE_EVERY_S = 60.0
_DAY_NS = 86_400 * 10**9
_ConditionKey = tuple[str, str]
"""(camera, kind)"""
CONDITION_SEVERITY = "critical"
"""A camera that sees nothing lets every defect pass."""


class _TrackedDefect:
    """What is known of one tracked defect."""

    def __init__(self, rule: NOfM, first_utc_ns: int) -> None:
        self.rule = rule
        self.state = State.SUSPECT
        self.first_utc_ns = self.last_utc_ns = first_utc_ns
        self.score = 0.0
        self.views = 0
        self.severities: dict[str, str] = {}
        """Of each name that the detector has given it: the name told is the one it was given most."""
        self.event: Event | None = None
        """The confirmed event, once there is one: the cleared one is made from it."""


class DecideStage:
    """Turns `Tracked` and `Condition` into `Event`."""

    wake_fd: int | None = None

    def __init__(self, config: Config, log: EventLog) -> None:
        self._config = config
        self._events = log
        self._defects: dict[tuple[str, int], _TrackedDefect] = {}
        """By (camera, track): a tracker never uses a number twice."""
        self._conditions: dict[_ConditionKey, Event] = {}
        """The open condition events."""
        self._sources: dict[_ConditionKey, set[str]] = {}
        """Who says at present that a condition lasts."""
        self._adopted: dict[_ConditionKey, Condition | None] = {}
        """Open condition events of an earlier life that no source has confirmed yet, each with the last denial."""
        self._adopted_mono_ns: int | None = None
        self._numbers: dict[tuple[str, int, str], int] = {}
        self._unwritten: list[Event] = []
        self._stuck = False
        self._prune_at_ns = 0
        self._log = get_logger(__name__, stage="decide")

    def open(self) -> None:
        """Take over what an earlier life left open.

        Defects were followed by tracks that are gone: they go out cleared, at the first tick. Conditions are adopted:
        their sources repeat how they stand, which confirms or ends them.
        """
        for event in self._events.open_events():
            if event.kind == "condition":
                self._conditions[event.camera, event.name] = event
                self._adopted[event.camera, event.name] = None
                metrics.CONDITION.labels(event.camera, event.name).set(1)
            else:
                self._unwritten.append(_cleared(event, reason=_INTERRUPTED))
        if self._unwritten:
            self._log.info("cleared the events that an earlier life left open", events=len(self._unwritten))

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        for message in batch:
            if isinstance(message, Tracked):
                self._unwritten += self._decide(message)
            elif isinstance(message, Condition):
                self._unwritten += self._condition(message)
        return self._write()

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        self._unwritten += self._give_up_adopted(now_mono_ns)
        yield from self._write()  # told before the log is locked for housekeeping
        if now_mono_ns >= self._prune_at_ns:
            self._prune_at_ns = now_mono_ns + int(_PRUNE_EVERY_S * 1e9)
            self._prune()

    def undelivered(self, output: Output) -> None:
        """`events` is a broadcast: it is never refused. Alerts read the log."""

    def finish(self) -> Iterable[Output]:
        """Clear the defects that are still open when the line is stopped: their tracks end here."""
        open_ones = [defect.event for defect in self._defects.values() if defect.event is not None]
        self._unwritten += [_cleared(event, reason=_INTERRUPTED) for event in open_ones]
        self._defects.clear()
        return self._write()

    def close(self) -> None:
        self._write()
        self._defects.clear()

    def _write(self) -> list[Output]:
        """Put new events into the log, then tell them. While the log cannot be written they wait, in order."""
        if not self._unwritten:
            return []
        try:
            self._events.append(self._unwritten)
        except StreamInspectError as error:
            if not self._stuck:
                self._log.error("events wait: the event log cannot be written", error=str(error))
            self._stuck = True
            return []
        if self._stuck:
            self._log.info("the event log can be written again", events=len(self._unwritten))
        self._stuck = False
        events, self._unwritten = self._unwritten, []
        for event in events:
            metrics.EVENTS.labels(event.camera, event.name, event.state).inc()
            if event.kind == "condition":
                metrics.CONDITION.labels(event.camera, event.name).set(event.state is EventState.CONFIRMED)
            elif event.state is EventState.CONFIRMED and event.frame and event.frame.clock is not Clock.MEDIA:
                latency_s = (time.monotonic_ns() - event.frame.capture_mono_ns) / 1e9
                metrics.CAPTURE_TO_EVENT.labels(event.camera).observe(latency_s)
            self._log.info("event", id=event.id, state=str(event.state), reason=event.reason)
        return [Output("events", event) for event in events]

    def _prune(self) -> None:
        """Events go when their clips and pictures do: a bounded number at a time, whoever else runs or does not."""
        max_age_ns = round(self._config.recorder.max_age_days * _DAY_NS)
        try:
            pruned = self._events.prune(time.time_ns() - max_age_ns)
        except StreamInspectError as error:
            self._log.warning("old events cannot be removed", error=str(error))
        else:
            if pruned:
                self._log.info("old events removed", events=pruned)

    def _decide(self, tracked: Tracked) -> list[Event]:
        events: list[Event] = []
        camera = tracked.frame.id.camera
        for update in tracked.tracks:
            key = (camera, update.track)
            defect = self._defects.get(key)
            if defect is None:
                rule = NOfM(self._config.decide.confirm_hits, self._config.decide.confirm_window)
                defect = self._defects[key] = _TrackedDefect(rule, tracked.frame.capture_utc_ns)
            events += self._advance(defect, self._look(defect, update, tracked.frame), update, tracked)
        for update in tracked.ended:
            defect = self._defects.pop((camera, update.track), None)
            if defect is not None:
                events += self._advance(
                    defect, {Observation.LEFT if update.left else Observation.LOST}, update, tracked
                )
        return events

    @staticmethod
    def _look(defect: _TrackedDefect, update: TrackUpdate, frame: FrameHeader) -> set[Observation]:
        """Take note of what this judged frame shows of the defect."""
        if update.seen:
            defect.views += 1
            defect.score = max(defect.score, update.score)
            defect.last_utc_ns = max(defect.last_utc_ns, frame.capture_utc_ns)
        if update.detection is not None:
            defect.severities[update.detection.defect] = update.detection.severity
        enough = shows(update, frame.width_px, frame.height_px) and defect.rule.add(update.seen)
        return {Observation.ENOUGH} if enough else set()

    def _advance(
        self, defect: _TrackedDefect, signs: set[Observation], update: TrackUpdate, tracked: Tracked
    ) -> list[Event]:
        defect.state, told = advance(defect.state, signs)
        events = []
        for state, sign in told:
            if state is EventState.CONFIRMED:
                defect.event = self._confirmed(defect, update, tracked)
                events.append(defect.event)
            elif defect.event is not None:
                events.append(
                    _cleared(
                        defect.event,
                        reason=_REASONS[sign],
                        last_seen_utc_ns=defect.last_utc_ns,
                        score=defect.score,
                        views=defect.views,
                    )
                )
        return events

    def _confirmed(self, defect: _TrackedDefect, update: TrackUpdate, tracked: Tracked) -> Event:
        frame, seen = tracked.frame, update.detection
        camera = frame.id.camera
        name = update.defect
        identity = self._new_id(camera, frame.id.session, name)
        kept = self._config.recorder.enabled
        return Event(
            id=identity,
            key=f"{identity}:{EventState.CONFIRMED}",
            kind="defect",
            state=EventState.CONFIRMED,
            line=self._config.line_of(camera),
            camera=camera,
            name=name,
            severity=defect.severities.get(name, "major"),
            first_seen_utc_ns=defect.first_utc_ns,
            last_seen_utc_ns=defect.last_utc_ns,
            score=defect.score,
            box_xyxy_px=update.box_xyxy_px,
            outline_px=seen.outline_px if seen else [],
            extent=seen.extent if seen else None,
            track=update.track,
            views=defect.views,
            frame=_reference(frame),
            picture=picture_name(identity) if kept else None,
            clip=clip_name(identity) if kept else None,
            model_hash=tracked.model_hash,
            prompts_hash=tracked.prompts_hash,
            reason=f"seen in {self._config.decide.confirm_hits} of {self._config.decide.confirm_window} judged frames",
        )

    def _condition(self, condition: Condition) -> list[Event]:
        """Take a level: a condition lasts while any source says so, and saying it twice changes nothing."""
        key = (condition.camera, str(condition.kind))
        sources = self._sources.setdefault(key, set())
        event = self._conditions.get(key)
        if condition.active:
            sources.add(condition.source)
            self._adopted.pop(key, None)
            if event is not None:
                return []
            event = self._conditions[key] = self._begun(condition)
            return [event]
        sources.discard(condition.source)
        if key in self._adopted:
            self._adopted[key] = condition
        elif event is not None and not sources:
            return [self._ended(event, condition)]
        return []

    def _give_up_adopted(self, now_mono_ns: int) -> list[Event]:
        """End the adopted conditions that have been denied, or of which nobody has said anything."""
        if not self._adopted:
            return []
        if self._adopted_mono_ns is None:
            self._adopted_mono_ns = now_mono_ns
        waited_s = (now_mono_ns - self._adopted_mono_ns) / 1e9
        events = []
        for key, denial in list(self._adopted.items()):
            if waited_s >= (_ADOPTED_SILENCE_S if denial is None else _ADOPTED_SETTLE_S):
                del self._adopted[key]
                events.append(self._ended(self._conditions[key], denial))
        return events

    def _ended(self, event: Event, denial: Condition | None) -> Event:
        del self._conditions[event.camera, event.name]
        if denial is None:
            return _cleared(event, reason=_INTERRUPTED)
        ended_utc_ns = max(event.first_seen_utc_ns, denial.utc_ns)
        return _cleared(event, reason=denial.detail, last_seen_utc_ns=ended_utc_ns)

    def _begun(self, condition: Condition) -> Event:
        frame = condition.frame
        name = str(condition.kind)
        identity = self._new_id(condition.camera, frame.id.session if frame else 0, name)
        return Event(
            id=identity,
            key=f"{identity}:{EventState.CONFIRMED}",
            kind="condition",
            state=EventState.CONFIRMED,
            line=self._config.line_of(condition.camera),
            camera=condition.camera,
            name=name,
            severity=CONDITION_SEVERITY,
            first_seen_utc_ns=condition.utc_ns,
            last_seen_utc_ns=condition.utc_ns,
            frame=_reference(frame) if frame else None,
            reason=condition.detail,
        )

    def _new_id(self, camera: str, session: int, name: str) -> str:
        triple = (camera, session, name)
        if triple not in self._numbers:
            self._numbers[triple] = self._events.last_n(camera, session, name)
        self._numbers[triple] += 1
        return event_id(camera, session, name, self._numbers[triple])


def _cleared(confirmed: Event, **at_the_end: Any) -> Event:
    """The same event at its end: frame, box and picture stay those that it was confirmed with."""
    key = f"{confirmed.id}:{EventState.CLEARED}"
    return msgspec.structs.replace(confirmed, state=EventState.CLEARED, key=key, **at_the_end)


def _reference(frame: FrameHeader) -> FrameRef:
    identity = frame.id
    return FrameRef(
        session=identity.session,
        seq=identity.seq,
        pts=identity.pts,
        pts_s=identity.pts_s,
        width_px=frame.width_px,
        height_px=frame.height_px,
        capture_mono_ns=frame.capture_mono_ns,
        capture_utc_ns=frame.capture_utc_ns,
        clock=frame.clock,
    )
