"""A scripted line with exact truth, and everything that can go wrong between it and the ledger of its parts.

`simulate(seed)` makes a line (parts, lanes, stops, reversals, cameras, a gate or none) and a schedule (missed boxes,
flickers, merged and split boxes, frames that are dropped, late, doubled or lost, camera outages, kills of the process
that holds finders and ledger), runs both, and checks the ledger at every step against the script. A failure is a
`BrokenError`, with the seed that repeats it.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from stream_inspect.belt.geometry import BeltView
from stream_inspect.belt.lanes import Lane
from stream_inspect.config.models import BeltConfig
from stream_inspect.decide.part_verdict import Part
from stream_inspect.decide.part_views import CameraWindow, View
from stream_inspect.decide.parts import Binding, LedgerRecord, LineLayout, PartsLedger
from stream_inspect.messages import Box, Interval, PartDefect, PartVerdict, Reason, Verdict
from stream_inspect.track.part_finder import PartFinder

PICTURE_MM, WIDTH_MM = 400, 240
LANES = (Lane(1, 0, 120), Lane(2, 120, 240))
NOISE_MM = 0.7
EDGE_MM = 6.0
"""Places near the picture's edge are not told apart: whether a part is whole within this is a matter of noise."""
CERTAINLY_SEEN = 6
"""A part whose box was in this many looks of one process run has to be counted."""


class BrokenError(AssertionError):
    """What must always hold did not, in the run of this seed."""


@dataclass(frozen=True)
class Thing:
    """A part of the script. Its place is in line coordinates, by the true odometer."""

    number: int
    lane: int
    low: float
    high: float
    across: tuple[float, float]
    defect_at: float | None


@dataclass(frozen=True)
class Spot:
    """What a finder makes of a part, or of nothing, in mm of the picture; `of` are the parts that it shows."""

    start: float
    end: float
    near: float
    far: float
    of: tuple[Thing, ...] = ()


@dataclass(frozen=True)
class Sight:
    """A captured frame, as the finder is given it."""

    camera: str
    tick: int
    reading_mm: float
    boxes: list[Box]
    shown: frozenset[int]
    due: int | None


@dataclass(frozen=True)
class Result:
    """The end of a due frame. `at_mm` is the true place of the belt; `found` are the defects that were seen."""

    camera: str
    due: int
    reading_mm: float
    at_mm: float
    view: View | None
    found: tuple[Thing, ...] = ()


@dataclass
class Plan:
    """What a seed decides once."""

    rng: random.Random
    things: list[Thing]
    layout: LineLayout
    speeds: list[float]
    """True way of the belt in each tick, in mm; then it runs on until all is carried away."""
    miss: float
    flicker: float
    mangled: float
    drop: float
    silent: float
    killed: float
    outage: float


def make_plan(seed: int) -> Plan:
    rng = random.Random(seed)
    cameras = {"top": CameraWindow(0.0, PICTURE_MM, rng.randint(1, 3))}
    if rng.random() < 0.4:
        cameras["side"] = CameraWindow(rng.choice([250.0, 500.0]), PICTURE_MM, rng.randint(0, 2))
    end = max(window.offset_mm + PICTURE_MM for window in cameras.values())
    gate = end + rng.uniform(100, 400) if rng.random() < 0.5 else None
    layout = LineLayout(cameras, gate_mm=gate, margin_mm=rng.uniform(0, 60), kept_mm=300.0)
    things: list[Thing] = []
    for lane in LANES[: rng.randint(1, 2)]:
        at = rng.uniform(-400, 100)
        for _ in range(rng.randint(2, 7)):
            length, width = rng.uniform(50, 150), rng.uniform(50, 100)
            near = lane.low_mm + rng.uniform(5, 115 - width)
            defect_at = at + rng.uniform(5, length - 5) if rng.random() < 0.4 else None
            things.append(Thing(len(things), lane.number, at, at + length, (near, near + width), defect_at))
            at += length + rng.choice([rng.uniform(16, 60), rng.uniform(60, 300)])
    return Plan(
        rng,
        things,
        layout,
        _speeds(rng, max(thing.high for thing in things) + end / 2),
        miss=rng.choice([0.0, 0.05, 0.15]),
        flicker=rng.choice([0.0, 0.05]),
        mangled=rng.choice([0.0, 0.05]),
        drop=rng.choice([0.0, 0.1, 0.5]),
        silent=rng.choice([0.0, 0.0, 0.03]),
        killed=rng.choice([0.0, 0.0, 0.02]),
        outage=rng.choice([0.0, 0.0, 0.02]),
    )


def _speeds(rng: random.Random, way_mm: float) -> list[float]:
    """Runs, stops and reversals that add up to at least this way."""
    speeds: list[float] = []
    gone = 0.0
    while gone < way_mm:
        kind = rng.random()
        step = rng.uniform(10, 40) if kind < 0.75 else 0.0 if kind < 0.87 else -rng.uniform(5, 25)
        ticks = rng.randint(2, 15) if step > 0 else rng.randint(1, 6)
        speeds += [step] * ticks
        gone += step * ticks
    return speeds


class Track:
    """The process that holds finders and ledger. What it has in memory dies with it; `disk` is what it has kept."""

    def __init__(self, layout: LineLayout, disk: bytes | None) -> None:
        belt = BeltConfig(direction="left_to_right", speed_mm_s=300, mm_per_px=1.0)
        view = BeltView(belt, PICTURE_MM, WIDTH_MM)
        self.finders = {
            name: PartFinder(view, LANES, offset_mm=window.offset_mm) for name, window in layout.cameras.items()
        }
        self.ledger = PartsLedger.restore(layout, disk) if disk else PartsLedger(layout)
        self.layout = layout
        self.missed = set(layout.cameras) if disk else set()
        self.sights: Counter[tuple[str, int]] = Counter()
        self.hits: Counter[tuple[str, int]] = Counter()
        """Judged frames that showed a defect: the second one confirms it."""

    def see(self, sight: Sight) -> None:
        if sight.camera in self.missed:
            self.missed.remove(sight.camera)
            self.ledger.miss(sight.reading_mm - self.layout.cameras[sight.camera].offset_mm)
        changes = self.finders[sight.camera].see(sight.tick, sight.reading_mm, 1.0, sight.boxes)
        for change in changes:
            self.ledger.place(sight.camera, change)
        self.ledger.frame(sight.camera, sight.reading_mm, sight.due)
        self.sights.update((sight.camera, number) for number in sight.shown)

    def judge(self, result: Result, note: Callable[[Thing, int, Binding], None]) -> None:
        if result.view is not None:
            for part in self.ledger.parts_in(result.camera, result.reading_mm):
                self.ledger.view(part, result.camera, result.due, result.reading_mm, result.view)
            for thing in result.found:
                self._find(thing, result, note)
        self.ledger.report(result.camera, result.due, judged=result.view is not None)

    def _find(self, thing: Thing, result: Result, note: Callable[[Thing, int, Binding], None]) -> None:
        self.hits[result.camera, thing.number] += 1
        confirmed = self.hits[result.camera, thing.number] >= 2
        assert thing.defect_at is not None
        part = next(iter(self.ledger.parts_at(thing.lane, thing.defect_at + result.reading_mm - result.at_mm)), None)
        if part is not None:
            found = PartDefect(
                camera=result.camera, track=thing.number, defect="scratch", score=0.5, confirmed=confirmed
            )
            binding = self.ledger.defect(part, found)
            if confirmed:
                note(thing, part, binding)


@dataclass
class Line:
    """One run: the script, the messages on their way, and what was seen of the ledger."""

    seed: int
    plan: Plan
    tick: int = 0
    at_mm: float = 0.0
    track: Track | None = None
    disk: bytes | None = None
    kept_news: int = 0
    """`news_of` when the state was kept."""
    unkept: list[Sight | Result] = field(default_factory=list)
    """What was processed since."""
    unkept_bound: list[tuple[Thing, int, Binding]] = field(default_factory=list)
    down_until: int = 0
    kills: int = 0
    inbox: list[Sight | Result] = field(default_factory=list)
    later: dict[int, list[Result]] = field(default_factory=lambda: defaultdict(list))
    due: Counter[str] = field(default_factory=Counter)
    dark_until: Counter[str] = field(default_factory=Counter)
    last_upstream: dict[str, float] = field(default_factory=dict)
    flickered: list[float] = field(default_factory=list)
    merged_at_entry: set[int] = field(default_factory=set)
    """Parts seen in one box with the neighbour that was coming in: their places may be mistaken until that is known."""
    parts: dict[int, Part] = field(default_factory=dict)
    """All that ever were in a kept record, as they were in the last one."""
    given: dict[int, PartVerdict] = field(default_factory=dict)
    finals: set[int] = field(default_factory=set)
    certain: set[int] = field(default_factory=set)
    """Parts of the script that must be counted."""
    usable: dict[tuple[str, int], set[int]] = field(default_factory=lambda: defaultdict(set))
    """Due frames that showed a part of the script whole and usable, and were delivered."""
    bound: list[tuple[Thing, int, Binding]] = field(default_factory=list)
    failed_unkept: set[int] = field(default_factory=set)
    """Parts of the script that failed in a process which was killed before it had kept that: the event is known."""
    not_judged: int = 0

    def check(self, holds: bool, what: str, *facts: object) -> None:
        if not holds:
            raise BrokenError(f"seed {self.seed}, tick {self.tick}: {what}: {', '.join(map(str, facts))}")

    # --- the line ---

    def run(self) -> Line:
        self.track = Track(self.plan.layout, None)
        for step in self.plan.speeds:
            self.one_tick(step, healthy=False)
        end_mm = max(thing.high for thing in self.plan.things) + self.plan.layout.end_mm + self.plan.layout.kept_mm
        self.down_until = 0
        while self.at_mm < end_mm + 60:
            self.one_tick(40.0, healthy=True)
        self.check_end()
        return self

    def one_tick(self, step_mm: float, *, healthy: bool) -> None:
        rng = self.plan.rng
        self.tick += 1
        self.at_mm += step_mm
        for camera in self.plan.layout.cameras:
            if not healthy and rng.random() < self.plan.outage:
                self.dark_until[camera] = self.tick + rng.randint(2, 25)
            if healthy or self.tick >= self.dark_until[camera]:
                self.capture(camera, healthy=healthy)
        self.inbox += self.later.pop(self.tick, [])
        if self.track is None and (healthy or self.tick >= self.down_until):
            self.track = Track(self.plan.layout, self.disk)
        if self.track is None:
            if rng.random() < 0.5:
                self.inbox.clear()
            return
        self.work(killed=not healthy and rng.random() < self.plan.killed)

    def capture(self, camera: str, *, healthy: bool) -> None:
        rng, window = self.plan.rng, self.plan.layout.cameras[camera]
        reading = self.at_mm + rng.gauss(0, NOISE_MM)
        boxes, shown = self.look(window, camera)
        due = None
        if rng.random() < 0.7:
            due = self.due[camera]
            self.due[camera] += 1
            self.send_result(camera, due, reading, window, healthy=healthy)
        self.inbox.append(Sight(camera, self.tick, reading, boxes, shown, due))

    def look(self, window: CameraWindow, camera: str) -> tuple[list[Box], frozenset[int]]:
        """The boxes of what the camera sees, with everything that a finder does wrong."""
        rng = self.plan.rng
        here = self.at_mm - window.offset_mm
        spots = [
            Spot(here - thing.high, here - thing.low, *thing.across, (thing,))
            for thing in self.plan.things
            if min(here - thing.low, PICTURE_MM) - max(here - thing.high, 0) >= 6 and rng.random() >= self.plan.miss
        ]
        shown = frozenset(thing.number for spot in spots for thing in spot.of)
        spots = self.mangle(spots)
        if rng.random() < self.plan.flicker and camera in self.last_upstream:
            self.add_flicker(spots, here, self.last_upstream[camera])
        if self.track is not None:
            self.last_upstream[camera] = here
        boxes: list[Box] = []
        for spot in spots:
            left = max(0.0, spot.start + rng.gauss(0, 1))
            right = min(float(PICTURE_MM), spot.end + rng.gauss(0, 1))
            if right - left > 2:
                boxes.append((left, spot.near + rng.gauss(0, 1), right, spot.far + rng.gauss(0, 1)))
        return boxes, shown

    def mangle(self, spots: list[Spot]) -> list[Spot]:
        """One box in two pieces, or two neighbours in one box."""
        rng = self.plan.rng
        if not spots or rng.random() >= self.plan.mangled:
            return spots
        spot = spots.pop(rng.randrange(len(spots)))
        # Not one that leaves: if it is also the first that is seen of it, no later look puts that right.
        if rng.random() < 0.5 and spot.end < PICTURE_MM - 60:
            middle = spot.start + (spot.end - spot.start) * rng.uniform(0.35, 0.65)
            return [*spots, replace(spot, end=middle - 2), replace(spot, start=middle + 2)]
        for index, other in enumerate(spots):
            gap = max(other.start - spot.end, spot.start - other.end)
            if other.of[0].lane == spot.of[0].lane and 0 <= gap < 40:
                spots[index] = Spot(
                    min(other.start, spot.start),
                    max(other.end, spot.end),
                    min(other.near, spot.near),
                    max(other.far, spot.far),
                    other.of + spot.of,
                )
                if spots[index].start < EDGE_MM:
                    self.merged_at_entry |= {thing.number for thing in spots[index].of}
                return spots
        return [*spots, spot]

    def add_flicker(self, spots: list[Spot], here: float, last: float) -> None:
        """A false box on belt that was watched before, where there is nothing."""
        rng = self.plan.rng
        start = rng.uniform(40 + max(0.0, here - last), PICTURE_MM - 60)
        s_mm = here - start
        clear = all(not (thing.low - 60 < s_mm < thing.high + 60) for thing in self.plan.things)
        if clear and all(abs(s_mm - other) > 80 for other in self.flickered) and abs(here - last) < PICTURE_MM / 3:
            self.flickered.append(s_mm)
            near = rng.choice([20.0, 140.0])
            spots.append(Spot(start, start + 30, near, near + 60))

    def send_result(self, camera: str, due: int, reading: float, window: CameraWindow, *, healthy: bool) -> None:
        rng = self.plan.rng
        here = self.at_mm - window.offset_mm
        if not healthy and rng.random() < self.plan.silent:
            return
        missed = Result(camera, due, reading, self.at_mm, None)
        if not healthy and rng.random() < self.plan.drop:
            self.later[self.tick + rng.randint(0, 4)].append(missed)
            self.not_judged += 1
            if rng.random() < 0.9:
                return
        view = rng.choices(list(View)[:4], [0.85, 0.0, 0.1, 0.05])[0]
        found = tuple(
            thing
            for thing in self.plan.things
            if thing.defect_at is not None and here - PICTURE_MM + 5 < thing.defect_at < here - 5 and rng.random() < 0.7
        )
        result = Result(camera, due, reading, self.at_mm, view, found)
        for _ in range(1 + (rng.random() < 0.1)):
            self.later[self.tick + rng.randint(0, 8)].append(result)

    # --- the process ---

    def work(self, *, killed: bool) -> None:
        """Process what has come, keep the state, send the verdicts; a kill comes before or after any of these."""
        track, rng = self.track, self.plan.rng
        assert track is not None
        messages, self.inbox = self.inbox, []
        for message in messages:
            if isinstance(message, Sight):
                track.see(message)
            else:
                track.judge(message, lambda thing, part, binding: self.unkept_bound.append((thing, part, binding)))
            track.ledger.settle()
            sums = track.ledger.counts()
            self.check(all(lane.residual == 0 for lane in sums.values()), "the sum does not close", sums)
        self.unkept += messages
        where = rng.choice(["before record", "before take", "after take"]) if killed else ""
        if where == "before record":
            self.kill()
            return
        if news_of(track) > self.kept_news or rng.random() < 0.3:
            self.keep(track)
        if where == "before take":
            self.kill()
            return
        for verdict in track.ledger.take():
            self.receive(verdict)
        if where == "after take":
            self.kill()

    def keep(self, track: Track) -> None:
        """As the process does it: at each verdict, at each part that enters, and now and then."""
        self.disk, self.kept_news = track.ledger.record(), news_of(track)
        self.bound += self.unkept_bound
        self.note_delivered(self.unkept)
        self.unkept, self.unkept_bound = [], []
        self.check_record(track)

    def kill(self) -> None:
        self.failed_unkept |= {thing.number for thing, _, binding in self.unkept_bound if binding is Binding.FAILED}
        self.unkept, self.unkept_bound = [], []
        self.kills += 1
        self.track = None
        self.last_upstream.clear()
        self.down_until = self.tick + self.plan.rng.randint(1, 10)

    def note_delivered(self, messages: list[Sight | Result]) -> None:
        assert self.track is not None
        self.certain |= {number for (_, number), count in self.track.sights.items() if count >= CERTAINLY_SEEN}
        for message in messages:
            if isinstance(message, Result) and message.view is View.USABLE:
                here = message.at_mm - self.plan.layout.cameras[message.camera].offset_mm
                for thing in self.plan.things:
                    if here - PICTURE_MM - EDGE_MM <= thing.low and thing.high <= here + EDGE_MM:
                        self.usable[message.camera, thing.number].add(message.due)

    # --- what must hold ---

    def check_record(self, track: Track) -> None:
        """At every step: the script's own sums, and no verdict that changes."""
        record = msgspec.msgpack.decode(self.disk or b"", type=LedgerRecord)
        for part in record.parts:
            before = self.parts.get(part.id)
            if before is not None and before.verdict is not None:
                was, now = (before.verdict, before.reason, before.why), (part.verdict, part.reason, part.why)
                self.check(was == now, "a verdict changed", part.id, was, now)
            self.parts[part.id] = part
        for given in record.untaken:  # a part may be decided and forgotten in the step in which it enters
            part = self.parts.setdefault(given.part, Part(id=given.part, lane=given.lane, along=given.along))
            part.verdict, part.reason, part.why = given.verdict, given.reason, given.why
        for lane, counts in track.ledger.counts().items():
            ours = [part for part in self.parts.values() if part.lane == lane]
            by_verdict = Counter(part.verdict for part in ours)
            script = {
                "entered": len(ours),
                "passed": by_verdict[Verdict.PASS],
                "failed": by_verdict[Verdict.FAIL],
                "undecided": by_verdict[Verdict.UNDECIDED],
                "on_belt": by_verdict[None],
            }
            told = {name: getattr(counts, name) for name in script}
            self.check(told == script, "the ledger and the script count otherwise", lane, told, script)
        for part in record.parts:
            if part.verdict is not None:
                self.check_verdict(part)

    def check_verdict(self, part: Part) -> None:
        self.check(part.reason is not None and part.why != "", "no reason", part.id)
        thing = self.thing_of(part)
        if part.verdict is Verdict.PASS:
            for camera, window in self.plan.layout.cameras.items():
                views = len(self.usable[camera, thing.number])
                self.check(views >= window.views_needed, "passed with too few views", part.id, views, camera)
            is_known = thing.number in self.failed_unkept and thing.number not in self.merged_at_entry
            self.check(not is_known, "passed with a known defect", part.id)
        if part.verdict is Verdict.FAIL:
            is_good = thing.defect_at is None and thing.number not in self.merged_at_entry
            self.check(not is_good, "failed without a defect", part.id)
        if part.reason is Reason.NOT_JUDGED:
            self.check(self.not_judged > 0, "all frames were judged", part.id)
        if part.reason is Reason.RESTARTED:
            self.check(self.kills > 0, "there was no restart", part.id)
        if part.reason is Reason.TOO_FEW_VIEWS:
            self.check("usable views" in part.why, "the reason does not count views", part.id, part.why)

    def receive(self, verdict: PartVerdict) -> None:
        """The receiver of verdicts: at least once each, and always the same."""
        before = self.given.setdefault(verdict.part, verdict)
        same = (before.verdict, before.reason, before.why) == (verdict.verdict, verdict.reason, verdict.why)
        self.check(same, "sent another verdict", before, verdict)
        if verdict.is_final:
            self.finals.add(verdict.part)

    def thing_of(self, part: Part) -> Thing:
        """The part of the script that lies where this one does."""
        for thing in self.plan.things:
            if thing.lane == part.lane:
                length = min(thing.high - thing.low, part.along.length)
                if part.along.shared(Interval(thing.low, thing.high)) > 0.5 * length:
                    return thing
        raise BrokenError(f"seed {self.seed}, tick {self.tick}: part {part.id} at {part.along} was never on the line")

    def check_end(self) -> None:
        """All is carried away: each part of the script is one of ours, and has its verdict."""
        owners: dict[int, int] = {}
        ends: set[int] = set()
        for part in self.parts.values():
            thing = self.thing_of(part)
            other = self.parts.get(owners.get(thing.number, 0))
            if other is not None and (has_lost_its_lead(part) or has_lost_its_lead(other)):
                ends |= {part.id, other.id}
                continue
            self.check(other is None, "counted twice", thing, owners.get(thing.number), part.id)
            owners[thing.number] = part.id
            self.check(part.verdict is not None, "still on the belt", part.id)
        for thing in self.plan.things:
            self.check(thing.number in owners or thing.number not in self.certain, "lost", thing)
        undelivered = set(self.parts) - set(self.given) if not self.kills else set()
        self.check(not undelivered, "no verdict was sent", undelivered)
        self.check(set(self.given) == self.finals, "no final verdict", set(self.given) - self.finals)
        for thing, part_id, binding in self.bound:
            is_bound = part_id in (owners.get(thing.number), *ends) or thing.number in self.merged_at_entry
            self.check(is_bound, "a defect was bound to another part", thing, part_id)
            failed = self.parts[part_id].verdict is Verdict.FAIL
            self.check(
                failed is (binding is not Binding.LATE), "a bound defect did not fail its part", part_id, binding
            )


def has_lost_its_lead(part: Part) -> bool:
    """Whether it was found, after an outage or a restart, with its leading end out of the picture, and left like that.

    No one can say then whether it is the rest of a part that had been seen entering, or the next one.
    """
    return part.along.low_cut and part.doubt is not None


def news_of(track: Track) -> int:
    """Parts that have entered and verdicts that were given, in all."""
    return sum(lane.entered + lane.passed + lane.failed + lane.undecided for lane in track.ledger.counts().values())


def simulate(seed: int) -> Line:
    """Run the schedule of this seed. Raises `BrokenError`."""
    return Line(seed, make_plan(seed)).run()
