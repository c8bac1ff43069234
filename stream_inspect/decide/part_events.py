"""From a part's verdict to its event, and to the log: one event a part, and few lines however many parts fail."""

from __future__ import annotations

from collections import Counter

from stream_inspect.decide.events import event_key
from stream_inspect.log import get_logger
from stream_inspect.messages import DecidedPart, Event, EventState, PartVerdict, Severity, Verdict, part_id

_SEVERITY: dict[Verdict, Severity] = {Verdict.PASS: "minor", Verdict.FAIL: "major", Verdict.UNDECIDED: "major"}
"""What was not seen may be as bad as what was found."""
_LOGGED = {Verdict.FAIL: "part failed", Verdict.UNDECIDED: "part undecided"}
LOG_EVERY_NS = 60_000_000_000
"""A line may make ten parts a second, and a camera that is out of focus leaves all of them undecided."""


def part_event(verdict: PartVerdict) -> Event:
    """The event of a part's first verdict, made of that alone: the same again where it is given once more."""
    identity = part_id(verdict.line, verdict.run, verdict.part)
    return Event(
        id=identity,
        key=event_key(identity, EventState.DECIDED),
        kind="part",
        state=EventState.DECIDED,
        line=verdict.line,
        camera="",
        name=verdict.verdict,
        severity=_SEVERITY[verdict.verdict],
        first_seen_utc_ns=verdict.decided_utc_ns,
        last_seen_utc_ns=verdict.decided_utc_ns,
        views=verdict.views,
        reason=verdict.why,
        part=DecidedPart(
            run=verdict.run,
            number=verdict.part,
            lane=verdict.lane,
            serial=verdict.serial,
            lot=verdict.lot,
            verdict=verdict.verdict,
            reason=verdict.reason,
            defects=verdict.defects,
            trigger_utc_ns=verdict.trigger_utc_ns,
            gate_utc_ns=verdict.gate_utc_ns,
            decided_mono_ns=verdict.decided_mono_ns,
        ),
    )


class PartLog:
    """Logs the first part of each verdict and reason at once, and then once a minute how many there were since."""

    def __init__(self) -> None:
        self._since: Counter[tuple[str, str, str]] = Counter()
        """Of each (line, verdict, reason) that was logged within the minute, those that were not."""
        self._due_ns: int | None = None
        self._log = get_logger(__name__, stage="decide")

    def note(self, event: Event) -> None:
        """An event of a part; one that passed is not logged."""
        part = event.part
        if part is None or part.verdict is Verdict.PASS:
            return
        kind = event.line, str(part.verdict), str(part.reason)
        if kind in self._since:
            self._since[kind] += 1
            return
        self._since[kind] = 0
        fields = {"serial": part.serial} if part.serial else {}
        self._log.info(
            _LOGGED[part.verdict], line=event.line, lane=part.lane, part=part.number, **fields, reason=event.reason,
            id=event.id,
        )  # fmt: skip

    def tick(self, now_mono_ns: int) -> None:
        """Log what there is to be summed up."""
        if not self._since:
            self._due_ns = None
        elif self._due_ns is None:
            self._due_ns = now_mono_ns + LOG_EVERY_NS
        elif now_mono_ns >= self._due_ns:
            self._due_ns = None
            self.sum_up()

    def sum_up(self) -> None:
        """One line for each kind that there was more than one of; from now on the first of each is logged again."""
        for (line, verdict, reason), parts in self._since.items():
            if parts:
                self._log.info("parts not logged one by one", line=line, verdict=verdict, cause=reason, parts=parts)
        # A kind that continues is not logged one by one in the next minute either.
        self._since = Counter({kind: 0 for kind, parts in self._since.items() if parts})
