"""Each part on the belt is found once, whatever its boxes do, and leaves once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.belt.geometry import BeltView
from stream_inspect.belt.lanes import Lane
from stream_inspect.config.models import BeltConfig
from stream_inspect.messages import Box, Doubt, PartChange, What
from stream_inspect.track.part_finder import PartFinder
from stream_inspect.track.sought_part import SIGHTS_NEEDED

PICTURE_MM, WIDTH_MM = 1000, 400
STEP_MM = 40
ENTERED, UPDATED, LEFT = What.ENTERED, What.UPDATED, What.LEFT
Stretch = tuple[float, float]


def finder(lanes: Sequence[Lane] = (), **options: float) -> PartFinder:
    belt = BeltConfig(direction="left_to_right", speed_mm_s=300, mm_per_px=1.0)
    return PartFinder(BeltView(belt, PICTURE_MM, WIDTH_MM), lanes, **options)  # type: ignore[arg-type]


def box(stretch: Stretch, odometer_mm: float, *, across: Stretch = (100, 200)) -> Box | None:
    """What a picture shows of a stretch of belt; None where that is nothing."""
    left, right = odometer_mm - stretch[1], odometer_mm - stretch[0]
    left, right = max(left, 0), min(right, PICTURE_MM)
    return (left, across[0], right, across[1]) if right - left > 1 else None


class Belt:
    """A belt that a finder watches, look by look. `changes` are all that it has reported."""

    def __init__(self, watched: PartFinder | None = None, *, from_mm: float = -5000) -> None:
        self.finder = watched or finder()
        self.at_mm = from_mm
        self.look = 0
        self.changes: list[PartChange] = []

    def shown(self, *stretches: Stretch, sigma_mm: float = 1.0, off_mm: float = 0.0) -> list[PartChange]:
        """One look in which these stretches appear as parts; the odometer may be off."""
        boxes = [found for stretch in stretches if (found := box(stretch, self.at_mm))]
        self.look += 1
        changes = self.finder.see(self.look, self.at_mm + off_mm, sigma_mm, boxes)
        self.changes += changes
        return changes

    def jump(self, to_mm: float) -> None:
        """The belt runs without a look."""
        self.at_mm = to_mm

    def run(self, to_mm: float, *stretches: Stretch, step_mm: float = STEP_MM) -> None:
        """The belt runs to a place, forwards or backwards, with these parts on it."""
        step = step_mm if to_mm > self.at_mm else -step_mm
        while abs(to_mm - self.at_mm) > 1e-6:
            self.at_mm = min(self.at_mm + step, to_mm) if step > 0 else max(self.at_mm + step, to_mm)
            self.shown(*stretches)

    def count(self, what: What) -> int:
        return sum(change.what is what for change in self.changes)


def before_entry(*, to_mm: float = -100) -> Belt:
    """A belt that has been watched for a while without a part on it."""
    belt = Belt()
    belt.run(to_mm)
    return belt


def test_a_part_enters_is_measured_and_leaves():
    belt = before_entry()
    belt.run(1500, (0, 150))
    assert [change.what for change in belt.changes if change.what is not UPDATED] == [ENTERED, LEFT]
    assert {change.number for change in belt.changes} == {1}
    entered, left = belt.changes[0], belt.changes[-1]
    assert entered.along.high_cut, "its trailing edge is not in the picture yet"
    assert entered.doubt is None
    assert (left.along.low, left.along.high) == pytest.approx((0, 150))
    assert left.along.whole


def test_a_part_leaves_when_its_trailing_edge_passes_the_downstream_edge():
    belt = before_entry()
    belt.run(1149, (0, 150))
    assert belt.count(LEFT) == 0
    belt.run(1150, (0, 150))
    assert belt.count(LEFT) == 1


def test_parts_are_numbered_as_they_come_over_the_edge():
    belt = before_entry()
    belt.run(3000, (0, 150), (200, 380), (500, 560))
    assert [c.number for c in belt.changes if c.what is ENTERED] == [1, 2, 3]
    assert [c.number for c in belt.changes if c.what is LEFT] == [1, 2, 3]


def test_a_camera_down_the_line_sees_a_part_at_the_same_place():
    belt = Belt(finder(offset_mm=2000))
    for at_mm in range(-5000, 4000, STEP_MM):
        belt.jump(at_mm)
        belt.look += 1
        shown = box((0, 150), at_mm - 2000)
        belt.changes += belt.finder.see(belt.look, at_mm, 1.0, [shown] if shown else [])
    assert belt.count(ENTERED) == belt.count(LEFT) == 1
    assert (belt.changes[-1].along.low, belt.changes[-1].along.high) == pytest.approx((0, 150))


def test_a_part_that_is_missed_for_some_frames_stays_the_same():
    belt = before_entry()
    belt.run(300, (0, 150))
    belt.run(600)
    belt.run(1500, (0, 150))
    assert belt.count(ENTERED) == belt.count(LEFT) == 1


def test_a_part_that_is_never_seen_again_leaves_by_the_odometer():
    belt = before_entry()
    belt.run(300, (0, 150))
    belt.run(1500)
    assert belt.count(ENTERED) == belt.count(LEFT) == 1


@pytest.mark.parametrize("sights", range(1, SIGHTS_NEEDED + 1))
def test_a_box_on_belt_that_was_watched_counts_when_it_was_seen_often_enough(sights: int):
    belt = before_entry(to_mm=600)
    for _ in range(sights):
        belt.run(belt.at_mm + STEP_MM, (0, 50))
    belt.run(2000)
    assert belt.count(ENTERED) == belt.count(LEFT) == int(sights >= SIGHTS_NEEDED)


def test_a_flicker_at_the_upstream_edge_is_not_a_part():
    belt = before_entry()
    belt.run(100, (0, 80), step_mm=200)
    belt.run(2000)
    assert belt.changes == []


def test_a_part_seen_once_before_the_camera_failed_counts_all_the_same():
    """Nothing has shown that it was not there."""
    belt = before_entry()
    belt.run(100, (0, 80), step_mm=200)
    belt.jump(2000)
    belt.shown()
    assert [change.what for change in belt.changes] == [ENTERED, LEFT]


def test_what_stays_in_its_place_of_the_picture_while_the_belt_runs_is_no_part_and_no_other_comes_of_it():
    belt = before_entry()
    static_px = (300, 100, 400, 200)
    for _ in range(60):
        belt.at_mm += STEP_MM
        real = box((100, 250), belt.at_mm, across=(250, 350))
        boxes = [static_px, *([real] if real else [])]
        belt.look += 1
        belt.changes += belt.finder.see(belt.look, belt.at_mm, 1.0, boxes)
    ended = [change for change in belt.changes if change.doubt is Doubt.STATIC]
    assert [change.what for change in ended] == [UPDATED, LEFT]
    assert (belt.count(ENTERED), belt.count(LEFT)) == (2, 2), "the static one, and one that passes it"
    assert belt.finder.static_px == [static_px]
    belt.run(belt.at_mm + PICTURE_MM)
    assert belt.finder.static_px == [], "it was wiped off"


def test_a_part_on_a_belt_that_stands_is_not_static():
    belt = before_entry()
    belt.run(500, (0, 150))
    for _ in range(100):
        belt.shown((0, 150))
    belt.run(1300, (0, 150))
    assert {change.doubt for change in belt.changes} == {None}


def test_a_stretch_of_belt_that_no_look_has_shown_is_one_part_of_each_lane_and_in_doubt():
    belt = Belt(finder([Lane(0, 0, 200), Lane(1, 200, 400)], counts_unseen=True))
    belt.run(-100)
    belt.jump(2000)
    changes = [change for change in belt.shown() if change.what is ENTERED]
    assert [(change.lane, change.along.low, change.along.high) for change in changes] == [
        (0, -100, 1000),
        (1, -100, 1000),
    ]
    assert {change.doubt for change in changes} == {Doubt.NOT_SEEN}


def test_a_belt_that_stands_ends_no_part_and_doubles_none():
    belt = before_entry()
    belt.run(500, (0, 150))
    for _ in range(500):
        belt.shown((0, 150))
    belt.run(1500, (0, 150))
    assert belt.count(ENTERED) == belt.count(LEFT) == 1


@pytest.mark.parametrize("back_to_mm", [-400, 30, 400])
@pytest.mark.parametrize("turned_at_mm", [100, 700, 1100, 1600])
def test_a_belt_that_runs_backwards_ends_no_part_and_doubles_none(turned_at_mm: float, back_to_mm: float):
    """It turns before and after the part has left, and takes it back over the upstream edge or not."""
    parts = [(0.0, 150.0), (220.0, 300.0)]
    belt = before_entry()
    for at_mm in (turned_at_mm, back_to_mm, 900, back_to_mm, 2000):
        belt.run(at_mm, *parts)
    assert belt.count(ENTERED) == belt.count(LEFT) == 2


def test_a_belt_that_runs_far_back_brings_nothing_new():
    belt = before_entry()
    belt.run(6000, (0, 150))
    belt.run(500, (0, 150))
    belt.run(2000, (0, 150))
    assert belt.count(ENTERED) == belt.count(LEFT) == 1


def test_parts_on_the_belt_at_the_start_are_known_as_such():
    belt = Belt(from_mm=500)
    belt.run(2500, (0, 150), (300, 400), (450, 600), (700, 800))
    doubts = {change.number: change.doubt for change in belt.changes if change.what is ENTERED}
    assert list(doubts.values()) == [Doubt.AT_START, Doubt.AT_START, None, None], "the third one was coming in"


def test_after_an_outage_known_parts_are_found_again_and_others_are_unknown():
    belt = before_entry()
    belt.run(200, (0, 150))
    belt.jump(800)
    belt.run(3000, (0, 150), (250, 400), (500, 600), (850, 950))
    doubts = {change.number: change.doubt for change in belt.changes if change.what is ENTERED}
    assert doubts == {1: None, 2: Doubt.UNWATCHED, 3: Doubt.UNWATCHED, 4: None}
    assert belt.count(LEFT) == 4


def test_a_part_cut_by_an_outage_is_one_part():
    """Its leading end was seen coming in, its trailing end going out."""
    belt = before_entry()
    belt.run(100, (0, 150))
    belt.jump(1090)
    belt.shown((0, 150))
    belt.run(1500, (0, 150))
    assert belt.count(ENTERED) == belt.count(LEFT) == 1
    assert (belt.changes[-1].along.low, belt.changes[-1].along.high) == pytest.approx((0, 150))


def test_a_box_that_splits_for_some_frames_is_one_part():
    belt = before_entry()
    belt.run(400, (0, 150))
    for _ in range(4):
        belt.run(belt.at_mm + STEP_MM, (0, 60), (70, 150))
    belt.run(2000, (0, 150))
    assert belt.count(ENTERED) == belt.count(LEFT) == 1
    assert (belt.changes[-1].along.low, belt.changes[-1].along.high) == pytest.approx((0, 150))


@pytest.mark.parametrize("look", range(1, 6))
def test_a_part_that_is_split_while_it_comes_in_is_one_part(look: int):
    belt = before_entry(to_mm=-20)
    for n in range(8):
        pieces = [(0.0, 60.0), (70.0, 150.0)] if n == look else [(0.0, 150.0)]
        belt.run(belt.at_mm + 30, *pieces, step_mm=30)
    belt.run(2000, (0, 150))
    assert belt.count(ENTERED) == belt.count(LEFT) == 1


def test_neighbours_that_merge_for_some_frames_keep_their_places():
    belt = before_entry()
    belt.run(500, (0, 150), (160, 300))
    for _ in range(4):
        belt.run(belt.at_mm + STEP_MM, (0, 300))
    belt.run(2000, (0, 150), (160, 300))
    assert belt.count(ENTERED) == belt.count(LEFT) == 2
    left = {change.number: change.along for change in belt.changes if change.what is LEFT}
    assert (left[1].low, left[1].high) == pytest.approx((0, 150))
    assert (left[2].low, left[2].high) == pytest.approx((160, 300))


def test_a_part_that_comes_in_touching_the_one_before_it_is_a_part():
    """They are one box in every other frame, from the moment at which the second one comes in."""
    belt = before_entry()
    belt.run(152, (0, 150), step_mm=42)
    for n in range(12):
        parts = [(0.0, 300.0)] if n % 2 else [(0.0, 150.0), (154.0, 300.0)]
        belt.run(belt.at_mm + STEP_MM, *parts)
    belt.run(2000, (0, 150), (154, 300))
    assert belt.count(ENTERED) == belt.count(LEFT) == 2


def test_neighbours_that_came_in_as_one_are_told_apart_when_that_is_seen_more_often():
    belt = before_entry()
    belt.run(330, (0, 300))
    belt.run(2000, (0, 145), (155, 300))
    assert belt.count(ENTERED) == belt.count(LEFT) == 2
    left = sorted((change.along.low, change.along.high) for change in belt.changes if change.what is LEFT)
    assert left == [pytest.approx((0, 145)), pytest.approx((155, 300))]


def test_an_odometer_that_is_off_by_its_uncertainty_changes_no_part_into_its_neighbour():
    belt = before_entry()
    belt.run(400, (0, 60), (80, 140))
    for _ in range(3):
        belt.jump(belt.at_mm + STEP_MM)
        belt.shown((0, 60), (80, 140), sigma_mm=8.0, off_mm=20.0)
    belt.run(2000, (0, 60), (80, 140))
    assert belt.count(ENTERED) == belt.count(LEFT) == 2


def test_a_part_belongs_to_the_lane_that_holds_its_centre():
    """One that lies between two lanes is in the nearer one: it is not lost."""
    watched = finder([Lane(1, 0, 190), Lane(2, 210, 400)])
    parts = [((0, 100), (90, 208)), ((200, 300), (192, 310)), ((400, 500), (150, 254))]
    lanes: list[int] = []
    for look, at_mm in enumerate(range(-1000, 2000, STEP_MM)):
        boxes = [found for along, across in parts if (found := box(along, at_mm, across=across))]
        changes = watched.see(look, at_mm, 1.0, boxes)
        lanes += [change.lane for change in changes if change.what is ENTERED]
    assert lanes == [1, 2, 2]


def test_a_frame_that_is_not_later_changes_nothing():
    watched = finder()
    watched.see(5, 0.0, 1.0, [])
    assert watched.see(5, 900.0, 1.0, [(0, 0, 500, 100)]) == []
    assert watched.see(4, 900.0, 1.0, [(0, 0, 500, 100)]) == []


def test_an_interrupted_odometer_ends_all_parts():
    belt = before_entry()
    belt.run(500, (0, 150), (300, 450))
    ended = belt.finder.interrupt(99)
    assert [(change.what, change.number) for change in ended] == [(LEFT, 1), (LEFT, 2)]
    belt.jump(0)
    belt.changes.clear()
    belt.look = 100
    belt.run(2000, (-300, -150))
    assert [c.doubt for c in belt.changes if c.what is ENTERED] == [Doubt.AT_START]


@given(
    st.lists(st.tuples(st.floats(40, 200), st.floats(20, 300)), min_size=1, max_size=8),
    st.lists(st.floats(-60, 100), min_size=60, max_size=60),
    st.randoms(use_true_random=False),
)
def test_whatever_the_belt_does_each_part_enters_once_and_leaves_at_most_once(sizes, steps, rng):
    """Sizes and gaps, ways between two looks, and one box in ten missed."""
    parts: list[Stretch] = []
    at = 0.0
    for length, gap in sizes:
        parts.append((at, at + length))
        at += length + gap
    belt = before_entry(to_mm=-50)
    for step in steps:
        belt.jump(belt.at_mm + step)
        belt.shown(*(part for part in parts if rng.random() > 0.1))
    belt.run(at + 1200, *parts)
    assert belt.count(ENTERED) == belt.count(LEFT) == len(parts)
    left = {change.number: change.along for change in belt.changes}
    assert sorted(round(along.centre, -1) for along in left.values()) == [round((a + b) / 2, -1) for a, b in parts]


@pytest.mark.parametrize(("clip", "parts"), [("virtual_conveyor_cookies", 26), ("virtual_conveyor_pcb", 19)])
def test_every_part_of_a_clip_is_found_once_and_its_centre_is_where_it_was(sample_data: Path, clip: str, parts: int):
    """The boxes of the clip's truth: clipped by the picture, two lanes, neighbours that overlap by up to a tenth."""
    belt = BeltConfig(direction="left_to_right", speed_mm_s=300, mm_per_px=1.0)
    lanes = [Lane(0, 0, 364), Lane(1, 364, 720)] if "cookies" in clip else []
    watched = PartFinder(BeltView(belt, 1280, 720), lanes)
    changes: list[PartChange] = []
    for line in (sample_data / clip / "frames.jsonl").read_text().splitlines():
        shown = json.loads(line)
        boxes = [tuple(part["xyxy"]) for part in shown["parts"]]
        changes += watched.see(shown["t_ms"] * 1_000_000 + 1, shown["frame"] * 12.0, 1.0, boxes)
    entered = [change.number for change in changes if change.what is ENTERED]
    assert len(entered) == len(set(entered)) == parts
    assert sum(change.what is LEFT for change in changes) == parts
    assert {change.doubt for change in changes} == {None}
    last = {change.number: change for change in changes}.values()
    found = sorted((change.lane, (change.along.centre + 640) / 0.3) for change in last)
    truth = [json.loads(line) for line in (sample_data / clip / "parts.jsonl").read_text().splitlines()]
    for (lane, at_ms), part in zip(
        found, sorted(truth, key=lambda part: (part.get("lane", 0), part["centre_at_trigger_ms"])), strict=True
    ):
        assert lane == part.get("lane", 0)
        assert at_ms == pytest.approx(part["centre_at_trigger_ms"], abs=10)
