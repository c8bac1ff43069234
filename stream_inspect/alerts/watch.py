"""What is reported of an output, to the outputs that work: that it does not deliver, that it rejected events."""

from __future__ import annotations

import time
from collections.abc import Sequence

from stream_inspect.alerts.outbox import Outage
from stream_inspect.levels import Levels
from stream_inspect.messages import ActiveCondition, Condition, ConditionKind, Output
from stream_inspect.redact import redact

FAILING_AFTER_S = 1.5
"""A broker that is restarted has returned by then. An output that is refused is reported at once: no retry helps it."""
HANGS_AFTER_S = 2.5
"""One delivery, or one connection, that takes longer than this is reported before its own time-out ends it."""
STEADY_AFTER_S = 30.0
"""One that fails again within this time of its recovery counts as recovered when it has worked for as long. Each begin
and end is an event, which goes to the failing output too: one that fails every second time would feed itself."""


REJECTED_FOR_S = 3600.0
"""A dead letter is reported for this long after the last one, or until it is sent again. A log line alone is seen by no
operator, and a condition without an end would hide the next."""


class OutputWatch:
    """The conditions of one output, `output_failing` and `alerts_rejected`; their source is the output's name."""

    def __init__(self, output: str, hidden: Sequence[str] = ()) -> None:
        """`hidden` are the secrets of the output: a plug-in's error may quote them."""
        self._output = output
        self._hidden = hidden
        self._levels = Levels(output)
        self._outage_seen: tuple[int, int] = (0, 0)
        """When the present outage began, in UTC, and when it was first seen here, monotonic."""
        self._failed_mono_ns = 0
        self._ended_mono_ns = -round(STEADY_AFTER_S * 1e9)
        self._hold_ns = 0
        self._begun_mono_ns = 0
        """When the outage that is reported began, as far as was seen here."""
        self.condition: ActiveCondition | None = None
        """`output_failing`; None while it delivers."""

    def update(self, outage: Outage | None, busy_s: float, waiting: int, now_mono_ns: int) -> None:
        """How it stands now: its outage, how long its present step has taken, how many events wait for it."""
        lasting = self._lasting(outage, busy_s, now_mono_ns)
        if lasting is not None:
            if self.condition is None:
                fails_again = now_mono_ns - self._ended_mono_ns < STEADY_AFTER_S * 1e9
                self._hold_ns = round(STEADY_AFTER_S * 1e9) if fails_again else 0
                self._begun_mono_ns = self._outage_seen[1] if outage else now_mono_ns - round(busy_s * 1e9)
            self._failed_mono_ns = now_mono_ns
            self._begin_or_continue(lasting, waiting, now_mono_ns)
        elif self.condition is None or now_mono_ns - self._failed_mono_ns >= self._hold_ns:
            self._end(now_mono_ns)

    def update_rejected(self, count: int, reason: str) -> None:
        """How many events became dead letters within `REJECTED_FOR_S`, and why the last one did."""
        events = f"{count} event{'' if count == 1 else 's'} rejected within the hour"
        detail = f"{events}, see `stream-inspect refused`; the last: {redact(reason, self._hidden)}" if count else ""
        self._levels.set(ConditionKind.ALERTS_REJECTED, count > 0, detail)

    def due(self, now_mono_ns: int) -> list[Output]:
        """The level, when it has changed or has to be repeated."""
        return self._levels.due(now_mono_ns)

    def _lasting(self, outage: Outage | None, busy_s: float, now_mono_ns: int) -> Outage | None:
        """The outage, once it is worth reporting."""
        if outage is None:
            if busy_s <= HANGS_AFTER_S:
                return None
            return Outage(f"no answer for {busy_s:.0f} s", time.time_ns() - round(busy_s * 1e9), refused=False)
        if self._outage_seen[0] != outage.since_utc_ns:
            self._outage_seen = (outage.since_utc_ns, now_mono_ns)
        lasts = now_mono_ns - self._outage_seen[1] > FAILING_AFTER_S * 1e9 or busy_s > HANGS_AFTER_S
        return outage if outage.refused or lasts or self.condition is not None else None

    def _begin_or_continue(self, outage: Outage, waiting: int, now_mono_ns: int) -> None:
        since_utc_ns = self.condition.since_utc_ns if self.condition else outage.since_utc_ns
        reason = redact(outage.reason, self._hidden)
        detail = f"{reason}; {waiting} event{'' if waiting == 1 else 's'} waiting"
        self.condition = ActiveCondition(
            kind=ConditionKind.OUTPUT_FAILING,
            camera="",
            source=self._output,
            detail=detail,
            since_utc_ns=since_utc_ns,
        )
        self._put(True, detail, now_mono_ns, since_utc_ns)

    def _end(self, now_mono_ns: int) -> None:
        detail = ""
        if self.condition is not None:
            self._ended_mono_ns = now_mono_ns
            detail = f"delivers again after {(now_mono_ns - self._begun_mono_ns) / 1e9:.0f} s"
        self.condition = None
        self._put(False, detail, now_mono_ns, time.time_ns())

    def _put(self, active: bool, detail: str, mono_ns: int, utc_ns: int) -> None:
        self._levels.put(
            Condition(
                camera="",
                kind=ConditionKind.OUTPUT_FAILING,
                active=active,
                source=self._output,
                detail=detail,
                mono_ns=mono_ns,
                utc_ns=utc_ns,
            )
        )
