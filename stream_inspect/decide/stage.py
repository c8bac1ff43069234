"""The decide stage: tracks and conditions in, events out. One event a defect, not one a frame.

Every event is in the event log before it is sent anywhere: what the log holds will reach the outputs, whatever dies.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from stream_inspect import metrics
from stream_inspect.config.models import Config
from stream_inspect.decide.conditions import Conditions
from stream_inspect.decide.event_log import EventLog
from stream_inspect.decide.events import INTERRUPTED, EventIds, cleared, event_key, reference
from stream_inspect.decide.rules import Rule, Sighting, make_rule
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
    Output,
    Tracked,
    TrackUpdate,
)
from stream_inspect.store.files import clip_name, picture_name

_REASONS = {Observation.LEFT: "left", Observation.LOST: "lost"}
_PRUNE_EVERY_S = 60.0
_DAY_NS = 86_400 * 10**9
_LOGGED = {
    ("defect", EventState.CONFIRMED): "defect confirmed",
    ("defect", EventState.CLEARED): "defect cleared",
    ("condition", EventState.CONFIRMED): "condition raised",
    ("condition", EventState.CLEARED): "condition cleared",
}


class _TrackedDefect:
    """What is known of one tracked defect."""

    def __init__(self, rule: Rule, first_utc_ns: int) -> None:
        self.rule = rule
        self.state = State.SUSPECT
        self.first_utc_ns = self.last_utc_ns = first_utc_ns
        self.score = 0.0
        self.views = 0
        self.severities: dict[str, str] = {}
        """Of each name that the detector has given it: the event's name is the one it was given most."""
        self.event: Event | None = None
        """The confirmed event, once there is one: the cleared one is made from it."""

    def look(self, update: TrackUpdate, frame: FrameHeader) -> set[Observation]:
        """Take note of what this judged frame shows of the defect."""
        if update.doubtful:
            return set()
        if update.seen:
            self.views += 1
            self.score = max(self.score, update.score)
            self.last_utc_ns = max(self.last_utc_ns, frame.capture_utc_ns)
        if update.detection is not None:
            self.severities[update.detection.defect] = update.detection.severity
        return {Observation.ENOUGH} if self.rule.see(Sighting.of(update, frame)) else set()


class DecideStage:
    """Turns `Tracked` and `Condition` into `Event`."""

    wake_fd: int | None = None

    def __init__(self, config: Config, log: EventLog) -> None:
        self._config = config
        self._events = log
        self._ids = EventIds(log)
        self._defects: dict[tuple[str, int], _TrackedDefect] = {}
        """By (camera, track): a tracker never uses a number twice."""
        self._conditions = Conditions(self._ids, config.line_of)
        self._unwritten: list[Event] = []
        self._log_unavailable = False
        self._prune_at_ns = 0
        self._log = get_logger(__name__, stage="decide")

    def open(self) -> None:
        """Take over what the previous run left open.

        Defects were followed by tracks that are gone: they are cleared, at the first tick. Conditions are inherited:
        their sources repeat how they stand, which confirms or ends them.
        """
        for event in self._events.open_events():
            if event.kind == "condition":
                self._conditions.inherit(event)
                metrics.CONDITION.labels(event.camera, event.name).set(1)
            else:
                self._unwritten.append(cleared(event, reason=INTERRUPTED))
        if self._unwritten:
            self._log.info("closed events left open by the previous run", events=len(self._unwritten))

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        for message in batch:
            if isinstance(message, Tracked):
                self._unwritten += self._decide(message)
            elif isinstance(message, Condition):
                self._unwritten += self._conditions.update(message)
        return self._write()

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        self._unwritten += self._conditions.expire_inherited(now_mono_ns)
        yield from self._write()  # sent before the log is locked for housekeeping
        if now_mono_ns >= self._prune_at_ns:
            self._prune_at_ns = now_mono_ns + int(_PRUNE_EVERY_S * 1e9)
            self._prune()

    def undelivered(self, output: Output) -> None:
        """`events` is a broadcast: it is never refused. Alerts read the log."""

    def finish(self) -> Iterable[Output]:
        """Clear the defects that are still open when the line is stopped: their tracks end here."""
        open_ones = [defect.event for defect in self._defects.values() if defect.event is not None]
        self._unwritten += [cleared(event, reason=INTERRUPTED) for event in open_ones]
        self._defects.clear()
        return self._write()

    def close(self) -> None:
        self._write()
        self._defects.clear()

    def _write(self) -> list[Output]:
        """Append new events to the log, then send them. While the log cannot be written they wait, in order."""
        if not self._unwritten:
            return []
        try:
            self._events.append(self._unwritten)
        except StreamInspectError as error:
            if not self._log_unavailable:
                self._log.error("cannot write the event log; holding events in memory", error=str(error))
            self._log_unavailable = True
            return []
        if self._log_unavailable:
            self._log.info("event log writable again", events=len(self._unwritten))
        self._log_unavailable = False
        events, self._unwritten = self._unwritten, []
        for event in events:
            metrics.EVENTS.labels(event.camera, event.name, event.state).inc()
            if event.kind == "condition":
                still_open = self._conditions.is_open(event.camera, event.name)
                metrics.CONDITION.labels(event.camera, event.name).set(still_open)
            elif event.state is EventState.CONFIRMED and event.frame and event.frame.clock is not Clock.MEDIA:
                latency_s = (time.monotonic_ns() - event.frame.capture_mono_ns) / 1e9
                metrics.CAPTURE_TO_EVENT.labels(event.camera).observe(latency_s)
            self._log.info(_LOGGED[event.kind, event.state], **_summary(event))
        return [Output("events", event) for event in events]

    def _prune(self) -> None:
        """Remove events when their clips and pictures go: a bounded number at a time, with or without outputs."""
        max_age_ns = round(self._config.recorder.max_age_days * _DAY_NS)
        try:
            pruned = self._events.prune(time.time_ns() - max_age_ns)
        except StreamInspectError as error:
            self._log.warning("cannot prune old events", error=str(error))
        else:
            if pruned:
                self._log.info("pruned old events", events=pruned)

    def _decide(self, tracked: Tracked) -> list[Event]:
        events: list[Event] = []
        camera = tracked.frame.id.camera
        for update in tracked.tracks:
            key = (camera, update.track)
            defect = self._defects.get(key)
            if defect is None:
                rule = make_rule(self._config.decide)
                defect = self._defects[key] = _TrackedDefect(rule, tracked.frame.capture_utc_ns)
            events += self._advance(defect, defect.look(update, tracked.frame), update, tracked)
        for update in tracked.ended:
            defect = self._defects.pop((camera, update.track), None)
            if defect is not None:
                end = Observation.LEFT if update.left else Observation.LOST
                events += self._advance(defect, {end}, update, tracked)
        return events

    def _advance(
        self, defect: _TrackedDefect, observations: set[Observation], update: TrackUpdate, tracked: Tracked
    ) -> list[Event]:
        defect.state, changes = advance(defect.state, observations)
        events = []
        for state, cause in changes:
            if state is EventState.CONFIRMED:
                defect.event = self._confirmed(defect, update, tracked)
                events.append(defect.event)
            elif defect.event is not None:
                events.append(
                    cleared(
                        defect.event,
                        reason=_REASONS[cause],
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
        identity = self._ids.next(camera, frame.id.session, name)
        kept = self._config.recorder.enabled
        return Event(
            id=identity,
            key=event_key(identity, EventState.CONFIRMED),
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
            frame=reference(frame),
            picture=picture_name(identity) if kept else None,
            clip=clip_name(identity) if kept else None,
            model_hash=tracked.model_hash,
            prompts_hash=tracked.prompts_hash,
            reason=defect.rule.sentence(),
        )


def _summary(event: Event) -> dict[str, object]:
    """What a log line says of an event: enough to know at night whether to get up."""
    fields: dict[str, object] = {"camera": event.camera, "name": event.name, "severity": event.severity}
    if event.score is not None:
        fields["score"] = round(event.score, 2)
    return {**fields, "reason": event.reason, "id": event.id}
