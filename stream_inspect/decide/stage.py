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
from stream_inspect.decide.states import Sign, State, advance
from stream_inspect.errors import StreamInspectError
from stream_inspect.log import get_logger
from stream_inspect.messages import (
    AnyMessage,
    Clock,
    Condition,
    ConditionKind,
    Event,
    EventState,
    FrameHeader,
    FrameRef,
    Output,
    Tracked,
    TrackUpdate,
)

_REASONS = {Sign.LEFT: "left", Sign.LOST: "lost", Sign.INTERRUPTED: "interrupted"}
_REPEATED = {str(ConditionKind.RECORDING_STOPPED)}
"""Conditions whose sender says them again and again while they last."""
CONDITION_SEVERITY = "critical"
"""A camera that sees nothing lets every defect pass."""


class _Life:
    """What is known of one tracked defect."""

    def __init__(self, rule: NOfM, first_utc_ns: int) -> None:
        self.rule = rule
        self.state = State.SUSPECT
        self.first_utc_ns = self.last_utc_ns = first_utc_ns
        self.score = 0.0
        self.views = 0
        self.event: Event | None = None
        """The confirmed event, once there is one: the cleared one is made from it."""


class DecideStage:
    """Turns `Tracked` and `Condition` into `Event`."""

    wake_fd: int | None = None

    def __init__(self, config: Config, log: EventLog) -> None:
        self._config = config
        self._events = log
        self._lives: dict[tuple[str, int], _Life] = {}
        """By (camera, track): a tracker never uses a number twice."""
        self._conditions: dict[tuple[str, str], Event] = {}
        self._numbers: dict[tuple[str, int, str], int] = {}
        self._unwritten: list[Event] = []
        self._stuck = False
        self._log = get_logger(__name__, stage="decide")

    def open(self) -> None:
        """Take over what an earlier life left open. What cannot be followed any more goes out cleared, at first tick.

        Defects were followed by tracks that are gone. A condition lasts until its sender takes it back, and senders say
        once at their own start that all is well; only one that is repeated while it lasts need not be kept.
        """
        known = {"", *(camera.name for camera in self._config.cameras)}
        for event in self._events.open_events():
            if event.kind == "condition" and event.camera in known and event.name not in _REPEATED:
                self._conditions[event.camera, event.name] = event
                metrics.CONDITION.labels(event.camera, event.name).set(1)
            else:
                self._unwritten.append(_cleared(event, reason=_REASONS[Sign.INTERRUPTED]))
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
        return self._write()

    def undelivered(self, output: Output) -> None:
        """`events` is a broadcast: it is never refused. Alerts read the log."""

    def close(self) -> None:
        self._write()
        self._lives.clear()

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

    def _decide(self, tracked: Tracked) -> list[Event]:
        events: list[Event] = []
        camera = tracked.frame.id.camera
        for update in tracked.tracks:
            key = (camera, update.track)
            life = self._lives.get(key)
            if life is None:
                rule = NOfM(self._config.decide.confirm_hits, self._config.decide.confirm_window)
                life = self._lives[key] = _Life(rule, tracked.frame.capture_utc_ns)
            events += self._advance(life, self._look(life, update, tracked.frame), update, tracked)
        for update in tracked.ended:
            life = self._lives.pop((camera, update.track), None)
            if life is not None:
                events += self._advance(life, {Sign.LEFT if update.left else Sign.LOST}, update, tracked)
        return events

    @staticmethod
    def _look(life: _Life, update: TrackUpdate, frame: FrameHeader) -> set[Sign]:
        """Take note of what this judged frame shows of the defect."""
        if update.seen:
            life.views += 1
            life.score = max(life.score, update.score)
            life.last_utc_ns = max(life.last_utc_ns, frame.capture_utc_ns)
        enough = shows(update, frame.width_px, frame.height_px) and life.rule.add(update.seen)
        return {Sign.ENOUGH} if enough else set()

    def _advance(self, life: _Life, signs: set[Sign], update: TrackUpdate, tracked: Tracked) -> list[Event]:
        life.state, told = advance(life.state, signs)
        events = []
        for state, sign in told:
            if state is EventState.CONFIRMED:
                life.event = self._confirmed(life, update, tracked)
                events.append(life.event)
            elif life.event is not None:
                events.append(
                    _cleared(
                        life.event,
                        reason=_REASONS[sign],
                        last_seen_utc_ns=life.last_utc_ns,
                        score=life.score,
                        views=life.views,
                    )
                )
        return events

    def _confirmed(self, life: _Life, update: TrackUpdate, tracked: Tracked) -> Event:
        frame, seen = tracked.frame, update.detection
        camera = frame.id.camera
        name = update.defect
        event_id = self._new_id(camera, frame.id.session, name)
        kept = self._config.recorder.enabled
        return Event(
            id=event_id,
            key=f"{event_id}:{EventState.CONFIRMED}",
            kind="defect",
            state=EventState.CONFIRMED,
            line=self._config.line_of(camera),
            camera=camera,
            name=name,
            severity=seen.severity if seen else "major",
            first_seen_utc_ns=life.first_utc_ns,
            last_seen_utc_ns=life.last_utc_ns,
            score=life.score,
            box_xyxy_px=update.box_xyxy_px,
            outline_px=seen.outline_px if seen else [],
            extent=seen.extent if seen else None,
            track=update.track,
            views=life.views,
            frame=_reference(frame),
            picture=f"pictures/{event_id}.jpg" if kept else None,
            clip=f"clips/{event_id}.mp4" if kept else None,
            model_hash=tracked.model_hash,
            prompts_hash=tracked.prompts_hash,
            reason=f"seen in {self._config.decide.confirm_hits} of {self._config.decide.confirm_window} judged frames",
        )

    def _condition(self, condition: Condition) -> list[Event]:
        key = (condition.camera, str(condition.kind))
        event = self._conditions.get(key)
        if condition.active and event is None:
            event = self._begun(condition)
            self._conditions[key] = event
            return [event]
        if not condition.active and event is not None:
            del self._conditions[key]
            ended_utc_ns = max(event.first_seen_utc_ns, condition.utc_ns)
            return [_cleared(event, reason=condition.detail, last_seen_utc_ns=ended_utc_ns)]
        return []

    def _begun(self, condition: Condition) -> Event:
        frame = condition.frame
        name = str(condition.kind)
        event_id = self._new_id(condition.camera, frame.id.session if frame else 0, name)
        return Event(
            id=event_id,
            key=f"{event_id}:{EventState.CONFIRMED}",
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
        return f"{camera}-{session}-{name}-{self._numbers[triple]}"


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
