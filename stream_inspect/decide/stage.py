"""The decide stage: tracks and conditions in, events out. One event a defect, not one a frame.

Every event is in the event log before it is sent anywhere: what the log holds will reach the outputs, whatever dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from stream_inspect import metrics
from stream_inspect.config.models import Config
from stream_inspect.decide.conditions import Conditions
from stream_inspect.decide.event_log import EventLog
from stream_inspect.decide.events import INTERRUPTED, EventIds, cleared, event_key, reference
from stream_inspect.decide.line_parts import LineParts
from stream_inspect.decide.part_events import PartLog, part_event
from stream_inspect.decide.rules import Rule, Sighting, make_rule
from stream_inspect.decide.states import Observation, State, advance
from stream_inspect.decide.tallies import CountLog
from stream_inspect.levels import Levels
from stream_inspect.log import get_logger
from stream_inspect.messages import (
    AnyMessage,
    Clock,
    Condition,
    Event,
    EventState,
    FrameHeader,
    Missed,
    Output,
    PartsSeen,
    Tracked,
    TrackUpdate,
    Verdict,
)
from stream_inspect.stopping import TRACK_CLOSE_S
from stream_inspect.store.files import clip_name, picture_name
from stream_inspect.transport.wake import Wake

_REASONS = {Observation.LEFT: "left", Observation.LOST: "lost"}
_FLUSH_S, _LOG_CLOSE_S, _COUNTS_CLOSE_S = 0.5 * TRACK_CLOSE_S, 0.25 * TRACK_CLOSE_S, 0.25 * TRACK_CLOSE_S
_PARTS_KEPT_EVERY_NS = 500_000_000
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
        self.score_seq: int | None = None
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
            if update.score > self.score or self.score_seq is None:
                self.score, self.score_seq = update.score, frame.id.seq
            self.last_utc_ns = max(self.last_utc_ns, frame.capture_utc_ns)
        if update.detection is not None:
            self.severities[update.detection.defect] = update.detection.severity
        return {Observation.ENOUGH} if self.rule.see(Sighting.of(update, frame)) else set()


class DecideStage:
    """Turns `Tracked`, `Condition` and verdicts of parts into `Event`. Hands events to the log and sends them once they
    are in it.

    The recorder gets a defect at once, on `confirmed`: its frames are overwritten within seconds, and the log may be
    locked for longer. A clip needs no event that is on disk; an alert does.
    """

    wake_fd: int | None = None

    def __init__(
        self,
        config: Config,
        log: EventLog,
        records: Path | None = None,
        next_run: Callable[[str], int] = lambda _: 1,
        counts: CountLog | None = None,
    ) -> None:
        """`records` is the folder in memory in which the sums of the parts outlive this process, if they do,
        `next_run` numbers the runs of a line, see `LineParts`, and `counts` keeps how many parts had which verdict.
        """
        self._counts = counts
        self._config = config
        self._events = log
        self._ids = EventIds()
        self._defects: dict[tuple[str, int], _TrackedDefect] = {}
        """By (camera, track): a tracker never uses a number twice."""
        self._lines = [
            LineParts(
                line,
                config.cameras_of(line.name),
                records / f"parts.{line.name}" if records else None,
                partial(next_run, line.name),
                config.decide.confirm_hits,
            )
            for line in config.lines
        ]
        wanted = {verdict for verdict in Verdict if any(verdict in alert.verdicts for alert in config.alerts)}
        self._kept = {Verdict.FAIL, Verdict.UNDECIDED} | wanted
        """Whose parts are events. A good line makes hundreds of thousands a day that pass."""
        self._part_log = PartLog()
        self._parts_of = {camera.name: parts for parts in self._lines for camera in parts.cameras}
        self._stills = {camera.name for camera in config.cameras if camera.stills}
        self._parts_kept_ns = 0
        self._conditions = Conditions(self._ids, config.line_of)
        self._levels = [Levels(line.name) for line in config.lines]
        self._wake = Wake()
        self.wake_fd = self._wake.fd
        self._log = get_logger(__name__, stage="decide")

    def open(self) -> None:
        """Take over what the previous run left open.

        Defects were followed by tracks that are gone: they are cleared, at the first tick. Conditions are inherited:
        their sources repeat how they stand, which confirms or ends them.
        """
        self._ids.restore(self._events.last_numbers())
        interrupted = []
        for event in self._events.open_events():
            if event.kind == "condition":
                self._conditions.inherit(event)
                metrics.CONDITION.labels(event.camera, event.name).set(1)
            else:
                interrupted.append(cleared(event, reason=INTERRUPTED))
        if interrupted:
            self._log.info("closed events left open by the previous run", events=len(interrupted))
        for parts in self._lines:
            parts.open()
        self._events.open(self._wake.set)
        self._events.append(interrupted)

    @property
    def waiting(self) -> int:
        """Events that are not in the event log yet, and so have been sent nowhere."""
        return self._events.waiting

    @property
    def waiting_since_mono_ns(self) -> int:
        """Since when the event log has taken nothing though events wait; 0 while none wait."""
        return self._events.waiting_since_mono_ns

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        to_record: list[Output] = []
        for message in batch:
            if isinstance(message, PartsSeen | Missed):
                self._note_parts(message)
            elif isinstance(message, Tracked):
                events = self._decide(message)
                self._note_defects(message)
                self._events.append(events)
                if self._config.recorder.enabled:
                    to_record += [Output("confirmed", e) for e in events if e.state is EventState.CONFIRMED]
            elif isinstance(message, Condition):
                self._events.append(self._conditions.update(message))
        return [*self._verdicts(), *self._shown(), *to_record, *self._announce()]

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        self._wake.clear()
        self._events.append(self._conditions.expire_inherited(now_mono_ns))
        since_ns = self._events.waiting_since_mono_ns
        parts = self._account_for_parts(now_mono_ns)
        self._watch_parts(now_mono_ns)
        self._part_log.tick(now_mono_ns)
        metrics.EVENTS_WAITING.set(self._events.waiting)
        metrics.EVENT_LOG_STUCK.set((time.monotonic_ns() - since_ns) / 1e9 if since_ns else 0)
        levels = [output for levels in self._levels for output in levels.due(now_mono_ns)]
        return [*parts, *levels, *self._announce()]

    def held(self) -> dict[str, tuple[int, int]]:
        """Events that cannot be written."""
        return {"events in memory": self._events.in_memory}

    def undelivered(self, output: Output) -> None:
        """`events` is a broadcast: it is never refused. Alerts read the log."""

    def finish(self) -> Iterable[Output]:
        """Clear the defects that are still open when the line is stopped: their tracks end here."""
        open_ones = [defect.event for defect in self._defects.values() if defect.event is not None]
        self._events.append([cleared(event, reason=INTERRUPTED) for event in open_ones])
        self._defects.clear()
        for parts in self._lines:
            parts.end()
        self._count()
        if self._counts is not None:
            self._counts.finish()
        self._events.flush(_FLUSH_S)  # nothing is judged any more: what a healthy disk takes is announced too
        return [*self._verdicts(), *self._parts_status(), *self._announce()]

    def close(self) -> None:
        self._part_log.sum_up()
        if self._counts is not None:
            self._counts.close(_COUNTS_CLOSE_S)
        self._events.close(_LOG_CLOSE_S)
        self._wake.close()
        self._defects.clear()

    def _note_parts(self, message: PartsSeen | Missed) -> None:
        if (parts := self._parts_of.get(message.frame.id.camera)) is not None:
            parts.see(message) if isinstance(message, PartsSeen) else parts.missed(message)

    def _note_defects(self, tracked: Tracked) -> None:
        """Note what was found on the parts in a judged frame, and which of it is confirmed by now."""
        camera = tracked.frame.id.camera
        if (parts := self._parts_of.get(camera)) is not None:
            known = {update.track: self._defects.get((camera, update.track)) for update in tracked.tracks}
            parts.judged(tracked, {track for track, defect in known.items() if defect and defect.event})

    def _account_for_parts(self, now_mono_ns: int) -> list[Output]:
        if now_mono_ns - self._parts_kept_ns < _PARTS_KEPT_EVERY_NS:
            return []
        self._parts_kept_ns = now_mono_ns
        for parts in self._lines:
            parts.save()
            parts.export()
        self._count()
        return self._parts_status()

    def _watch_parts(self, now_mono_ns: int) -> None:
        """How the conditions of the lines and their parts stand: this process does not read its own broadcasts."""
        for parts, levels in zip(self._lines, self._levels, strict=True):
            for condition in parts.conditions(now_mono_ns):
                self._events.append(self._conditions.update(levels.put(condition)))

    def _count(self) -> None:
        if self._counts is not None:
            for parts in self._lines:
                self._counts.put(parts.take_tallies())

    def _verdicts(self) -> list[Output]:
        """What has been decided of parts: it is sent at once, and waits for no disk. Its events go the way of all."""
        verdicts = [verdict for parts in self._lines for verdict in parts.take()]
        given = [verdict for verdict in verdicts if verdict.is_first and verdict.verdict in self._kept]
        self._events.append([part_event(verdict) for verdict in given])
        return [Output("verdicts", verdict) for verdict in verdicts]

    def _shown(self) -> list[Output]:
        """Where parts are in the pictures."""
        return [Output("parts_shown", shown) for parts in self._lines for shown in parts.shown.take()]

    def _parts_status(self) -> list[Output]:
        return [Output("parts_status", parts.status()) for parts in self._lines]

    def _announce(self) -> list[Output]:
        """Send the events that are in the log by now."""
        events = self._events.written()
        for event in events:
            metrics.EVENTS.labels(event.camera, event.name, event.state).inc()
            if event.kind == "part":
                self._part_log.note(event)
                continue
            if event.kind == "condition":
                still_open = self._conditions.is_open(event.camera, event.name)
                metrics.CONDITION.labels(event.camera, event.name).set(still_open)
            elif event.state is EventState.CONFIRMED and event.frame and event.frame.clock is not Clock.MEDIA:
                latency_s = (time.monotonic_ns() - event.frame.capture_mono_ns) / 1e9
                metrics.CAPTURE_TO_EVENT.labels(event.camera).observe(latency_s)
            # What is inspected is information; that something is wrong wants to be seen among the warnings.
            is_wrong = event.kind == "condition" and event.state is EventState.CONFIRMED
            log_line = self._log.warning if is_wrong else self._log.info
            log_line(_LOGGED[event.kind, event.state], **_summary(event))
        return [Output("events", event) for event in events]

    def _decide(self, tracked: Tracked) -> list[Event]:
        events: list[Event] = []
        camera = tracked.frame.id.camera
        for update in tracked.tracks:
            key = (camera, update.track)
            defect = self._defects.get(key)
            if defect is None:
                rule = make_rule(self._config.decide, stills=camera in self._stills)
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
                        score_seq=defect.score_seq,
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
            score_seq=defect.score_seq,
            box_xyxy_px=update.box_xyxy_px,
            outline_px=seen.outline_px if seen else [],
            extent=seen.extent if seen else None,
            track=update.track,
            views=defect.views,
            frame=reference(frame),
            picture=picture_name(identity) if kept else None,
            clip=clip_name(identity) if kept and camera not in self._stills else None,
            model_hash=tracked.model_hash,
            prompts_hash=tracked.prompts_hash,
            reason=defect.rule.sentence(),
        )


def _summary(event: Event) -> dict[str, object]:
    """What a log line says of an event: enough to know at night whether to get up."""
    fields: dict[str, object] = {"camera": event.camera, "name": event.name, "severity": event.severity}
    if event.score is not None:
        fields["score"] = round(event.score, 2)
    if event.frame is not None and event.frame.file:
        fields["file"] = event.frame.file
    return {**fields, "reason": event.reason, "id": event.id}
