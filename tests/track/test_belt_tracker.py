"""The belt tracker where it must be better than any other: far apart looks, wrong speeds, gaps, the picture's edges."""

from __future__ import annotations

import pytest

from stream_inspect.commands.bench.track import IDF1_OF_ORACLE, SWITCHES_PER_1000, track_ours
from stream_inspect.commands.bench.track_sequences import generate
from stream_inspect.config.models import TrackConfig
from stream_inspect.track.belt_tracker import BeltTracker
from tests.track.identities import identities, oracle
from tests.track.line import WIDTH_PX, Line, Thing, camera, found, frame

DIRECTIONS = ("left_to_right", "right_to_left", "top_to_bottom", "bottom_to_top")


def follow(tracker: BeltTracker, line: Line, times_s: list[float], **look) -> list[set[int]]:
    """The numbers that each thing was given."""
    numbers: list[set[int]] = [set() for _ in line.things]
    for pts_s in times_s:
        seen = line.look(pts_s, **look)
        live, _ = tracker.update(frame(pts_s), [detection for _, detection in seen])
        track_of = {id(update.detection): update.track for update in live}
        for index, detection in seen:
            if id(detection) in track_of:
                numbers[index].add(track_of[id(detection)])
    return numbers


@pytest.mark.parametrize("pitch", ["random", "regular"])
@pytest.mark.parametrize("speed_error", [0.0, 0.1, -0.1])
@pytest.mark.parametrize("widths", [0.25, 1.5, pytest.param(1.0, marks=pytest.mark.slow), 4.0])
def test_parts_are_linked_as_by_an_oracle_at_any_displacement_with_a_speed_ten_percent_wrong(
    widths, speed_error, pitch
):
    """1.5 widths are a whole pitch: each part lies where its neighbour was."""
    run = generate(widths, pitch, seed=7, frames=50)
    found = identities(run, track_ours("belt", run, speed_error).tracks)
    assert found.idf1 >= IDF1_OF_ORACLE * oracle(run).idf1
    assert found.switches_per_1000 <= SWITCHES_PER_1000


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_all_directions_are_alike(direction):
    line = Line([Thing(-50 * index, 150 + 90 * (index % 3)) for index in range(20)], 400.0, direction)
    tracker = BeltTracker(camera(direction=direction, speed_mm_s=400.0), TrackConfig())
    numbers = follow(tracker, line, [step / 5 for step in range(25)], jitter_px=1.5)
    assert [len(known) for known in numbers] == [1] * 20
    assert len(set.union(*numbers)) == 20


def learned_speed_mm_s(tracker: BeltTracker, pts_s: float) -> float:
    """The belt's speed as the next track reports it: at 1 mm a pixel, in mm/s."""
    (update, *_), _ = tracker.update(frame(pts_s), [found((400, 600, 440, 640))])
    return update.velocity_px_s[0]


@pytest.mark.parametrize("true_over_configured", [0.9, 0.95, 1.0, 1.06, 1.1])
def test_the_true_speed_is_learned(true_over_configured):
    line = Line([Thing(-160 * index, 300) for index in range(30)], 300.0 * true_over_configured)
    tracker = BeltTracker(camera(speed_mm_s=300.0), TrackConfig())
    follow(tracker, line, [step / 8 for step in range(80)], jitter_px=1.5)
    assert learned_speed_mm_s(tracker, 10.0) == pytest.approx(300.0 * true_over_configured, abs=4.5)


def test_a_speed_that_was_learned_outlives_the_session():
    line = Line([Thing(-160 * index, 300) for index in range(30)], 324.0)
    tracker = BeltTracker(camera(speed_mm_s=300.0), TrackConfig())
    follow(tracker, line, [step / 8 for step in range(80)])
    learned = learned_speed_mm_s(tracker, 10.0)
    tracker.reset()
    assert learned_speed_mm_s(tracker, 0.0) == learned == pytest.approx(324.0, abs=3.0)


def test_a_defect_found_again_after_a_long_gap_is_the_same():
    line = Line([Thing(100, 300)], 200.0)
    tracker = BeltTracker(camera(speed_mm_s=200.0), TrackConfig(forget_after_s=0.5))
    times_s = [0.0, 0.125, 0.25, *[0.375 + step / 8 for step in range(24)], 4.0, 4.125]
    numbers = set()
    for pts_s in times_s:
        detections = [found for _, found in line.look(pts_s)] if pts_s < 0.3 or pts_s >= 4.0 else []
        live, ended = tracker.update(frame(pts_s), detections)
        assert ended == []
        numbers |= {update.track for update in live}
    assert len(numbers) == 1


def test_a_track_seen_twice_ends_when_it_has_left_and_not_before():
    line = Line([Thing(WIDTH_PX - 400, 300)], 200.0)
    tracker = BeltTracker(camera(speed_mm_s=200.0), TrackConfig(forget_after_s=0.5))
    ends = []
    for step in range(40):
        pts_s = step / 8
        detections = [found for _, found in line.look(pts_s)] if step < 2 else []
        _, ended = tracker.update(frame(pts_s), detections)
        ends += [(pts_s, update.left) for update in ended]
    # Its trailing edge leaves after (400 + 20 px) / 200 px/s = 2.1 s; then it may take the slack of 8 px.
    assert ends == [(2.25, True)]


def test_a_long_thing_that_enters_and_leaves_in_pieces_is_one():
    line = Line([Thing(-300, 300, length_px=500)], 400.0)
    tracker = BeltTracker(camera(speed_mm_s=400.0), TrackConfig())
    numbers = follow(tracker, line, [step / 8 for step in range(48)], jitter_px=1.0)
    assert [len(known) for known in numbers] == [1]


def test_a_thing_longer_than_the_picture_is_one():
    line = Line([Thing(-1000, 300, length_px=1800)], 400.0)
    tracker = BeltTracker(camera(speed_mm_s=400.0), TrackConfig())
    assert [len(known) for known in follow(tracker, line, [step / 8 for step in range(60)])] == [1]


def test_a_remnant_at_the_downstream_edge_is_no_new_thing():
    tracker = BeltTracker(camera(speed_mm_s=200.0), TrackConfig())
    tracker.update(frame(0.0), [found((1190, 300, 1240, 340))])
    tracker.update(frame(0.125), [found((1215, 300, 1265, 340))])
    tracker.update(frame(0.25), [found((1240, 300, 1280, 340))])
    live, _ = tracker.update(frame(0.45), [found((1274, 300, 1280, 340))])
    assert [update.track for update in live] == [1]


def test_neighbours_in_other_lanes_are_apart():
    line = Line([Thing(-100 * index, 200 + 45 * lane) for index in range(6) for lane in range(4)], 600.0)
    tracker = BeltTracker(camera(speed_mm_s=600.0), TrackConfig())
    numbers = follow(tracker, line, [step / 5 for step in range(20)], jitter_px=1.5, miss=0.1)
    assert len(set.union(*numbers)) == 24
    assert [len(known) for known in numbers] == [1] * 24


def test_a_configured_distance_is_the_gate():
    def linked(match_distance_px: float | None) -> bool:
        tracker = BeltTracker(camera(speed_mm_s=200.0), TrackConfig(match_distance_px=match_distance_px))
        tracker.update(frame(0.0), [found((100, 300, 140, 340))])
        live, _ = tracker.update(frame(0.1), [found((145, 300, 185, 340))])  # 25 px farther than the belt went
        return len(live) == 1

    assert not linked(None)
    assert not linked(24)
    assert linked(26)


def test_a_camera_without_a_belt_is_refused():
    with pytest.raises(ValueError, match="cam1 has no belt"):
        BeltTracker(camera(direction=None), TrackConfig())


def with_dirt(tracker: BeltTracker, begin_s: float = 0.0) -> None:
    """Dirt on the lens, until it is known as static, while the belt runs beneath it."""
    line = Line([Thing(-300 * index, 500) for index in range(20)], 300.0)
    for step in range(40):
        seen = [detection for _, detection in line.look(step / 8)]
        tracker.update(frame(begin_s + step / 8), [found((600, 100, 640, 140)), *seen])
    assert len(tracker.static_finds) == 1


@pytest.mark.parametrize("begins_s", [0.0, 7e8])
def test_what_does_not_move_is_known_over_a_reconnect(begins_s: float) -> None:
    """The condition was cleared and raised again at each."""
    tracker = BeltTracker(camera(), TrackConfig())
    with_dirt(tracker, begin_s=3e5)
    tracker.reset()
    tracker.update(frame(begins_s), [])
    assert len(tracker.static_finds) == 1
    live, _ = tracker.update(frame(begins_s + 0.125), [found((600, 100, 640, 140))])
    assert live == [], "it takes no part in tracking"
    for step in range(2, 8 * 600):
        tracker.update(frame(begins_s + step / 8), [])
    assert tracker.static_finds == [], "it was wiped off"


def test_a_defect_that_enters_where_something_was_found_once_does_move() -> None:
    """Minute 13 of the synthetic line: the end of a dent, and the next dent at the same place, were "static"."""
    tracker = BeltTracker(camera(direction="right_to_left", speed_mm_s=200.0), TrackConfig())
    boxes = {0.0: (584, 135, 640, 195), 1.0: None, 1.4: (582, 134, 640, 203), 1.7: (523, 133, 577, 204)}
    for pts_s, box in boxes.items():
        live, _ = tracker.update(frame(pts_s, 640, 360), [found(box)] if box else [])
        assert tracker.static_finds == []
    assert [(update.box_xyxy_px, update.doubtful, update.first_pts_s) for update in live] == [(boxes[1.7], False, 1.4)]


def test_what_does_not_move_is_forgotten_with_the_size_of_the_picture() -> None:
    tracker = BeltTracker(camera(), TrackConfig())
    with_dirt(tracker)
    tracker.reset()
    tracker.update(frame(0.0, 640, 360), [])
    assert tracker.static_finds == []
