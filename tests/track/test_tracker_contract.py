"""What every tracker must fulfil, on a belt or not. A new tracker joins by its row in the registry."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_inspect import registry
from stream_inspect.config.models import TrackConfig
from tests.properties import examples
from tests.track.line import HEIGHT_PX, WIDTH_PX, Line, Thing, camera, found, frame

KINDS = sorted(registry.BUILT_IN["tracker"])
RATE_HZ = 8.0


def make(kind: str, **settings_):
    """A tracker for a belt that moves at 30 px/s: slow enough for the one that knows nothing of belts."""
    return registry.load("tracker", kind)(camera(speed_mm_s=30.0), TrackConfig(**settings_))


def slow_line() -> Line:
    return Line([Thing(200, 200), Thing(420, 220), Thing(300, 500, defect="crack")], speed_px_s=30.0)


@pytest.mark.parametrize("kind", KINDS)
def test_things_keep_their_numbers(kind):
    tracker, line = make(kind), slow_line()
    numbers: list[set[tuple[int, str]]] = [set(), set(), set()]
    for step in range(80):
        seen = line.look(step / RATE_HZ, jitter_px=1.0)
        live, ended = tracker.update(frame(step / RATE_HZ), [detection for _, detection in seen])
        assert ended == []
        of = {id(update.detection): (update.track, update.defect) for update in live}
        for index, detection in seen:
            numbers[index].add(of[id(detection)])
    assert [len(known) for known in numbers] == [1, 1, 1]
    assert {known.pop()[1] for known in numbers[2:]} == {"crack"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_miss_is_reported_unseen_at_the_predicted_place(kind):
    tracker, line = make(kind), Line([Thing(200, 200)], speed_px_s=30.0)
    for step in range(8):
        tracker.update(frame(step / RATE_HZ), [detection for _, detection in line.look(step / RATE_HZ)])
    live, ended = tracker.update(frame(1.0), [])
    expected = line.box(line.things[0], 1.0)
    assert ended == []
    assert [(update.seen, update.detection, update.left) for update in live] == [(False, None, False)]
    assert live[0].box_xyxy_px == pytest.approx(expected, abs=2.0)
    assert live[0].velocity_px_s == pytest.approx((30.0, 0.0), abs=3.0)
    assert (live[0].first_pts_s, live[0].last_pts_s) == (0.0, 7 / RATE_HZ)
    again, _ = tracker.update(frame(1.125), [detection for _, detection in line.look(1.125)])
    assert [(update.track, update.seen) for update in again] == [(live[0].track, True)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_sight_is_forgotten_after_the_configured_time(kind):
    tracker = make(kind, forget_after_s=0.5)
    live, _ = tracker.update(frame(0.0), [found((100, 100, 140, 140))])
    number = live[0].track
    live, ended = tracker.update(frame(0.5), [])
    assert ([update.track for update in live], ended) == ([number], [])
    live, ended = tracker.update(frame(0.51), [])
    assert ([update.track for update in ended], [update.left for update in ended]) == ([number], [False])
    assert live == []
    assert tracker.update(frame(0.6), []) == ([], [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_that_goes_out_of_the_picture_has_left(kind):
    tracker, line = make(kind), Line([Thing(WIDTH_PX - 60, 200)], speed_px_s=30.0)
    ends = []
    for step in range(int(6 * RATE_HZ)):
        _, ended = tracker.update(frame(step / RATE_HZ), [found for _, found in line.look(step / RATE_HZ)])
        ends += ended
    assert [(update.left, update.seen) for update in ends] == [(True, False)]


@pytest.mark.parametrize("kind", KINDS)
def test_reset_ends_all_and_numbers_go_on(kind):
    tracker = make(kind)
    live, _ = tracker.update(frame(5.0), [found((100, 100, 140, 140)), found((600, 100, 640, 140))])
    ended = tracker.reset()
    assert sorted(update.track for update in ended) == sorted(update.track for update in live)
    assert all(not update.seen and not update.left and update.detection is None for update in ended)
    assert tracker.reset() == []
    again, _ = tracker.update(frame(0.0, 640, 480), [found((100, 100, 140, 140))])
    assert again[0].track > max(update.track for update in live)


@pytest.mark.parametrize("kind", KINDS)
def test_another_name_at_another_place_is_another_thing(kind):
    tracker = make(kind)
    first, _ = tracker.update(frame(0.0), [found((100, 100, 140, 140), "scratch")])
    second, _ = tracker.update(frame(0.125), [found((125, 100, 165, 140), "crack")])
    assert {update.defect for update in second} == {"scratch", "crack"}
    assert [update.seen for update in second if update.track == first[0].track] == [False]


@pytest.mark.parametrize("kind", KINDS)
def test_one_wrong_name_does_not_rename_or_split_a_thing(kind):
    tracker = make(kind)
    names = ["scratch", "scratch", "crack", "scratch", "crack"]
    for step, name in enumerate(names):
        x = 100 + 30 * step / RATE_HZ
        live, _ = tracker.update(frame(step / RATE_HZ), [found((x, 100, x + 60, 140), name)])
        assert [(update.defect, update.seen) for update in live] == [("scratch", True)]


@pytest.mark.parametrize("kind", KINDS)
def test_two_names_at_one_place_stay_two_things(kind):
    tracker = make(kind)
    numbers = set()
    for step in range(10):
        x = 100 + 30 * step / RATE_HZ
        box = (x, 100.0, x + 60, 140.0)
        seen = [found(box, "scratch"), found(box, "crack")]
        live, _ = tracker.update(frame(step / RATE_HZ), seen if step % 3 else seen[:1])
        numbers |= {(update.track, update.defect) for update in live}
    assert len(numbers) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_of_a_thing_is_no_thing(kind):
    tracker = make(kind)
    for step in range(4):
        x = 100 + 30 * step / RATE_HZ
        seen = [found((x, 100, x + 200, 160))]
        if step == 3:
            seen.append(found((x + 20, 110, x + 60, 150)))
        live, _ = tracker.update(frame(step / RATE_HZ), seen)
    assert len(live) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("piece_first", [True, False])
def test_a_piece_that_comes_with_the_whole_is_no_thing_at_first_sight_or_later(kind, piece_first):
    tracker = make(kind)
    for step in range(4):
        x = 100 + 30 * step / RATE_HZ
        whole, piece = found((x, 100, x + 90, 160)), found((x + 40, 100, x + 90, 160))
        live, _ = tracker.update(frame(step / RATE_HZ), [piece, whole] if piece_first else [whole, piece])
        assert [(update.track, update.detection) for update in live] == [(1, whole)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sliver_first", [True, False])
def test_neighbours_at_the_edge_of_which_one_is_a_sliver_are_two_things(kind, sliver_first):
    """The boxes of two true defects of the sample material, as they come into the picture."""
    sliver, whole = found((4.3, 291.0, 11.0, 331.6)), found((2.6, 303.5, 29.6, 328.1))
    live, _ = make(kind).update(frame(0.0), [sliver, whole] if sliver_first else [whole, sliver])
    assert len(live) == 2


boxes = st.tuples(st.floats(-50, WIDTH_PX), st.floats(-50, HEIGHT_PX), st.floats(1, 400), st.floats(1, 400)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
looks = st.lists(
    st.tuples(
        st.floats(0.0, 3.0), st.lists(st.builds(found, boxes, st.sampled_from(["scratch", "crack"])), max_size=4)
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(60), deadline=None)
@given(looks)
def test_whatever_comes_the_account_of_tracks_is_right(kind, looks):
    tracker = make(kind)
    now_s, alive, ever = 0.0, set(), set()
    for gap_s, detections in looks:
        now_s += gap_s
        live, ended = tracker.update(frame(now_s), detections)
        here, gone = [update.track for update in live], [update.track for update in ended]
        assert len(set(here)) == len(here)
        assert not set(here) & set(gone)
        new = set(here) - alive
        assert not new & ever, "a number was used twice"
        assert alive - set(here) == set(gone) - new, "a track ended without being reported, or twice"
        used = [id(update.detection) for update in live if update.seen]
        assert len(set(used)) == len(used)
        assert set(used) <= {id(detection) for detection in detections}
        for update in [*live, *ended]:
            assert update.seen is (update.detection is not None)
            assert update.first_pts_s <= update.last_pts_s <= now_s
            assert update.box_xyxy_px[0] < update.box_xyxy_px[2]
            assert update.box_xyxy_px[1] < update.box_xyxy_px[3]
        alive, ever = set(here), ever | set(here)
    assert {update.track for update in tracker.reset()} == alive
