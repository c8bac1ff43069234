"""The tracker without a belt: time in seconds, crossing ways, things that stand still."""

from __future__ import annotations

import pytest

from stream_inspect.commands.bench.track import track_ours
from stream_inspect.commands.bench.track_sequences import generate
from stream_inspect.config.models import TrackConfig
from stream_inspect.track.iou_tracker import IouTracker
from tests.track.identities import identities, oracle
from tests.track.line import camera, found, frame


def make(**track) -> IouTracker:
    return IouTracker(camera(direction=None), TrackConfig(**track))


def test_gaps_are_measured_in_seconds_not_in_frames():
    tracker = make()
    for pts_s in (0.0, 0.05, 0.1, 0.35, 0.4, 1.0, 1.05):
        x = 100 + 120 * pts_s
        live, _ = tracker.update(frame(pts_s), [found((x, 100, x + 40, 140))])
        assert [update.track for update in live] == [1]
    assert live[0].velocity_px_s == pytest.approx((120, 0), abs=6)


def test_things_that_cross_keep_their_numbers():
    tracker = make()
    for step in range(33):
        x = 400 + 15 * step
        seen = [found((x, 300, x + 60, 360)), found((1000 - x + 400, 320, 1000 - x + 460, 380))]
        live, _ = tracker.update(frame(step / 10), seen)
        track_of = {id(update.detection): update.track for update in live}
        if step == 0:
            first = [track_of[id(detection)] for detection in seen]
        assert [track_of.get(id(detection)) for detection in seen] == first


def test_what_stands_still_stays_one_thing():
    tracker = make()
    for step in range(40):
        live, ended = tracker.update(frame(step / 8), [found((100, 100, 130, 130))] if step % 3 else [])
        assert ended == []
    assert [update.track for update in live] == [1]
    assert live[0].velocity_px_s == pytest.approx((0, 0), abs=0.5)


def test_a_track_is_kept_for_the_configured_time_only():
    tracker = make(forget_after_s=1.0)
    for pts_s in (0.0, 0.1, 0.2):
        tracker.update(frame(pts_s), [found((100, 100, 140, 140))])
    assert tracker.update(frame(1.2), [])[1] == []
    live, ended = tracker.update(frame(1.3), [found((100, 100, 140, 140))])
    assert [update.track for update in live] == [1]
    live, ended = tracker.update(frame(2.4), [])
    assert [update.track for update in ended] == [1]


@pytest.mark.parametrize("widths", [0.25, 0.5])
def test_small_displacements_need_no_belt(widths):
    run = generate(widths, "random", seed=7, frames=75)
    assert identities(run, track_ours("iou", run).tracks).idf1 > oracle(run).idf1 - 0.08
