"""A belt that is not as configured: finds that do not move, stops, starts, another speed. Which defects are reported?

Each scene is a belt with sixty defects, seen by a camera in numbers only, judged a few times a second and followed by
the product's own track and decide stages. A scene is left out where its geometry allows no confirmation: where a defect
is in the picture for fewer judged frames than the rule asks for.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stream_inspect.config.models import BeltConfig, CameraConfig, Config, DecideConfig, DefectConfig, FileSource
from stream_inspect.decide.event_log import MemoryLog
from stream_inspect.messages import (
    Box,
    Clock,
    ConditionKind,
    Detection,
    Event,
    EventState,
    FrameHeader,
    FrameId,
    Inspection,
)
from stream_inspect.service.chain import judging_chain

WIDTH_PX, HEIGHT_PX = 1280, 720
MM_PER_PX = 0.5
VIEW_MM, ACROSS_MM = WIDTH_PX * MM_PER_PX, HEIGHT_PX * MM_PER_PX
JITTER_PX = 1.5
DEFECTS = 60
SPEEDS_MM_S = (100.0, 300.0, 600.0, 1000.0)
RATES_HZ = (2.0, 5.0, 8.0, 12.0)
REPORTED_MIN = 58
EVENTS_PER_DEFECT_MAX = 1.02


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that the detector finds. `s_mm` is where its leading edge lies on the belt; None: it does not move."""

    s_mm: float | None
    length_mm: float
    across_mm: float
    width_mm: float
    place_mm: float = 0.0
    """Of what does not move: its upstream edge, from the picture's upstream edge."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch of time at one speed."""

    seconds: float
    speed_mm_s: float


@dataclass(frozen=True, slots=True)
class Scene:
    """What happens on a belt."""

    name: str
    speed_mm_s: float
    """As configured."""
    rate_hz: float
    things: tuple[Thing, ...]
    legs: tuple[Leg, ...]
    seed: int = 1
    miss: float = 0.0
    is_misconfigured: bool = False
    """So far from its configuration that it need not be followed: that it is not must be reported then."""

    def moved_mm(self, at_s: float) -> float:
        """How far the belt has run."""
        way = 0.0
        for leg in self.legs:
            step = min(at_s, leg.seconds)
            way += step * leg.speed_mm_s
            at_s -= step
            if at_s <= 0:
                break
        return way

    @property
    def duration_s(self) -> float:
        return sum(leg.seconds for leg in self.legs)


@dataclass(slots=True)
class Outcome:
    """Which defects were reported, and how often."""

    defects: int
    is_misconfigured: bool = False
    warned: bool = False
    """Whether it was reported that finds are not followed."""
    reported: int = 0
    events: int = 0
    false: int = 0
    """Events of things that do not move, or of nothing."""
    missed: list[int] = field(default_factory=list)
    twice: list[int] = field(default_factory=list)

    @property
    def events_per_defect(self) -> float:
        return self.events / self.defects

    @property
    def good(self) -> bool:
        if self.warned:
            return self.is_misconfigured
        return (
            self.reported >= REPORTED_MIN / DEFECTS * self.defects and self.events_per_defect <= EVENTS_PER_DEFECT_MAX
        )


def box_of(thing: Thing, moved_mm: float) -> Box | None:
    """Its box in the picture, belt from left to right; None where too little of it shows."""
    end = moved_mm - thing.s_mm if thing.s_mm is not None else thing.place_mm + thing.length_mm
    start = end - thing.length_mm
    left, right = max(0.0, start / MM_PER_PX), min(float(WIDTH_PX), end / MM_PER_PX)
    if right - left < min(4.0, thing.length_mm / MM_PER_PX / 2):
        return None
    return (left, thing.across_mm / MM_PER_PX, right, (thing.across_mm + thing.width_mm) / MM_PER_PX)


def views(thing: Thing, speed_mm_s: float, rate_hz: float) -> float:
    """In how many judged frames the whole of it shows, at least."""
    return (VIEW_MM - thing.length_mm) / (speed_mm_s / rate_hz)


def run(scene: Scene) -> Outcome:
    """Judge the scene, and compare its events with what was there."""
    return _outcome(scene, events_of(scene))


def events_of(scene: Scene) -> list[Event]:
    """The events of the scene, made by the product's own chain."""
    belt = BeltConfig(direction="left_to_right", speed_mm_s=scene.speed_mm_s, mm_per_px=MM_PER_PX)
    config = Config(
        version=1,
        cameras=[CameraConfig(name="bench", source=FileSource(kind="file", path=Path("none")), belt=belt)],
        defects=[DefectConfig(name="stain", prompts=["a stain"])],
        decide=DecideConfig(),
    )
    log = MemoryLog()
    now_ns = 0
    chain = judging_chain(config, log, clock=lambda: now_ns)
    chain.open()
    rng = random.Random(scene.seed)
    for seq in range(int(scene.duration_s * scene.rate_hz)):
        moved_mm = scene.moved_mm(seq / scene.rate_hz)
        boxes = [box for thing in scene.things if (box := box_of(thing, moved_mm)) and rng.random() >= scene.miss]
        inspection = Inspection(
            frame=_header(seq, scene.rate_hz),
            detections=[Detection(defect="stain", score=0.5, box_xyxy_px=_jittered(box, rng)) for box in boxes],
            model_hash="",
            prompts_hash="",
            judged_mono_ns=0,
        )
        now_ns = inspection.frame.capture_mono_ns
        deque(chain.process([inspection]), maxlen=0)
        deque(chain.tick(now_ns), maxlen=0)
    deque(chain.finish(), maxlen=0)
    chain.close()
    return log.events


def _outcome(scene: Scene, events: Sequence[Event]) -> Outcome:
    seen: Counter[int] = Counter()
    outcome = Outcome(sum(thing.s_mm is not None for thing in scene.things), scene.is_misconfigured)
    outcome.warned = any(event.name == ConditionKind.NOT_FOLLOWED for event in events)
    for event in events:
        if event.kind != "defect" or event.state is not EventState.CONFIRMED:
            continue
        assert event.frame is not None
        assert event.box_xyxy_px is not None
        moved_mm = scene.moved_mm(event.frame.seq / scene.rate_hz)
        shared = [_overlap(box_of(thing, moved_mm), event.box_xyxy_px) for thing in scene.things]
        best = max(range(len(shared)), key=shared.__getitem__)
        if shared[best] and scene.things[best].s_mm is not None:
            seen[best] += 1
        else:
            outcome.false += 1
    outcome.reported, outcome.events = len(seen), sum(seen.values())
    outcome.missed = [i for i, thing in enumerate(scene.things) if thing.s_mm is not None and i not in seen]
    outcome.twice = [i for i, n in seen.items() if n > 1]
    return outcome


def _overlap(one: Box | None, other: Box) -> float:
    if one is None:
        return 0.0
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _header(seq: int, rate_hz: float) -> FrameHeader:
    ns = round(seq / rate_hz * 1e9)
    return FrameHeader(
        id=FrameId(camera="bench", session=1, seq=seq, pts=ns, time_base_num=1, time_base_den=10**9),
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
        color_matrix="bt601",
        full_range=False,
        capture_mono_ns=ns,
        capture_utc_ns=ns,
        clock=Clock.MEDIA,
        ledger_index=seq,
        due=seq,
    )


def _jittered(box: Box, rng: random.Random) -> Box:
    left, top, right, bottom = (value + rng.gauss(0, JITTER_PX) for value in box)
    return (max(left, 0.0), max(top, 0.0), min(max(right, left + 1), float(WIDTH_PX)), min(bottom, float(HEIGHT_PX)))


# --- scenes ------------------------------------------------------------------------------------------------------


def defects(rng: random.Random, gap_mm: float, lengths_mm: Sequence[float]) -> list[Thing]:
    """Sixty defects on the belt, at random gaps of `gap_mm` in the mean."""
    things = []
    s_mm = 30.0
    for number in range(DEFECTS):
        length = lengths_mm[number % len(lengths_mm)]
        things.append(Thing(s_mm, length, rng.uniform(10, ACROSS_MM - 60), rng.uniform(6, 40)))
        s_mm += length + 20 + rng.expovariate(1 / gap_mm)
    return things


def way_mm(things: Sequence[Thing]) -> float:
    """How far the belt must run for all to have passed."""
    return max(thing.s_mm + thing.length_mm for thing in things if thing.s_mm is not None) + VIEW_MM + 50


def stopping(way: float, speed_mm_s: float, stop_s: float, every_s: float, rng: random.Random) -> tuple[Leg, ...]:
    """The belt runs for about `every_s`, stands for `stop_s`, and so on."""
    legs: list[Leg] = []
    while way > 0:
        run_s = rng.uniform(0.6, 1.4) * every_s
        legs += [Leg(run_s, speed_mm_s), Leg(stop_s, 0.0)]
        way -= run_s * speed_mm_s
    return tuple(legs)


def stepping(way: float, speed_mm_s: float, factors: Sequence[float], every_s: float) -> tuple[Leg, ...]:
    """Another speed every `every_s`."""
    legs: list[Leg] = []
    while way > 0:
        factor = factors[len(legs) % len(factors)]
        legs.append(Leg(every_s, speed_mm_s * factor))
        way -= every_s * speed_mm_s * factor
    return tuple(legs)


def scenes(speed_mm_s: float, rate_hz: float, seed: int = 1) -> list[Scene]:
    """All scenes at this speed and rate that their geometry allows."""
    rng = random.Random(f"{seed} {speed_mm_s} {rate_hz}")
    small, mixed = (10.0, 20.0, 30.0), (10.0, 25.0, 60.0, 150.0)
    made: list[Scene] = []

    def add(name: str, things: Sequence[Thing], legs: Sequence[Leg], fastest: float = 1.0, looks: float = 2) -> None:
        moving = [thing for thing in things if thing.s_mm is not None]
        fewest = min(views(thing, speed_mm_s * fastest, rate_hz) for thing in moving)
        if fewest >= looks:
            miss = 0.05 if fewest >= 5 else 0.0
            made.append(Scene(name, speed_mm_s, rate_hz, tuple(things), tuple(legs), seed, miss))

    def line(gap_s: float, lengths: Sequence[float]) -> tuple[list[Thing], float]:
        things = defects(rng, gap_s * speed_mm_s, lengths)
        return things, way_mm(things)

    for gap_s, spacing in ((1.5, "dense"), (20.0, "lonely")):
        things, way = line(gap_s, mixed)
        add(f"as configured, {spacing}", things, [Leg(way / speed_mm_s, speed_mm_s)])
        for length in (20.0, 50.0, 120.0, 200.0):
            things, way = line(gap_s, small)
            place_mm = rng.uniform(50, 350)
            at_speed = [Leg(way / speed_mm_s, speed_mm_s)]
            # A defect is hidden while it passes within the find's box: with two looks that may be one of them.
            static = Thing(None, length, rng.uniform(10, ACROSS_MM - 60), 20.0, place_mm)
            add(f"static find of {length:g} mm, {spacing}", [*things, static], at_speed, looks=3)
    for stop_s in (1.0, 3.0, 10.0, 60.0):
        for gap_s in (0.5, 3.0):
            things, way = line(gap_s, mixed)
            legs = stopping(way, speed_mm_s, stop_s, max(4.0, way / speed_mm_s / 12), rng)
            add(f"stops of {stop_s:g} s, a defect every {gap_s:g} s", things, legs)
    things, way = line(1.0, mixed)
    begun = [replace(thing, s_mm=thing.s_mm - 300) for thing in things if thing.s_mm is not None]
    add("starts with defects in view", begun, [Leg(20, 0.0), Leg(way / speed_mm_s, speed_mm_s)])
    for share, factors in (("10 %", (1.0, 1.1, 0.9)), ("25 %", (1.0, 1.25, 0.75)), ("50 %", (1.0, 0.5))):
        things, way = line(1.5, mixed)
        add(f"speed steps of {share}", things, stepping(way, speed_mm_s, factors, 12.0), max(factors))
    for factor in (0.5, 0.8, 1.2):  # the speed has to be found out first: two looks are not enough for that
        things, way = line(1.5, mixed)
        at_another = [Leg(way / speed_mm_s / factor, speed_mm_s * factor)]
        add(f"runs at {factor:g} of the speed", things, at_another, max(1.0, factor), looks=3)
    return [*made, *misconfigured(speed_mm_s, rate_hz, seed)]


def misconfigured(speed_mm_s: float, rate_hz: float, seed: int = 1) -> list[Scene]:
    """A belt at two and three times its speed (or a scale that is wrong by as much), and one that runs backwards."""
    rng = random.Random(f"{seed} {speed_mm_s} {rate_hz} misconfigured")
    made: list[Scene] = []
    for name, factor in (("2 times the speed", 2.0), ("3 times the speed", 3.0), ("the speed, backwards", -1.0)):
        things = defects(rng, 1.5 * speed_mm_s, (10.0, 25.0, 60.0, 150.0))
        legs = (Leg(way_mm(things) / speed_mm_s / abs(factor), speed_mm_s * factor),)
        if factor < 0:
            things = [replace(one, s_mm=-VIEW_MM - one.s_mm - one.length_mm) for one in things if one.s_mm is not None]
        if min(views(thing, speed_mm_s * abs(factor), rate_hz) for thing in things) >= 3:
            scene = Scene(f"runs at {name}", speed_mm_s, rate_hz, tuple(things), legs, seed, is_misconfigured=True)
            made.append(scene)
    return made


# --- the report --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class DisturbedReport:
    """For each kind of scene the outcomes at all speeds and rates that its geometry allows."""

    outcomes: dict[str, list[tuple[Scene, Outcome]]]

    @property
    def reached(self) -> bool:
        """Whether every scene keeps the floors."""
        return all(outcome.good for rows in self.outcomes.values() for _, outcome in rows)

    def to_text(self) -> str:
        """A Markdown table: the worst of each kind, and the scenes that miss a floor."""
        lines = [
            f"{DEFECTS} defects a scene, at {_numbers(SPEEDS_MM_S)} mm/s and {_numbers(RATES_HZ)} judged frames a",
            f"second, a view of {VIEW_MM:g} mm.",
            f"Floors: {REPORTED_MIN} of {DEFECTS} reported, {EVENTS_PER_DEFECT_MAX:g} events a defect, and no",
            "`not_followed`; where the configuration is wrong, these or `not_followed`.",
            "",
            "| belt | scenes | fewest reported | most events a defect | events of what does not move | not followed |",
            "|---|---|---|---|---|---|",
        ]
        for name, rows in self.outcomes.items():
            outcomes = [outcome for _, outcome in rows]
            lines.append(
                f"| {name} | {len(rows)} | {min(o.reported for o in outcomes)} "
                f"| {max(o.events_per_defect for o in outcomes):.2f} | {sum(o.false for o in outcomes)} "
                f"| {sum(o.warned for o in outcomes)} |"
            )
        missed = [(scene, o) for rows in self.outcomes.values() for scene, o in rows if not o.good]
        lines += ["", "Every floor is kept." if not missed else "Floors missed:"]
        lines += [
            f"- {scene.name} at {scene.speed_mm_s:g} mm/s and {scene.rate_hz:g} Hz: "
            f"{o.reported} reported, {o.events} events"
            for scene, o in missed
        ]
        return "\n".join(lines)


def run_all(progress: Callable[[int, int], None] | None = None) -> DisturbedReport:
    """All scenes at all speeds and rates: some minutes."""
    todo = [scene for speed in SPEEDS_MM_S for rate in RATES_HZ for scene in scenes(speed, rate)]
    outcomes: dict[str, list[tuple[Scene, Outcome]]] = {}
    for number, scene in enumerate(todo):
        outcomes.setdefault(scene.name, []).append((scene, run(scene)))
        if progress is not None:
            progress(number + 1, len(todo))
    return DisturbedReport(outcomes)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
