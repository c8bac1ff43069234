"""The position of a line's belt: known between readings, bounded after them, and never changed once it was given."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.belt.counter import Counter
from stream_inspect.belt.odometer import FixedSpeedOdometer, MeasuredOdometer
from stream_inspect.belt.position import Position
from stream_inspect.belt.slip import SlipLimits
from stream_inspect.belt.ways import Ways
from tests.belt.runs import LIMITS, MS, BeltRun, S, runs, steady

NEAR = 1e-6


def odometer(*sources: str) -> MeasuredOdometer:
    return MeasuredOdometer(sources or ("encoder",), LIMITS)


def read(belt: MeasuredOdometer, run: BeltRun, source: str, start_ms: int, end_ms: int, every_ms: int = 10) -> None:
    """Exact readings of one source, which counts from wherever it likes."""
    zero = {"encoder": 0.0, "picture": -5000.0}[source]
    for ms in range(start_ms, end_ms + 1, every_ms):
        belt.add(source, ms * MS, Position(zero + run.mm(ms * MS)))


# --- one source ---


def test_a_position_is_interpolated_between_two_readings():
    belt = odometer()
    belt.add("encoder", 0, Position(0.0, noise_mm=0.1))
    belt.add("encoder", 100 * MS, Position(50.0, noise_mm=0.1))
    assert belt.at(0) == Position(0.0, 0.1)
    half_way = belt.at(50 * MS)
    assert half_way.mm == pytest.approx(25)
    # Between the two it may have accelerated and braked again: 4 m/s2 * 50 ms * 50 ms / 2.
    assert half_way.noise_mm == pytest.approx(0.1 + 5)


def test_a_time_is_settled_once_it_was_read_then_or_later():
    belt = odometer()
    belt.add("encoder", 10 * MS, Position(0.0))
    assert belt.settled(10 * MS)
    assert not belt.settled(15 * MS)
    belt.add("encoder", 20 * MS, Position(5.0))
    assert belt.settled(15 * MS)


def test_after_the_last_reading_the_speed_is_followed_and_then_nothing_is_known():
    belt = odometer()
    read(belt, steady(200), "encoder", 0, 1000)
    soon, later = belt.at(1100 * MS), belt.at(1500 * MS)
    assert soon.mm == pytest.approx(220)
    assert later.mm == pytest.approx(300)
    assert 0 < soon.sigma_mm < later.sigma_mm
    assert belt.at(1501 * MS) is None
    assert belt.silent(1600 * MS) == {"encoder": "last read 0.6 s ago"}


def test_the_speed_of_a_coarse_count_that_is_read_often_is_taken_over_a_longer_time():
    """One count in 5 ms is good to 400 mm/s; in 35 ms to 60 mm/s, and the belt may have changed by 70 mm/s."""
    belt = odometer()
    for ms in range(0, 1000, 5):
        belt.add("encoder", ms * MS, Position(0.2 * ms // 1, noise_mm=1.0))
    after = belt.at(1095 * MS)
    assert after.mm == pytest.approx(219, abs=5)
    assert after.noise_mm == pytest.approx(1 + (60 + 70) * 0.1 + 20, abs=3)


def test_a_part_keeps_its_place_when_the_belt_stops_and_runs_back():
    run = BeltRun(((0.5, 0), (0.1, -2000), (0.5, 0), (0.1, -2000), (1, 0)), speed_mm_s=200)
    belt = odometer()
    read(belt, run, "encoder", 0, 2200)
    below_edge_mm = [run.mm(ms * MS) - 30 for ms in (400, 900, 2100)]  # where a camera sees the part
    assert below_edge_mm[0] > 0 > below_edge_mm[2]
    s_mm = [belt.at(ms * MS).mm - seen for ms, seen in zip((400, 900, 2100), below_edge_mm, strict=True)]
    assert s_mm == pytest.approx([30, 30, 30])


def test_stopping_and_running_back_are_seen():
    belt = odometer()
    run = BeltRun(((1, 0), (0.1, -2000), (1, 0), (0.1, -2000), (1, 0)), speed_mm_s=200)
    read(belt, run, "encoder", 0, 3200)
    assert belt.speed_at(900 * MS) == pytest.approx(200)
    assert belt.speed_at(2000 * MS) == pytest.approx(0, abs=NEAR)
    assert belt.speed_at(3100 * MS) == pytest.approx(-200)
    assert [belt.stands_at(ms * MS) for ms in (900, 2000, 3100)] == [False, True, False]


def test_a_belt_stands_only_while_its_position_is_known():
    belt = odometer()
    read(belt, steady(0), "encoder", 0, 1000)
    read(belt, steady(0), "encoder", 3000, 4000)
    asked_s = (1, 2, 3, 4, 4.4, 4.6)
    assert [belt.stands_at(int(s * S)) for s in asked_s] == [True, False, False, True, True, False]


def test_standing_is_seen_by_readings_that_are_far_apart_too():
    belt = odometer()
    read(belt, BeltRun(((1, 0), (0.1, -2000), (2, 0)), speed_mm_s=200), "encoder", 0, 3000, every_ms=400)
    assert [belt.stands_at(ms * MS) for ms in (400, 800, 2000, 2600)] == [False, False, True, True]


def test_a_belt_that_creeps_does_what_it_did():
    """At 7 mm/s, between the two limits, a belt that stood still stands, and one that ran still runs."""
    stood = BeltRun(((1, 0), (0.01, 700), (9, 0)))
    ran = BeltRun(((1, 0), (0.1, -1930), (9, 0)), speed_mm_s=200)
    for run, stands in ((stood, True), (ran, False)):
        belt = odometer()
        read(belt, run, "encoder", 0, 4000)
        assert belt.speed_at(4000 * MS) == pytest.approx(7)
        assert belt.stands_at(4000 * MS) is stands


def test_the_speed_of_a_single_reading_is_not_known():
    belt = odometer()
    assert belt.speed_at(0) is None
    belt.add("encoder", 10 * MS, Position(0.0))
    assert belt.speed_at(10 * MS) is None
    assert not belt.stands_at(10 * MS)


def test_a_long_gap_is_not_filled_but_an_encoder_knows_the_way_over_it():
    belt = odometer()
    belt.add("encoder", 0, Position(0.0))
    belt.add("encoder", 2 * S, Position(700.0))
    assert belt.at(S) is None
    assert belt.at(2 * S).way_since(belt.at(0)) == (700.0, 0.0)


def test_a_gap_is_as_long_when_it_was_asked_for_in_between():
    belt = odometer()
    read(belt, steady(200), "encoder", 0, 100)
    assert belt.at(400 * MS) is not None
    read(belt, steady(200), "encoder", 700, 800)
    assert belt.at(500 * MS) is None


def test_a_reading_that_is_not_later_than_the_last_one_is_not_accepted():
    belt = odometer()
    assert belt.add("encoder", 20 * MS, Position(1.0))
    assert not belt.add("encoder", 20 * MS, Position(2.0))
    assert not belt.add("encoder", 10 * MS, Position(0.0))
    assert belt.at(20 * MS) == Position(1.0)
    with pytest.raises(KeyError):
        belt.add("wheel", 30 * MS, Position(0.0))


def test_an_answer_stays_when_a_late_reading_contradicts_it():
    belt = odometer()
    read(belt, steady(200), "encoder", 0, 1000)
    guessed, unknown = belt.at(1200 * MS), belt.at(1700 * MS)
    assert unknown is None
    read(belt, steady(200), "encoder", 1100, 1600, every_ms=100)  # delivered late
    belt.add("encoder", 1800 * MS, Position(205.0))
    assert belt.at(1200 * MS) == guessed
    assert belt.at(1700 * MS) is None
    assert belt.at(1800 * MS).mm == 205


def test_a_caller_that_always_asks_before_the_reading_is_delivered_is_not_left_behind():
    """Each reading is delivered 30 ms late, after its time was asked for: it still corrects what comes after it."""
    run = BeltRun(((1, 0), (0.1, -2000), (2, 0)), speed_mm_s=200)
    belt = odometer()
    for ms in range(0, 3000, 10):
        if ms >= 30:
            belt.add("encoder", (ms - 30) * MS, Position(run.mm((ms - 30) * MS)))
        asked = belt.at(ms * MS)
        assert (asked is None) == (ms < 30)
        if asked is not None:
            assert abs(asked.mm - run.mm(ms * MS)) <= asked.sigma_mm + NEAR
    assert belt.at(2900 * MS).mm == pytest.approx(run.mm(2900 * MS))
    assert belt.stands_at(2900 * MS)


def test_positions_of_the_last_minute_are_kept():
    belt = odometer()
    read(belt, steady(200), "encoder", 0, 200_000, every_ms=100)
    assert belt.at(140 * S).mm == pytest.approx(28_000)
    assert belt.at(70 * S) is None


def test_an_odometer_without_a_source_cannot_be():
    with pytest.raises(ValueError, match="expected at least one source"):
        MeasuredOdometer((), LIMITS)


# --- a fixed speed ---


def test_a_fixed_speed_is_known_at_any_time_and_less_surely_with_the_way():
    belt = FixedSpeedOdometer(100, relative_error=0.02)
    then, now = belt.at(10 * S), belt.at(30 * S)
    assert (then.mm, then.sigma_mm) == (0, 0)
    assert now.way_since(then) == pytest.approx((2000, 40))
    assert belt.at(9 * S).way_since(then) == pytest.approx((-100, 2))
    assert belt.settled(99 * S)
    assert (belt.speed_at(S), belt.stands_at(S)) == (100, False)


# --- the picture ---


def test_the_ways_from_picture_to_picture_add_up():
    picture = Ways(LIMITS)
    assert picture.moved(0, 0, 0.0, 0.0, 0.0) == Position(0.0)
    assert picture.moved(0, 40 * MS, 12.0, 0.25, 0.9) == Position(12.0, 0.0, 0.25)
    assert picture.moved(40 * MS, 80 * MS, -4.0, 0.25, 0.9) == Position(8.0, 0.0, 0.5)


def frames(
    picture: Ways, first: int, end: int, confidence: float = 0.9, moved_mm: float = 10.0
) -> list[Position | None]:
    """Frames at 25 Hz, the belt at 250 mm/s."""
    return [
        picture.moved(frame * 40 * MS - 40 * MS, frame * 40 * MS, moved_mm, 0.1, confidence)
        for frame in range(first, end)
    ]


@pytest.mark.parametrize(
    ("confidence", "moved_mm"),
    [(0.2, 3.0), (0.9, float("nan")), (0.9, float("inf")), (0.9, 4000.0), (float("nan"), 3.0)],
    ids=["not sure", "not a number", "infinite", "faster than the belt", "confidence not a number"],
)
def test_frames_that_are_not_sure_are_bridged_by_the_last_speed(confidence, moved_mm):
    picture = Ways(LIMITS)
    before = frames(picture, 0, 10)[-1]
    bridged = frames(picture, 10, 14, confidence, moved_mm)
    assert [position.mm for position in bridged] == pytest.approx([100, 110, 120, 130])
    assert all(one.drift_mm < following.drift_mm for one, following in pairwise([before, *bridged]))
    after = frames(picture, 14, 15)[0]
    assert after.mm == pytest.approx(140)
    assert after.drift_mm == pytest.approx(bridged[-1].drift_mm + 0.1)  # what was not known then stays


def test_a_frame_that_was_not_delivered_is_bridged_too():
    picture = Ways(LIMITS)
    frames(picture, 0, 10)
    after = frames(picture, 11, 13)
    assert [position.mm for position in after] == pytest.approx([110, 120])


@pytest.mark.parametrize(("since", "sigma_mm"), [(8, 0.1), (10, 0.1), (11, 100.0), (9, -1.0), (9, float("inf"))])
def test_a_way_that_does_not_follow_the_last_one_is_bridged(since, sigma_mm):
    """It begins before the last frame or does not begin before its own, or its error is not one."""
    picture = Ways(LIMITS)
    frames(picture, 0, 10)
    position = picture.moved(since * 40 * MS, 400 * MS, 25.0, sigma_mm, 0.9)
    assert position.mm == pytest.approx(100)


def test_after_a_bounded_way_nothing_is_known_and_the_way_is_lost():
    picture = Ways(LIMITS, bridged_mm=100)
    before = frames(picture, 0, 10)[-1]
    hidden = frames(picture, 10, 50, confidence=0.0)
    assert [position is None for position in hidden] == [False] * 10 + [True] * 30
    after = frames(picture, 50, 51)[0]
    assert after.mm == pytest.approx(90 + 100 + 10)
    assert after.drift_mm > before.drift_mm + 30 * 0.04 * 1000  # 30 frames, at its greatest speed


def test_a_belt_that_stands_is_bridged_for_a_bounded_time():
    picture = Ways(LIMITS)
    frames(picture, 0, 10, moved_mm=0.0)
    hidden = frames(picture, 10, 30, confidence=0.0)
    assert [position is None for position in hidden] == [False] * 12 + [True] * 8  # 0.5 s
    assert hidden[11].mm == pytest.approx(0)


def test_a_frame_out_of_order_changes_nothing():
    picture = Ways(LIMITS)
    frames(picture, 0, 10)
    assert picture.moved(120 * MS, 160 * MS, 10.0, 0.1, 0.9) is None
    assert frames(picture, 10, 11)[0].mm == pytest.approx(100)


# --- two sources ---


def test_the_second_takes_over_where_the_first_one_stopped():
    belt, run = odometer("encoder", "picture"), steady(200)
    read(belt, run, "encoder", 0, 1000)
    read(belt, run, "picture", 20, 1500, every_ms=40)
    assert belt.believed == "encoder"
    assert not belt.settled(1400 * MS)  # it may only be late
    read(belt, run, "picture", 1540, 2100, every_ms=40)
    assert belt.believed == "picture"
    assert belt.at(1400 * MS).mm == pytest.approx(280)
    assert belt.silent(2100 * MS) == {"encoder": "last read 1.1 s ago"}


def test_the_first_one_is_believed_again_once_it_has_been_alive_for_a_while():
    belt, run = odometer("encoder", "picture"), steady(200)
    read(belt, run, "encoder", 0, 100)
    read(belt, run, "picture", 0, 2000, every_ms=40)
    for ms in range(2040, 3000, 40):
        read(belt, run, "picture", ms, ms)
        read(belt, run, "encoder", ms, ms)
        assert belt.believed == ("picture" if ms <= 2040 + 500 else "encoder")
        assert belt.at(ms * MS).mm == pytest.approx(run.mm(ms * MS))


def test_the_first_one_is_believed_again_only_from_where_the_second_one_knew_too():
    belt, run = odometer("encoder", "picture"), steady(200)
    read(belt, run, "encoder", 0, 100)
    read(belt, run, "picture", 0, 2000, every_ms=40)
    read(belt, run, "encoder", 1900, 2400, every_ms=20)
    read(belt, run, "picture", 3000, 3000)  # delivered before the encoder's
    read(belt, run, "encoder", 2420, 2980, every_ms=20)
    assert belt.believed == "picture"
    read(belt, run, "encoder", 3000, 3100, every_ms=20)
    assert belt.believed == "encoder"
    assert belt.at(3100 * MS).mm == pytest.approx(620)


def test_a_second_source_is_believed_if_the_first_was_never_read():
    belt, run = odometer("encoder", "picture"), steady(200)
    read(belt, run, "picture", 0, 480, every_ms=40)
    assert not belt.settled(0)
    read(belt, run, "picture", 520, 600, every_ms=40)
    assert belt.believed == "picture"
    assert belt.at(400 * MS).way_since(belt.at(0)).mm == pytest.approx(80)
    assert belt.silent(600 * MS) == {"encoder": "never read"}


def test_a_second_source_that_comes_late_leaves_a_hole():
    belt, run = odometer("encoder", "picture"), steady(200)
    read(belt, run, "encoder", 0, 1000)
    read(belt, run, "picture", 3000, 3100, every_ms=20)
    assert belt.at(2000 * MS) is None
    way = belt.at(3000 * MS).way_since(belt.at(1000 * MS))
    assert abs(way.mm - 400) <= way.sigma_mm
    assert way.sigma_mm > 1.5 * 1000  # 1.5 s in which nothing was followed, at its greatest speed


def slipping(share: float, over_mm: float = 200.0, names: tuple[str, str] = ("encoder", "picture")) -> MeasuredOdometer:
    """The second source sees this share of the way of the first one, 200 mm/s."""
    belt = MeasuredOdometer(names, LIMITS, slip=SlipLimits(over_mm))
    for ms in range(0, 6001, 20):
        belt.add(names[0], ms * MS, Position(0.2 * ms))
        belt.add(names[1], ms * MS, Position(0.2 * ms * share))
    return belt


def go_on(belt: MeasuredOdometer, first: float, second: float, share: float, for_s: float) -> None:
    """Both continue from their positions, the second one with another share."""
    for ms in range(20, int(for_s * 1000), 20):
        belt.add("encoder", (6000 + ms) * MS, Position(first + 0.2 * ms))
        belt.add("picture", (6000 + ms) * MS, Position(second + 0.2 * ms * share))


def test_two_sources_that_disagree_are_slip():
    assert slipping(0.9).slip == "encoder says 200 mm, picture 180 mm over the last 1.0 s"
    assert slipping(0.0).slip == "encoder says 200 mm, picture 0 mm over the last 1.0 s"
    assert slipping(-1.0, names=("wheel", "picture")).slip == "wheel says 200 mm, picture -200 mm over the last 1.0 s"
    assert slipping(2.0).slip == "encoder says 100 mm, picture 200 mm over the last 0.5 s"


@pytest.mark.parametrize(
    ("over_mm", "share", "slip"),
    [(1000, 0.96, False), (1000, 0.94, True), (1000, 1.0515, False), (100, 0.92, False), (100, 0.88, True)],
)
def test_ways_may_differ_by_a_share_and_by_a_few_millimetres(over_mm, share, slip):
    assert bool(slipping(share, over_mm).slip) is slip


def test_slip_is_cleared_when_both_agree_well_over_a_stretch():
    belt = slipping(0.9)
    go_on(belt, 1200, 1080, share=0.96, for_s=2)
    assert belt.slip == "encoder says 200 mm, picture 192 mm over the last 1.0 s"  # alone it would not be slip
    belt = slipping(0.9)
    go_on(belt, 1200, 1080, share=0.98, for_s=2)
    assert belt.slip == ""


def test_slip_stays_while_the_belt_stands():
    belt = slipping(0.9)
    for ms in range(6020, 60_000, 20):
        belt.add("encoder", ms * MS, Position(1200))
        belt.add("picture", ms * MS, Position(1080))
    assert belt.slip


def test_a_single_source_has_nothing_to_slip_against():
    assert odometer().slip == ""


@pytest.mark.parametrize("delay_ms", [-300, 300])
def test_slip_does_not_depend_on_which_source_is_delivered_first(delay_ms):
    """The readings of a belt that starts and stops: with the newest of each they would differ by 300 ms of way."""
    run = BeltRun(((0.2, 4000), (0.5, 0), (0.2, -4000), (0.5, 0)) * 3)
    belt = odometer("encoder", "picture")
    for ms in range(500, 4000, 20):
        read(belt, run, "encoder", ms, ms)
        read(belt, run, "picture", ms - delay_ms, ms - delay_ms)
        assert belt.slip == ""
    for ms in range(4000, 8000, 20):
        belt.add("encoder", ms * MS, Position(0.2 * ms))
        belt.add("picture", (ms - delay_ms) * MS, Position(0.18 * (ms - delay_ms)))
    assert belt.slip == "encoder says 200 mm, picture 180 mm over the last 1.0 s"


def test_what_one_does_not_claim_to_know_is_not_slip():
    belt = odometer("encoder", "picture")
    for ms in range(0, 4001, 20):
        belt.add("encoder", ms * MS, Position(0.2 * ms))
        belt.add("picture", ms * MS, Position(0.16 * ms, 0.0, 0.05 * ms))
    assert belt.slip == ""


def test_a_belt_that_stands_is_not_slip_however_long_the_picture_trembles():
    belt = odometer("encoder", "picture")
    for ms in range(0, 600_000, 200):
        belt.add("encoder", ms * MS, Position(0.0))
        belt.add("picture", ms * MS, Position(0.0005 * ms))
    assert belt.slip == ""


# --- properties ---

pauses_ms = st.lists(st.integers(1, 450), min_size=2, max_size=25)


def times(pauses: list[int]) -> list[int]:
    """In ns."""
    found = [0]
    for pause in pauses:
        found.append(found[-1] + pause * MS)
    return found


def assert_within_bounds(belt: MeasuredOdometer, run: BeltRun, asked: list[int]) -> None:
    """Every position, and every way between two of them, is as exact as it says."""
    known = [(ns, position) for ns in sorted(asked) if (position := belt.at(ns)) is not None]
    for then_ns, then in known:
        for now_ns, now in known:
            way = now.way_since(then)
            assert abs(way.mm - (run.mm(now_ns) - run.mm(then_ns))) <= way.sigma_mm + NEAR


@pytest.mark.parametrize("acceleration", [4000.0, 100_000.0])
@given(pauses=pauses_ms, data=st.data())
def test_no_belt_within_its_limits_is_farther_off_than_the_bounds(acceleration, pauses, data):
    """Between readings and after the last one, by an encoder of 0.5 mm a count; what limits it is one or the other."""
    run = data.draw(runs(acceleration))
    belt = MeasuredOdometer(["encoder"], replace(LIMITS, max_acceleration_mm_s2=acceleration))
    counter = Counter(bits=16, mm_per_count=0.5, max_speed_mm_s=1000, age_s=0)
    read_ns = times(pauses)
    for ns in read_ns:
        belt.add("encoder", ns, counter.read(ns, int(run.mm(ns) // 0.5) % 2**16))
    assert_within_bounds(belt, run, data.draw(st.lists(st.integers(0, read_ns[-1] + S), max_size=12)))


@given(run=runs(), pauses=pauses_ms, data=st.data())
def test_the_picture_is_within_its_bounds_however_often_it_is_not_sure(run, pauses, data):
    belt, picture = odometer("picture"), Ways(LIMITS)
    read_ns = times(pauses)
    for since_ns, ns in pairwise([0, *read_ns]):
        error = data.draw(st.floats(-0.5, 0.5))
        sure = data.draw(st.booleans())
        position = picture.moved(since_ns, ns, run.mm(ns) - run.mm(since_ns) + error, 0.5, 0.9 if sure else 0.1)
        if position is not None:
            belt.add("picture", ns, position)
    assert_within_bounds(belt, run, data.draw(st.lists(st.integers(0, read_ns[-1] + S), max_size=12)))


@st.composite
def deliveries(draw: st.DrawFn, run: BeltRun, sources: tuple[str, ...]) -> list[tuple[int, str, int, Position]]:
    """Readings with outages, as (delivered_ns, source, read_ns, position) in the order of their delivery."""
    found = []
    for source in sources:
        zero, delivered_ns = draw(st.floats(-1e4, 1e4)), 0
        for ns in times(draw(st.lists(st.integers(1, 200) | st.integers(300, 1500), min_size=2, max_size=25))):
            delivered_ns = max(delivered_ns, ns + draw(st.integers(0, 200)) * MS)
            found.append((delivered_ns, source, ns, Position(zero + run.mm(ns))))
    return sorted(found, key=lambda delivery: delivery[0])


@given(run=runs(), data=st.data())
def test_positions_stay_within_their_bounds_whenever_one_source_takes_over_from_the_other(run, data):
    belt = odometer("encoder", "picture")
    end_ns = 0
    for _, source, ns, position in data.draw(deliveries(run, ("encoder", "picture"))):
        belt.add(source, ns, position)
        end_ns = max(end_ns, ns)
    assert_within_bounds(belt, run, data.draw(st.lists(st.integers(0, end_ns + S), max_size=12)))


@given(speed=st.floats(-1000, 1000), data=st.data())
def test_a_take_over_does_not_move_a_steady_belt(speed, data):
    """Without a hole the position is exact over any number of take-overs: the sources' own zeros do not show."""
    run, belt = steady(speed), odometer("encoder", "picture")
    for ms in range(0, 8000, 50):
        if data.draw(st.integers(0, 9), label="picture") or ms < 1000:
            belt.add("picture", ms * MS, Position(-5000 + run.mm(ms * MS)))
        if data.draw(st.sampled_from([True, False]), label="encoder alive") if ms % 1000 == 0 else ms % 2000 < 1000:
            belt.add("encoder", ms * MS, Position(70 + run.mm(ms * MS)))
    known = [(ms, position) for ms in range(0, 8000, 30) if (position := belt.at(ms * MS)) is not None]
    first_ms, first = known[0]
    for ms, position in known:
        assert position.mm - first.mm == pytest.approx(run.mm(ms * MS) - run.mm(first_ms * MS), abs=1e-5)


@given(run=runs(), data=st.data())
def test_an_answer_once_given_never_changes(run, data):
    """Whenever it is asked for: before its reading is delivered, during an outage, after a take-over."""
    belt = odometer("encoder", "picture")
    given_to: dict[int, Position | None] = {}
    for delivered_ns, source, ns, position in data.draw(deliveries(run, ("encoder", "picture"))):
        belt.add(source, ns, position)
        for asked_ns in data.draw(st.lists(st.integers(0, delivered_ns + S), max_size=2)):
            answer = belt.at(asked_ns)
            assert given_to.setdefault(asked_ns, answer) == answer
    assert {asked_ns: belt.at(asked_ns) for asked_ns in given_to} == given_to


@given(run=runs(), data=st.data())
def test_a_settled_time_has_one_position_whenever_it_is_asked_for(run, data):
    """One caller asks as soon as a time is settled, as the service does; another one at the end, as a replay may."""
    soon, late = odometer("encoder", "picture"), odometer("encoder", "picture")
    readings = data.draw(deliveries(run, ("encoder", "picture")))
    waiting = data.draw(st.lists(st.integers(0, 5 * S), max_size=20))
    answers: dict[int, Position | None] = {}
    for _, source, ns, position in readings:
        soon.add(source, ns, position)
        late.add(source, ns, position)
        answers |= {asked_ns: soon.at(asked_ns) for asked_ns in waiting if soon.settled(asked_ns)}
    assert answers == {asked_ns: late.at(asked_ns) for asked_ns in waiting if late.settled(asked_ns)}


@given(speeds=st.lists(st.floats(0, 1000), min_size=2, max_size=20), asked=st.lists(st.integers(0, 2 * S), max_size=20))
def test_a_belt_that_only_runs_forward_is_never_seen_to_run_back(speeds, asked):
    belt, mm = odometer(), 0.0
    for index, speed in enumerate(speeds):
        mm += speed * 0.1
        belt.add("encoder", index * 100 * MS, Position(mm))
    known = [position.mm for ns in sorted(asked) if belt.settled(ns) and (position := belt.at(ns)) is not None]
    assert all(following >= one - NEAR for one, following in pairwise(known))
