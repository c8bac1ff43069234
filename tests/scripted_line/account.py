"""Holds what was said of a scripted line's parts against the script. `complaints` is empty where all of it is true."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stream_inspect.messages import Reason, Verdict
from tests.scripted_line.script import PICTURE_MM, Script, ScriptedPart

LATER_S = 2.0
"""How long after something failed a part that enters may still be touched by it: workers load, results are late."""
CERTAINLY_SEEN = 6
"""A part that was so often seen by one process, at known places, has to be counted."""
FEW_VIEWS = frozenset({Reason.NOT_JUDGED, Reason.TOO_FEW_VIEWS, Reason.TOO_LATE})
CUT_OFF = frozenset({Reason.ODOMETER_UNKNOWN, Reason.AT_START, Reason.UNWATCHED, Reason.RESTARTED})
EXPLAINS: Mapping[str, frozenset[Reason]] = {
    "overload": FEW_VIEWS,
    "inspect": FEW_VIEWS,
    "track": FEW_VIEWS | CUT_OFF,
    "outage": FEW_VIEWS | CUT_OFF,
    "capture": FEW_VIEWS | CUT_OFF,
    "service": FEW_VIEWS | CUT_OFF,
}
"""What may leave a part undecided, and for which reasons. Where nothing happened, each part is decided."""
CUTS = {"picture": frozenset({"outage", "capture", "service"}), "encoder": frozenset({"service"})}
"""What breaks the belt's way off, by what it is measured with. A part that is in the picture then is counted once more,
and never as passed: where it went is not known. Over a kill of `track` the way continues."""
BLIND = frozenset({"outage", "capture", "service"})
"""While these last, parts may pass without being seen by anything."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something failed from one time to another, in seconds of the script."""

    what: str
    began_s: float
    ended_s: float


@dataclass(slots=True)
class Counted:
    """One of our parts: what was said of it, and where it lay by the script."""

    id: tuple[int, int]
    """The line's run, and the number in it."""
    verdict: Verdict
    reason: Reason
    why: str
    lane: int
    centre_mm: float
    """The true way of the belt at which its centre passes the picture's upstream edge."""


@dataclass
class Truth:
    """What is known of the run that the service does not know."""

    script: Script
    views: Mapping[int, int]
    """Judged pictures that showed a part whole, by its number."""
    watched: Mapping[int, int]
    """Frames in a row, of one process, in which a part could be found."""
    disturbances: Sequence[Disturbance]
    views_needed: int
    odometer: str = "picture"
    times: dict[int, tuple[float, float]] = field(default_factory=dict)
    """When each part enters the picture and when it has left it."""

    def __post_init__(self) -> None:
        step_s, open_parts = 0.02, list(self.script.parts)
        entered: dict[int, float] = {}
        for step in range(round(self.script.end_s / step_s) + 1):
            at_s = step * step_s
            mm = self.script.mm(at_s)
            still_open = []
            for at, part in enumerate(open_parts):
                if part.low > mm + PICTURE_MM:  # they come in order
                    still_open += open_parts[at:]
                    break
                if mm > part.low:
                    entered.setdefault(part.number, at_s)
                if mm - PICTURE_MM > part.high:
                    self.times[part.number] = entered[part.number], at_s
                    if mm - 2 * PICTURE_MM > part.high:
                        continue
                still_open.append(part)
            open_parts = still_open

    def touching(self, part: ScriptedPart) -> set[str]:
        """What failed while this part was in the picture, or shortly before."""
        entered_s, left_s = self.times[part.number]
        return {one.what for one in self.disturbances if one.began_s < left_s and one.ended_s > entered_s - LATER_S}


def complaints(truth: Truth, counted: Sequence[Counted]) -> Iterator[str]:
    """All that is wrong, a sentence each."""
    owners: dict[int, list[Counted]] = defaultdict(list)
    for one in counted:
        part = _lying_at(truth.script, one)
        if part is None:
            yield f"our part {one.id}, lane {one.lane} at {one.centre_mm:.0f} mm, was never on the line: {one}"
            continue
        owners[part.number].append(one)
        yield from _wrong_verdict(truth, part, one)
    for part in truth.script.parts:
        touched = truth.touching(part)
        own = owners[part.number]
        again = [one for one in own if one.verdict is Verdict.FAIL or one.reason in CUT_OFF]
        if len(own) > 1 and not (touched & CUTS[truth.odometer] and len(own) - len(again) <= 1):
            yield f"{_named(part)} was counted {len(own)} times: {own}; {sorted(touched)}"
        if not own and truth.watched[part.number] >= CERTAINLY_SEEN:
            yield f"{_named(part)} was lost: seen in {truth.watched[part.number]} frames; {sorted(touched)}"
        if not own and not touched & BLIND:
            yield f"{_named(part)} was never seen, and nothing failed"


def unseen(truth: Truth, counted: Sequence[Counted]) -> list[int]:
    """The parts of the script that were not counted at all."""
    known = {part.number for one in counted if (part := _lying_at(truth.script, one)) is not None}
    return [part.number for part in truth.script.parts if part.number not in known]


def summary(counted: Sequence[Counted]) -> str:
    """How many had which verdict, for which reason."""
    counts = Counter(f"{one.verdict} {one.reason}" for one in counted)
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def _wrong_verdict(truth: Truth, part: ScriptedPart, one: Counted) -> Iterator[str]:
    views = truth.views[part.number]
    if one.verdict is Verdict.PASS and views < truth.views_needed:
        yield f"{_named(part)} passed with {views} views: {one}"
    if one.verdict is Verdict.PASS and part.defective:
        yield f"{_named(part)} is defective and passed: {one}"
    if one.verdict is Verdict.FAIL and not part.defective:
        yield f"{_named(part)} is good and failed: {one}"
    if one.verdict is Verdict.UNDECIDED:
        touched = truth.touching(part)
        was_short = one.reason in FEW_VIEWS and views < truth.views_needed
        if not one.why or not (was_short or any(one.reason in EXPLAINS[what] for what in touched)):
            yield f"{_named(part)} is undecided, which nothing explains: {one}; {sorted(touched)}"


def _lying_at(script: Script, one: Counted) -> ScriptedPart | None:
    """The part of the script that lies where this one does."""
    return next(
        (part for part in script.parts if part.lane == one.lane and part.low < one.centre_mm < part.high),
        None,
    )


def _named(part: ScriptedPart) -> str:
    return f"part {part.number}"
