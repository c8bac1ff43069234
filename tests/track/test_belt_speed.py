"""Where judged frames do not show how fast the belt runs, that is reported; a burst of frames shows it."""

from __future__ import annotations

import pytest

from stream_inspect.commands.bench.track import IDF1_OF_ORACLE, track_ours
from stream_inspect.commands.bench.track_sequences import generate
from stream_inspect.config.models import TrackConfig
from stream_inspect.track.belt_tracker import BeltTracker
from tests.track.identities import identities, oracle
from tests.track.line import Line, Thing, camera, frame

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
