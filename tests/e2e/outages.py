"""What became of each outage: when it was reported, by what, when that ended, and what is wrong with it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from stream_inspect.messages import Event, EventState
from tests.e2e.faults import Fault
from tests.e2e.plant import Plant
from tests.e2e.witness import Report, Sign, Witness

STARTS_S = 20.0
"""An event comes about once a second."""
ENDED_WITHIN_S = 3.0
CAUGHT_UP_WITHIN_S = 1.0
_ON_ITS_WAY_S = 0.5
"""From the capture of a frame to the arrival of what it confirmed."""
OTHER = {"mqtt": "webhook", "webhook": "mqtt"}


def monotonic_s(utc_ns: int) -> float:
    """The monotonic time of a wall time of this run."""
    return utc_ns / 1e9 - (time.time() - time.monotonic())


@dataclass(frozen=True, slots=True)
class Outage:
    """One fault that was. Times are monotonic."""

    fault: Fault
    began_s: float
    ended_s: float
    over_s: float
    """What is reported from here on belongs to the next one."""


def go_through(plant: Plant, witness: Witness, fault: Fault, lasts_s: float, pause_s: float) -> Outage:
    """Let it fail and end, and wait until nothing is reported or late any more; but not for long."""
    plant.subscriber.acknowledge()
    began_s = time.monotonic()
    fault.begin(plant)
    try:
        if (other := OTHER.get(fault.needs_event)) is not None:
            wait(lambda: any(at_s > began_s for at_s, _ in witness.arrivals[other][-50:]), STARTS_S)
        time.sleep(min(lasts_s, fault.lasts_s or lasts_s))
    finally:
        fault.end(plant)
    ended_s = time.monotonic()
    time.sleep(pause_s)
    wait(lambda: not witness.standing() and witness.keys["mqtt"] == witness.keys["webhook"], 10)
    return Outage(fault, began_s, ended_s, time.monotonic())


def wait(condition: Callable[[], bool], within_s: float) -> None:
    """Until the condition holds, or the time is over."""
    until_s = time.monotonic() + within_s
    while not condition() and time.monotonic() < until_s:
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outage, judged: times in seconds after it could be noticed, and after it had ended."""

    outage: Outage
    noticeable_s: float | None
    reported_s: float | None
    by: str
    gone_s: float | None
    caught_up_s: float
    """When everything that was made while it lasted had arrived everywhere."""
    events: int
    """Defects confirmed while it lasted."""
    unexplained: tuple[Report, ...]
    slack_s: float

    @property
    def failures(self) -> Iterator[str]:
        fault = self.outage.fault
        limit_s, gone_limit_s = fault.within_s + self.slack_s, ENDED_WITHIN_S + self.slack_s
        if self.noticeable_s is None:
            yield "no event was made while it lasted, so that nothing could notice it"
        elif self.reported_s is None:
            yield f"not reported as {' or '.join(map(str, fault.reported_as))}"
        elif self.reported_s > limit_s:
            yield f"reported after {self.reported_s:.1f} s, which is more than {limit_s:.1f} s"
        if self.gone_s is None:
            yield "still reported when the next one began"
        elif self.gone_s > gone_limit_s:
            yield f"reported until {self.gone_s:.1f} s after its end, which is more than {gone_limit_s:.1f} s"
        if self.caught_up_s > CAUGHT_UP_WITHIN_S + self.slack_s:
            yield f"its events arrived until {self.caught_up_s:.1f} s after its end"
        for report in self.unexplained:
            yield f"{report.sign} reported by {report.by}, which nothing explains"


def judged(
    outages: Sequence[Outage], witness: Witness, log: Sequence[Event], slack_s: float, excused: Sequence[Sign] = ()
) -> list[Verdict]:
    """The verdict of each outage; `excused` may be reported at any time."""
    confirmed = [one for one in log if one.state is EventState.CONFIRMED]
    made_s = {one.key: monotonic_s(one.last_seen_utc_ns) for one in confirmed}
    defects_s = [made_s[one.key] for one in confirmed if one.kind == "defect"]
    verdicts = []
    for outage in outages:
        fault = outage.fault
        mine = [one for one in witness.reports if outage.began_s <= one.began_s < outage.over_s]
        right = [one for one in mine if any(sign.covers(one.sign) for sign in fault.reported_as)]
        known = [one for one in mine if any(sign.covers(one.sign) for sign in (*fault.reported_as, *fault.also))]
        first = min(right, key=lambda one: one.began_s, default=None)
        noticeable_s = _noticeable_s(outage, witness, made_s.values())
        ends = [one.ended_s for one in known]
        verdicts.append(
            Verdict(
                outage,
                None if noticeable_s is None else noticeable_s - outage.began_s,
                None if first is None else max(0.0, first.began_s - (noticeable_s or outage.began_s)),
                first.by if first else "",
                None if None in ends else max([0.0, *(end - outage.ended_s for end in ends if end is not None)]),
                _caught_up_s(outage, witness, made_s),
                sum(outage.began_s <= at_s <= outage.ended_s for at_s in defects_s),
                tuple(one for one in mine if one not in known and not any(sign.covers(one.sign) for sign in excused)),
                slack_s,
            )
        )
    return verdicts


def _caught_up_s(outage: Outage, witness: Witness, made_s: dict[str, float]) -> float:
    """Seconds after its end until all receivers had what was made while it lasted."""
    keys = {key for key, at_s in made_s.items() if outage.began_s <= at_s < outage.ended_s - _ON_ITS_WAY_S}
    arrivals = [
        at_s
        for arrived in witness.arrivals.values()
        for at_s, event in arrived
        if event["key"].partition(":")[2] in keys
    ]
    return max([0.0, *(at_s - outage.ended_s for at_s in arrivals)])


def _noticeable_s(outage: Outage, witness: Witness, made: Iterable[float]) -> float | None:
    """When the fault could first be noticed; None when it never could."""
    needs = outage.fault.needs_event
    if not needs:
        return outage.began_s
    times = made if needs == "log" else (at_s for at_s, _ in witness.arrivals[OTHER[needs]])
    return min((at_s for at_s in times if outage.began_s < at_s < outage.ended_s), default=None)


def _cell(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f}"


def history(verdicts: Iterable[Verdict], start_s: float) -> str:
    """One line an outage, in order."""
    lines = [
        "| minute | fault | lasted, s | reported after, s | by | ended after, s | caught up after, s | events |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in verdicts:
        outage = one.outage
        lines.append(
            f"| {(outage.began_s - start_s) / 60:.1f} | {outage.fault.name} | {outage.ended_s - outage.began_s:.1f} "
            f"| {_cell(one.reported_s)} | {one.by} | {_cell(one.gone_s)} | {one.caught_up_s:.1f} "
            f"| {one.events} |"
        )
    return "\n".join(lines)


def summary(verdicts: Iterable[Verdict]) -> str:
    """One line a kind of fault, for docs/measurements.md."""
    kinds: dict[str, list[Verdict]] = defaultdict(list)
    for one in verdicts:
        kinds[one.outage.fault.name].append(one)
    lines = [
        "| fault | times | reported after, s | most | by | ended after, s | most | caught up within, s | events |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, ones in kinds.items():
        by = ", ".join(sorted({one.by for one in ones if one.by}))
        after, gone = _spread([one.reported_s for one in ones]), _spread([one.gone_s for one in ones])
        caught_up = max(one.caught_up_s for one in ones)
        events = sum(one.events for one in ones)
        lines.append(f"| {name} | {len(ones)} | {after} | {by} | {gone} | {caught_up:.1f} | {events} |")
    return "\n".join(lines)


def _spread(seconds: Sequence[float | None]) -> str:
    known = [one for one in seconds if one is not None]
    longest = max(known) if len(known) == len(seconds) else None
    return f"{_cell(median(known) if known else None)} | {_cell(longest)}"
