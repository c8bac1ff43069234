"""All active conditions of the line: those that only the supervisor knows, and those that the processes report."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from stream_inspect.levels import Levels
from stream_inspect.log import get_logger
from stream_inspect.messages import CONDITION_REPEAT_S, ActiveCondition, Condition, ConditionKind, LineState, LineStatus
from stream_inspect.service.plan import SUPERVISOR_READS
from stream_inspect.transport.channel import Channels

_READ_AFTER_S = 1.0
"""The process that makes events of conditions has heard a level that was repeated this long ago, when it began to work.
"""
_LAPSES_AFTER_S = 5 * CONDITION_REPEAT_S
"""A process that works and has not repeated a level for this long no longer knows of it: it has been restarted."""

_Key = tuple[ConditionKind, str, str]
"""(kind, camera, source)"""


class SupervisorConditions:
    """Sends the supervisor's own levels, hears those of the processes, and reports how the line stands.

    It has the same list as the process that makes events of conditions. While that process does not work, or cannot
    write the event log, the service's log has them at once.
    """

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        for topic in SUPERVISOR_READS:
            channels.subscribe(topic)
        self._levels: dict[str, Levels] = {}
        """Its own, by their source."""
        self._active: dict[_Key, Condition] = {}
        self._heard_mono_ns: dict[_Key, int] = {}
        """When each active level of a process was last repeated."""
        self._unread: set[_Key] = set()
        """Of its own active ones those that no process has made an event of yet."""
        self._read_since_mono_ns: int | None = None
        self._logged: set[_Key] = set()
        self._status: tuple[str, set[_Key], tuple[str, ...]] = ("", set(), ())
        self._status_due_mono_ns = 0
        self._log = get_logger("supervisor")

    @property
    def active(self) -> list[ActiveCondition]:
        """The active conditions, oldest first. May be called from any thread."""
        return [
            ActiveCondition(
                kind=one.kind, camera=one.camera, source=one.source, detail=one.detail, since_utc_ns=one.utc_ns
            )
            for one in sorted(self._active.copy().values(), key=lambda one: one.utc_ns)
        ]

    def set(self, kind: ConditionKind, detail: str, *, source: str, camera: str = "") -> None:
        """Set one of its own conditions: active where there is a detail to report.

        What was raised while no process could make an event of it stays active until one can: the outage is over by
        then, and would be in no record.
        """
        key = (kind, camera, source)
        if not detail and key in self._unread:
            return
        level = self._levels.setdefault(source, Levels(source)).set(kind, bool(detail), detail, camera=camera)
        if level.active:
            self._active[key] = level
        else:
            self._active.pop(key, None)

    def receive(self, working: Collection[str]) -> None:
        """Take note of what the processes report; `working` are the names of those that run and respond.

        What a process has reported holds for as long as it is down.
        """
        now_mono_ns = time.monotonic_ns()
        for message in self._channels.receive(0.0):
            if isinstance(message, Condition):
                key = (message.kind, message.camera, message.source)
                if message.active:
                    self._active[key] = message
                    self._heard_mono_ns[key] = now_mono_ns
                elif self._heard_mono_ns.pop(key, None) is not None:
                    del self._active[key]
        for key, heard_mono_ns in list(self._heard_mono_ns.items()):
            if key[2] not in working:
                self._heard_mono_ns[key] = now_mono_ns
            elif now_mono_ns - heard_mono_ns > _LAPSES_AFTER_S * 1e9:
                del self._active[key], self._heard_mono_ns[key]

    def send(self, *, are_read: bool, are_recorded: bool) -> None:
        """Send its own levels that have changed or are due again; log what is not recorded.

        `are_read`: the process that makes events of conditions works; `are_recorded`: and the events reach the log.
        """
        now_mono_ns = time.monotonic_ns()
        self._note_unread(now_mono_ns, are_read)
        for levels in self._levels.values():
            for output in levels.due(now_mono_ns):
                self._channels.send(output.topic, output.message)
        for key, one in self._active.items():
            if not are_recorded and key not in self._logged:
                self._logged.add(key)
                self._log.error("condition raised", **_fields(one))
        for key in self._logged - self._active.keys():
            self._logged.discard(key)
            kind, camera, source = key
            self._log.info("condition cleared", camera=camera, name=str(kind), source=source)

    def send_status(self, state: LineState, ended: Sequence[str] = (), judging_in_s: float | None = None) -> None:
        """Report how the line stands: at once when that changes, and every `CONDITION_REPEAT_S`."""
        now_mono_ns = time.monotonic_ns()
        status = (state, set(self._active), tuple(ended))
        if status == self._status and now_mono_ns < self._status_due_mono_ns:
            return
        self._status, self._status_due_mono_ns = status, now_mono_ns + int(CONDITION_REPEAT_S * 1e9)
        message = LineStatus(
            state=state,
            conditions=self.active,
            ended=list(ended),
            judging_in_s=judging_in_s,
            mono_ns=now_mono_ns,
            utc_ns=time.time_ns(),
        )
        self._channels.send("status", message)

    def close(self) -> None:
        """Close the channels."""
        self._channels.close()

    def _note_unread(self, now_mono_ns: int, are_read: bool) -> None:
        if not are_read:
            self._read_since_mono_ns = None
            self._unread |= self._active.keys() - self._heard_mono_ns.keys()
            return
        if self._read_since_mono_ns is None:
            self._read_since_mono_ns = now_mono_ns
            for levels in self._levels.values():
                levels.repeat_now()
        if now_mono_ns - self._read_since_mono_ns > _READ_AFTER_S * 1e9:
            self._unread.clear()


def _fields(one: Condition) -> dict[str, str]:
    return {"camera": one.camera, "name": str(one.kind), "reason": one.detail, "source": one.source}
