"""The conditions that only the supervisor knows: which processes are down, and which cameras are not judged."""

from __future__ import annotations

import time
from typing import Literal

from stream_inspect.levels import Levels
from stream_inspect.log import get_logger
from stream_inspect.messages import CONDITION_REPEAT_S, ActiveCondition, ConditionKind, LineStatus
from stream_inspect.transport.channel import Channels


class SupervisorConditions:
    """Sends the levels to the process that makes events of them, and knows the active ones.

    While that process itself does not work, no event is made of them: then the log has them at once.
    """

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._levels: dict[str, Levels] = {}
        self._active: dict[tuple[ConditionKind, str, str], ActiveCondition] = {}
        self._logged: set[tuple[ConditionKind, str, str]] = set()
        self._status: tuple[str, set[tuple[ConditionKind, str, str]]] = ("", set())
        self._status_due_mono_ns = 0
        self._log = get_logger("supervisor")

    @property
    def active(self) -> list[ActiveCondition]:
        """The active conditions, oldest first. May be called from any thread."""
        return list(self._active.copy().values())

    def set(self, kind: ConditionKind, detail: str, *, source: str, camera: str = "") -> None:
        """Set one condition: active where there is a detail to report."""
        levels = self._levels.setdefault(source, Levels(source))
        levels.set(kind, bool(detail), detail, camera=camera)
        if detail:
            before = self._active.get((kind, camera, source))
            since_utc_ns = before.since_utc_ns if before else time.time_ns()
            self._active[kind, camera, source] = ActiveCondition(
                kind=kind, camera=camera, source=source, detail=detail, since_utc_ns=since_utc_ns
            )
        else:
            self._active.pop((kind, camera, source), None)

    def send(self, *, are_read: bool) -> None:
        """Send what has changed or is due again; log what no process can make an event of."""
        now_mono_ns = time.monotonic_ns()
        for levels in self._levels.values():
            for output in levels.due(now_mono_ns):
                self._channels.send(output.topic, output.message)  # repeated, if the mailbox is full
        for key, one in self._active.items():
            if not are_read and key not in self._logged:
                self._logged.add(key)
                self._log.error("condition raised", **_fields(one))
        for key in self._logged - self._active.keys():
            self._logged.discard(key)
            kind, camera, source = key
            self._log.info("condition cleared", camera=camera, name=str(kind), source=source)

    def send_status(self, state: Literal["starting", "ok", "degraded", "stopping"]) -> None:
        """Report how the line stands: at once when that changes, and every `CONDITION_REPEAT_S`."""
        now_mono_ns = time.monotonic_ns()
        status = (state, set(self._active))
        if status == self._status and now_mono_ns < self._status_due_mono_ns:
            return
        self._status, self._status_due_mono_ns = status, now_mono_ns + int(CONDITION_REPEAT_S * 1e9)
        message = LineStatus(state=state, conditions=self.active, mono_ns=now_mono_ns, utc_ns=time.time_ns())
        self._channels.send("status", message)

    def close(self) -> None:
        """Close the channels."""
        self._channels.close()


def _fields(one: ActiveCondition) -> dict[str, str]:
    return {"camera": one.camera, "name": str(one.kind), "reason": one.detail, "source": one.source}
