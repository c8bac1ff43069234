"""Where judged frames do not show how fast the belt runs, that is reported; a burst of frames, or the line's odometer,
shows it."""

from __future__ import annotations

import msgspec
import pytest

from stream_inspect.commands.bench.track import IDF1_OF_ORACLE, track_ours
from stream_inspect.commands.bench.track_sequences import generate
from stream_inspect.config.models import TrackConfig
from stream_inspect.messages import AnyMessage
from stream_inspect.track.belt_tracker import BeltTracker
from stream_inspect.track.line_belt import LineBelt
from stream_inspect.track.stage import TrackStage
from stream_inspect.track.tracker import TrackerFrame
from tests.track import plant_line
from tests.track.identities import identities, oracle
from tests.track.line import HEIGHT_PX, WIDTH_PX, Line, Thing, camera, found, frame

RATE_HZ = 5.0
PITCH_PX = 72.0


def parts() -> list[Thing]:
    """A lane of parts of 40 px at a regular pitch, far beyond the picture's upstream edge."""
    return [Thing(1240 - PITCH_PX * index, 300) for index in range(400)]


def follow(tracker: BeltTracker, line: Line, times_s: list[float]) -> list[str]:
    """Of each judged frame why the speed is not observable."""
    details = []
    for pts_s in times_s:
        tracker.update(frame(pts_s), [detection for _, detection in line.look(pts_s, miss=0.1, jitter_px=1.5)])
        details.append(tracker.speed_not_observable)
    return details


def judged(frames: int, since_s: float = 0.0) -> list[float]:
    return [since_s + step / RATE_HZ for step in range(frames)]


def test_parts_that_move_by_a_pitch_hide_whether_the_belt_runs() -> None:
    line = Line(parts(), PITCH_PX * RATE_HZ)
    details = follow(BeltTracker(camera(speed_mm_s=PITCH_PX * RATE_HZ), TrackConfig()), line, judged(20))
    assert not any(details[:3])
    assert all(details[5:])
    assert details[-1].startswith("a belt that stands would show the same")


def test_a_pitch_that_two_likely_speeds_explain_is_reported_with_the_other_one() -> None:
    """192 px a frame, configured as 230: a pitch of 72 px less fits 20 %, and the next one 15 %."""
    line = Line(parts(), 192.0 * RATE_HZ)
    details = follow(BeltTracker(camera(speed_mm_s=230.0 * RATE_HZ), TrackConfig()), line, judged(15))
    assert "times the speed would show the same" in details[-1]


def test_a_burst_of_frames_shows_the_speed() -> None:
    """The next sampled frames are then followed at it."""
    line = Line(parts(), 192.0 * RATE_HZ)
    tracker = BeltTracker(camera(speed_mm_s=230.0 * RATE_HZ), TrackConfig())
    assert follow(tracker, line, judged(5))[-1]
    burst_s = [0.8 + step / 25 for step in range(1, 5)]
    assert not follow(tracker, line, burst_s)[-1]
    assert not any(follow(tracker, line, judged(20, since_s=1.0)))
    live, _ = tracker.update(frame(5.0), [detection for _, detection in line.look(5.0)])
    assert live[0].velocity_px_s[0] == pytest.approx(192.0 * RATE_HZ, rel=0.03)


@pytest.mark.parametrize("pitch", ["random", "regular"])
@pytest.mark.parametrize("widths", [0.5, 3.0, 4.0])
@pytest.mark.parametrize("speed_error", [0.2, -0.2])
def test_a_speed_that_is_twenty_percent_wrong_is_found_out_or_reported(speed_error, widths, pitch) -> None:
    run = generate(widths, pitch, seed=5, frames=40)
    tracked = track_ours("belt", run, speed_error)
    found_out = identities(run, tracked.tracks).idf1 >= IDF1_OF_ORACLE * oracle(run).idf1
    if abs(speed_error) * widths < 1.5 / 2:  # half of the smallest pitch
        assert found_out
    else:
        assert found_out or tracked.flagged > 0.8


@pytest.mark.parametrize("speed_error", [0.0, 0.1, -0.1])
def test_a_speed_that_the_frames_show_is_not_reported(speed_error) -> None:
    run = generate(4.0, "regular", seed=5, frames=40)
    assert track_ours("belt", run, speed_error).flagged == 0.0


def test_a_line_that_measures_its_belt_leaves_nothing_to_suppose() -> None:
    """A speed that is 20 % wrong, a pitch that hides it, a stop, and the same again: by the line's odometer."""
    line = Line(parts(), 192.0 * RATE_HZ)
    tracker = BeltTracker(camera(speed_mm_s=230.0 * RATE_HZ), TrackConfig())
    numbers: list[set[int]] = [set() for _ in line.things]
    way_s = [*judged(10), *[1.8] * 10, *judged(10, since_s=2.0)]  # how long the belt has run
    for step, run_s in enumerate(way_s):
        seen = line.look(run_s, miss=0.1, jitter_px=1.5)
        frame_of = TrackerFrame(step / RATE_HZ, WIDTH_PX, HEIGHT_PX, belt_mm=5000 + 192.0 * RATE_HZ * run_s)
        live, _ = tracker.update(frame_of, [detection for _, detection in seen])
        track_of = {id(update.detection): update.track for update in live}
        for part, detection in seen:
            numbers[part].add(track_of[id(detection)])
        assert not tracker.speed_not_observable
    assert {len(known) for known in numbers if known} == {1}
    assert live[0].velocity_px_s[0] == pytest.approx(192.0 * RATE_HZ)


def test_frames_that_show_nothing_are_followed_where_the_line_measures_its_belt() -> None:
    """Nothing at all, a first defect, one far from where that is due, and nothing again."""
    tracker = BeltTracker(camera(speed_mm_s=300.0), TrackConfig())
    seen = []
    for step, box in enumerate([None, None, (100, 100, 140, 140), (900, 500, 940, 540), None]):
        frame_of = TrackerFrame(step / RATE_HZ, WIDTH_PX, HEIGHT_PX, belt_mm=300.0 * step / RATE_HZ)
        live, _ = tracker.update(frame_of, [found(box)] if box else [])
        seen.append(sum(update.seen for update in live))
    assert seen == [0, 0, 1, 1, 0]


def test_a_belt_that_ran_back_to_where_it_was_says_nothing_of_its_speed() -> None:
    """A reading is missing, for which the configured speed stands: the way since the only sight adds up to nothing."""
    tracker = BeltTracker(camera(speed_mm_s=400.0), TrackConfig())
    boxes = [None, (100, 100, 140, 140), None, (300, 100, 340, 140)]
    for step, (belt_mm, box) in enumerate(zip([0.0, 100.0, 0.0, None], boxes, strict=True)):
        live, _ = tracker.update(TrackerFrame(step / 4, WIDTH_PX, HEIGHT_PX, belt_mm), [found(box)] if box else [])
    assert [update.track for update in live if update.seen] == [2]


def test_the_way_that_the_line_measured_is_the_trackers() -> None:
    """The encoder counts 300 mm/s on a belt that is configured with 600."""
    config = plant_line.config()
    belt = LineBelt(config.lines[0], config.cameras_of("line1"), config.inputs)
    stage = TrackStage(config.cameras, config.track, belts=[belt], clock=lambda: 0)
    stage.open()
    messages: list[AnyMessage] = []
    for seq in range(4):
        at_s = seq / 8
        counts_s = (at_s, at_s + 0.05)
        messages += [plant_line.count(300 * count_s, int(count_s * 1e9)) for count_s in counts_s]
        place = found((100 + 300 * at_s, 100, 140 + 300 * at_s, 140))
        judged_frame = plant_line.judged(seq, int(at_s * 1e9))
        messages.append(msgspec.structs.replace(judged_frame, detections=[place]))
    tracked = [output.message for output in stage.process(messages) if output.topic == "tracked"]
    assert {update.track for message in tracked for update in message.tracks} == {1}
    assert tracked[-1].tracks[0].velocity_px_s == pytest.approx((300.0, 0.0), rel=0.02)
