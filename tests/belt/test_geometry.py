"""Belt coordinates: what lies still on the belt keeps its place, whatever the picture shows of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.belt.geometry import BeltView
from stream_inspect.belt.odometer import FixedSpeedOdometer
from stream_inspect.config.models import BeltConfig
from stream_inspect.messages import Interval
from tests.belt.pictures import MOUNTINGS, Mounting
from tests.track.line import HEIGHT_PX, WIDTH_PX, Line, Thing

DIRECTIONS = ("left_to_right", "right_to_left", "top_to_bottom", "bottom_to_top")


def view(direction: str, mm_per_px: float = 0.5) -> BeltView:
    return BeltView(BeltConfig(direction=direction, speed_mm_s=100, mm_per_px=mm_per_px), WIDTH_PX, HEIGHT_PX)


@pytest.mark.parametrize("direction", DIRECTIONS)
@given(x=st.floats(-200, 1400), y=st.floats(-200, 900), w=st.floats(1, 500), h=st.floats(1, 500), at=st.floats(0, 1e6))
def test_a_box_comes_back_from_the_belt(direction, x, y, w, h, at):
    box = (x, y, x + w, y + h)
    assert view(direction).px_from_belt(view(direction).belt_from_px(box, at), at) == pytest.approx(box, abs=1e-6)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_lies_on_the_belt_keeps_its_place(direction):
    line = Line([Thing(place_px=100, across_px=300)], speed_px_s=200, direction=direction)
    belt = view(direction)
    places = []
    for pts_s in (0.0, 0.4, 1.3, 2.2):
        box = line.box(line.things[0], pts_s)
        assert box is not None
        places.append(belt.belt_from_px(box, odometer_mm=200 * 0.5 * pts_s))
    for place in places:
        assert place.along.low == pytest.approx(places[0].along.low)
        assert place.along.high == pytest.approx(places[0].along.high)
        assert place.across == places[0].across
        assert place.along.whole


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_place_is_the_odometers_reading_at_the_upstream_edge(direction):
    line = Line([Thing(place_px=-60, across_px=300, length_px=40)], speed_px_s=100, direction=direction)
    belt = view(direction, mm_per_px=2.0)
    box = line.box(line.things[0], 3.0)
    assert box is not None
    placed = belt.belt_from_px(box, odometer_mm=600.0)
    # Its leading edge (at -40 px) passes the upstream edge after 40 px, that is 80 mm; its trailing edge 80 mm later.
    assert (placed.along.low, placed.along.high) == pytest.approx((80.0, 160.0))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_velocity_carries_a_box_along(direction):
    line = Line([Thing(place_px=300, across_px=300)], speed_px_s=200, direction=direction)
    before, after = line.box(line.things[0], 0.0), line.box(line.things[0], 0.5)
    assert before is not None
    dx, dy = (speed * 0.5 for speed in view(direction).velocity_px_s(100.0))
    assert after == pytest.approx((before[0] + dx, before[1] + dy, before[2] + dx, before[3] + dy))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_sides_at_the_pictures_edge_are_cut(direction):
    line = Line([Thing(place_px=0, across_px=300, length_px=80)], speed_px_s=100, direction=direction)
    entering = line.box(line.things[0], 0.0)
    length_px = WIDTH_PX if "left" in direction else HEIGHT_PX
    leaving = line.box(line.things[0], length_px / 100)
    assert entering is not None
    assert leaving is not None
    placed = view(direction).belt_from_px(entering, 0.0)
    assert (placed.along.low_cut, placed.along.high_cut) == (False, True)
    placed = view(direction).belt_from_px(leaving, 0.0)
    assert (placed.along.low_cut, placed.along.high_cut) == (True, False)
    assert placed.across.whole


@pytest.mark.parametrize("mounting", MOUNTINGS, ids=lambda mounting: mounting.name)
def test_another_view_of_the_same_belt_gives_the_same_sizes_and_ways(mounting: Mounting) -> None:
    """A pixel of the straight view is a millimetre: a box of it keeps its size, and moves on by what the belt does."""
    belt = BeltView(mounting.belt, 1280, 720)
    first = belt.belt_from_px(mounting.corners((400, 200, 520, 260)), odometer_mm=0.0)
    later = belt.belt_from_px(mounting.corners((600, 200, 720, 260)), odometer_mm=200.0)
    assert (first.along.length, first.across.length) == pytest.approx((120, 60), abs=0.01)
    assert (later.along.low, later.across.low) == pytest.approx((first.along.low, first.across.low), abs=0.01)
    assert first.along.whole
    assert first.across.whole
    for corner, wanted in zip(belt.corners_px(first, 0.0), mounting.corners((400, 200, 520, 260)), strict=True):
        assert corner == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("mounting", MOUNTINGS, ids=lambda mounting: mounting.name)
def test_the_velocity_is_that_of_the_place(mounting: Mounting) -> None:
    belt = BeltView(mounting.belt, 1280, 720)
    for place in ((300.0, 200.0), (900.0, 550.0)):
        (x, y), *_ = mounting.corners((*place, *place))
        (next_x, next_y), *_ = mounting.corners((place[0] + 0.1, place[1], *place))
        assert belt.velocity_px_s(0.1, (x, y)) == pytest.approx((next_x - x, next_y - y), abs=1e-3)


def test_the_picture_ends_at_its_corners_for_a_belt_at_an_angle() -> None:
    belt = BeltView(BeltConfig(direction_deg=30, speed_mm_s=1, mm_per_px=2), 1280, 720)
    assert belt.along_mm(0, 0) == pytest.approx(0)
    assert belt.along_mm(1280, 720) == pytest.approx(belt.length_mm)
    assert belt.length_mm == pytest.approx(2 * (1280 * 0.75**0.5 + 720 / 2))
    assert belt.width_mm == pytest.approx(2 * (1280 / 2 + 720 * 0.75**0.5))


@pytest.mark.parametrize(("direction_deg", "straight"), [(0, "left_to_right"), (-90, "bottom_to_top")])
def test_an_angle_along_a_side_of_the_picture_is_that_direction(direction_deg: float, straight: str) -> None:
    by_angle = BeltView(BeltConfig(direction_deg=direction_deg, speed_mm_s=1, mm_per_px=0.5), WIDTH_PX, HEIGHT_PX)
    assert by_angle.is_straight
    assert by_angle.belt_from_px((10, 20, 30, 60), 7.0) == view(straight).belt_from_px((10, 20, 30, 60), 7.0)


def test_a_slanted_view_ends_before_the_horizon() -> None:
    """A camera that looks along the belt: it runs to a point that is in the picture."""
    corners = [(300.0, 700.0), (560.0, 300.0), (720.0, 300.0), (980.0, 700.0)]
    config = BeltConfig(corners_px=corners, corners_mm=(2000, 500), speed_mm_s=100)
    belt = BeltView(config, 1280, 720)
    assert config.angle_deg == pytest.approx(270)
    assert min(y for _, y in belt.seen_px) > 150
    assert 2000 < belt.length_mm < 20_000
    assert belt.belt_from_px((300, 300, 980, 700), 0.0).along.length == pytest.approx(2000, rel=0.001)


def test_offsets_are_taken_from_the_sides_that_both_show():
    whole = Interval(100, 140)
    assert whole.offset_to(Interval(105, 145)) == 5
    assert whole.offset_to(Interval(102, 130, high_cut=True)) == 2
    assert whole.offset_to(Interval(120, 143, low_cut=True)) == 3
    start, end = Interval(100, 120, high_cut=True), Interval(110, 150, low_cut=True)
    assert start.offset_to(end) == 0
    assert start.offset_to(Interval(126, 150, low_cut=True)) == 6
    assert Interval(126, 150, low_cut=True).offset_to(start) == -6


def test_another_look_completes_what_was_cut():
    entering = Interval(100, 110, high_cut=True)
    more = entering.followed_by(Interval(101, 130, high_cut=True))
    assert (more.low, more.high, more.high_cut) == (101, 130, True)
    all_of_it = more.followed_by(Interval(100, 140))
    assert (all_of_it.low, all_of_it.high, all_of_it.whole) == (100, 140, True)
    leaving = all_of_it.followed_by(Interval(125, 142, low_cut=True))
    assert (leaving.low, leaving.high, leaving.whole) == (102, 142, True)


def test_the_odometer_integrates_the_configured_speed():
    odometer = FixedSpeedOdometer(100)
    assert odometer.advance_to(10.0) == 0.0
    assert odometer.advance_to(12.0) == pytest.approx(200)
    assert odometer.advance_to(13.5) == pytest.approx(350)
