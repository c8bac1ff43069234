"""The track stage: a tracker a camera, sessions, sizes, silence."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from stream_inspect import metrics
from stream_inspect.config.models import CameraConfig, TrackConfig
from stream_inspect.messages import Clock, Detection, FrameHeader, FrameId, Inspection, Missed, Output, Tracked
from stream_inspect.registry import UnknownPluginError
from stream_inspect.track.stage import TrackStage
from stream_inspect.transport.ledger import MAX_OWNER, Ledger, LedgerKeeper
from tests.track.line import camera

S = 1_000_000_000


def inspection(
    seq: int,
    *boxes: tuple[float, float, float, float],
    camera: str = "cam1",
    session: int = 1,
    width_px: int = 1280,
    pts: int | None = None,
    due: int | None = None,
) -> Inspection:
    """A judged frame at 8 frames a second."""
    header = FrameHeader(
        id=FrameId(
            camera=camera, session=session, seq=seq, pts=seq if pts is None else pts, time_base_num=1, time_base_den=8
        ),
        width_px=width_px,
        height_px=720,
        color_matrix="bt601",
        full_range=False,
        capture_mono_ns=time.monotonic_ns(),
        capture_utc_ns=1_700_000_000 * S + seq * S // 8,
        clock=Clock.ARRIVAL,
        ledger_index=seq,
        due=seq if due is None else due,
    )
    return Inspection(
        frame=header,
        detections=[Detection(defect="scratch", score=0.3, box_xyxy_px=box) for box in boxes],
        model_hash="m",
        prompts_hash="p",
        judged_mono_ns=time.monotonic_ns(),
    )


def cameras(*names: str):
    return [camera(speed_mm_s=80.0).model_copy(update={"name": name}) for name in names]


@pytest.fixture
def stage():
    stage = TrackStage(cameras("cam1", "cam2"), TrackConfig())
    stage.open()
    yield stage
    stage.close()


def run(stage: TrackStage, *results: Inspection | Missed) -> list[Tracked]:
    return [output.message for output in stage.process(results) if output.topic == "tracked"]


def tracked_at(stage: TrackStage, now_ns: int) -> list[Output]:
    """What a tick sends of tracks; how static finds stand is repeated beside it."""
    return [output for output in stage.tick(now_ns) if output.topic == "tracked"]


def box_at(seq: int) -> tuple[float, float, float, float]:
    return (100.0 + 10 * seq, 100.0, 140.0 + 10 * seq, 140.0)


def test_a_judged_frame_gives_one_tracked_with_its_hashes(stage):
    first, second = run(stage, inspection(0, box_at(0)), inspection(1, box_at(1)))
    assert (first.frame.id.seq, first.model_hash, first.prompts_hash) == (0, "m", "p")
    assert [(t.track, t.seen) for t in first.tracks] == [(t.track, t.seen) for t in second.tracks]


def test_cameras_have_trackers_of_their_own(stage):
    one, two = run(stage, inspection(0, box_at(0)), inspection(0, box_at(0), camera="cam2"))
    assert [t.track for t in one.tracks] == [t.track for t in two.tracks] == [1]


@pytest.mark.parametrize(
    "change",
    [{"session": 2}, {"session": 2, "pts": 0}, {"width_px": 640}, {"pts": 0}],
    ids=["session", "session and clock", "size", "clock back"],
)
def test_what_breaks_the_thread_ends_the_tracks(stage, change):
    (before,) = run(stage, inspection(3, box_at(3), due=0))
    (after,) = run(stage, inspection(4, box_at(4), due=1, **change))
    assert [t.track for t in after.ended] == [t.track for t in before.tracks]
    assert after.tracks[0].track > before.tracks[0].track


def test_silence_ends_the_tracks_once(stage):
    (tracked,) = run(stage, inspection(0, box_at(0)))
    now_ns = time.monotonic_ns()
    assert tracked_at(stage, now_ns + S) == []
    (output,) = tracked_at(stage, now_ns + 6 * S)
    assert output.message.frame == tracked.frame
    assert ([t.track for t in output.message.ended], output.message.tracks) == ([1], [])
    assert tracked_at(stage, now_ns + 12 * S) == []


def test_two_workers_that_overtake_each_other_are_put_in_order(stage):
    assert run(stage, inspection(1, box_at(1))) == []
    released = run(stage, inspection(0, box_at(0)))
    assert [tracked.frame.id.seq for tracked in released] == [0, 1]
    assert [t.track for t in released[1].tracks] == [1]


def test_a_missed_frame_is_not_waited_for_and_shows_nothing(stage):
    assert run(stage, inspection(1, box_at(1))) == []
    missed = Missed(frame=inspection(0).frame, stage="inspect", cause="overwritten")
    (tracked,) = run(stage, missed)
    assert tracked.frame.id.seq == 1


def test_a_frame_of_another_session_waits_for_those_before_it_too(stage):
    assert run(stage, inspection(0, box_at(0), session=2, due=1)) == []
    assert [tracked.frame.id.session for tracked in run(stage, inspection(7, box_at(7), due=0))] == [1, 2]


def test_what_waits_at_the_stop_is_worked_off_and_tracks_stay_open(stage):
    assert run(stage, inspection(2, box_at(2)), inspection(1, box_at(1))) == []
    assert stage.held()["results"][0] == 2
    finished = [output.message for output in stage.finish()]
    assert [tracked.frame.id.seq for tracked in finished] == [1, 2]
    assert [len(tracked.ended) for tracked in finished] == [0, 0]
    assert list(stage.finish()) == []


def test_a_frame_that_comes_too_late_is_counted(stage):
    count = metrics.LATE_INSPECTIONS.labels("cam1")
    before = count._value.get()
    run(stage, inspection(1, box_at(1)))
    tracked_at(stage, time.monotonic_ns() + 2 * S)
    assert run(stage, inspection(0, box_at(0))) == []
    assert count._value.get() == before + 1


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Two due frames of cam1, each with a worker."""
    ledger = Ledger.create(tmp_path / "ledger", ["cam1"])
    for worker in (2, 3):
        index = ledger.camera("cam1").captured(1)
        assert ledger.camera("cam1").sent(index, worker)
        assert ledger.camera("cam1").taken(index, worker)
    return ledger


def test_a_frame_that_a_slow_worker_is_judging_is_waited_for(ledger):
    now_ns = S
    stage = TrackStage(cameras("cam1"), TrackConfig(), clock=lambda: now_ns, ledger=ledger)
    stage.open()
    ledger.camera("cam1").judged(1)
    assert run(stage, inspection(1, box_at(1))) == []
    assert tracked_at(stage, now_ns + 2 * S) == []
    now_ns += round(2.5 * S)
    ledger.camera("cam1").judged(0)
    assert [tracked.frame.id.seq for tracked in run(stage, inspection(0, box_at(0)))] == [0, 1]
    assert LedgerKeeper(ledger).collect()["cam1"].late == 0


def test_a_frame_that_died_with_its_worker_is_waited_for_no_longer_than_its_message(ledger):
    stage = TrackStage(cameras("cam1"), TrackConfig(), clock=lambda: S, ledger=ledger)
    stage.open()
    run(stage, inspection(1, box_at(1)))
    assert tracked_at(stage, 2 * S) == []
    LedgerKeeper(ledger).sweep_owner(2)
    assert len(tracked_at(stage, 3 * S)) == 1


def test_a_result_that_comes_too_late_counts_as_late_in_the_ledger(ledger):
    """It was counted as judged, so that nothing reported a worker all of whose results are thrown away."""
    stage = TrackStage(cameras("cam1"), TrackConfig(), clock=lambda: S, ledger=ledger)
    stage.open()
    run(stage, inspection(1, box_at(1)))
    assert len(tracked_at(stage, 5 * S)) == 1
    ledger.camera("cam1").judged(0)
    assert run(stage, inspection(0, box_at(0))) == []
    totals = LedgerKeeper(ledger).collect()["cam1"]
    assert (totals.judged, totals.late, totals.residual) == (1, 1, 0)


def test_tracks_do_not_end_while_the_next_results_wait_for_a_slow_one(tmp_path):
    """A worker that takes 5 s: the wait is longer than what is silence otherwise."""
    now_ns = S
    ledger = Ledger.create(tmp_path / "ledger", ["cam1"])
    for _ in range(3):
        ledger.camera("cam1").captured(1)
    stage = TrackStage([standing()], TrackConfig(), clock=lambda: now_ns, ledger=ledger)
    stage.open()
    slow = inspection(0, box_at(0))
    slow = msgspec.structs.replace(slow, judged_mono_ns=slow.frame.capture_mono_ns + 5 * S)
    (first,) = run(stage, slow)
    assert run(stage, inspection(2, box_at(0))) == []
    assert tracked_at(stage, now_ns + 8 * S) == []
    now_ns += 8 * S
    last = run(stage, inspection(1, box_at(0)))[-1]
    assert [update.track for update in last.tracks] == [update.track for update in first.tracks]


def test_a_belt_that_runs_backwards_is_a_condition_of_its_camera(stage):
    outputs = []
    for seq in range(60):
        here = 1240.0 - 40 * (seq % 30)
        outputs += stage.process([inspection(seq, (here, 100, here + 40, 140))])
        outputs += stage.tick(time.monotonic_ns() + seq * S // 8)
    levels = [output.message for output in outputs if output.topic == "conditions"]
    levels = [level for level in levels if level.kind == "not_followed"]
    assert not levels[0].active
    assert levels[-1].active
    assert (levels[-1].camera, levels[-1].source) == ("cam1", "track")
    assert "opposite direction" in levels[-1].detail


def test_time_is_what_the_clock_says():
    now_ns = 0
    stage = TrackStage(cameras("cam1"), TrackConfig(), clock=lambda: now_ns)
    stage.open()
    run(stage, inspection(0, box_at(0)))
    assert tracked_at(stage, 4 * S) == []
    now_ns = 4 * S
    run(stage, inspection(1, box_at(1)))
    assert tracked_at(stage, 16 * S) == []
    (output,) = tracked_at(stage, 17 * S)
    assert [t.track for t in output.message.ended] == [1]


def test_an_unknown_camera_is_passed_over(stage):
    assert run(stage, inspection(0, box_at(0), camera="other")) == []


def test_a_tracker_that_does_not_exist_is_named():
    stage = TrackStage(cameras("cam1"), TrackConfig(kind="magic"))
    with pytest.raises(UnknownPluginError, match="no tracker named 'magic'"):
        stage.open()


@pytest.mark.parametrize(("kind", "expected"), [("auto", 80.0), ("iou", 0.0)])
def test_auto_takes_the_belt_where_there_is_one(kind, expected):
    stage = TrackStage(cameras("cam1"), TrackConfig(kind=kind))
    stage.open()
    (tracked,) = run(stage, inspection(0, box_at(0)))
    assert tracked.tracks[0].velocity_px_s[0] == pytest.approx(expected)


@pytest.mark.parametrize("interval_s", [4.9, 5.2, 6, 10])
def test_a_defect_in_view_for_half_an_hour_is_one_track_however_far_apart_its_frames_are_judged(interval_s):
    """A slow model, ticked 20 times a second: 8 due frames a second, one judged every few seconds."""
    now_ns = 0
    stage = TrackStage([standing()], TrackConfig(), clock=lambda: now_ns)
    stage.open()
    numbers = []
    for frame in range(round(1800 / interval_s)):
        now_ns = round(frame * interval_s * S)
        (tracked,) = run(stage, inspection(frame, box_at(0), pts=round(frame * interval_s * 8)))
        numbers += [update.track for update in tracked.tracks]
        for tick_ns in range(now_ns, round((frame + 1) * interval_s * S), S // 20):
            tracked_at(stage, tick_ns)
    assert len(set(numbers[1:])) == 1, "the first interval is not known until the second frame"


def test_an_outage_does_not_make_the_next_one_look_like_a_slow_rate():
    now_ns = 0
    stage = TrackStage([standing()], TrackConfig(), clock=lambda: now_ns)
    stage.open()
    for frame in range(10):
        now_ns += S // 8
        run(stage, inspection(frame, box_at(0)))
    now_ns += 3600 * S
    run(stage, inspection(10, box_at(0)))
    assert tracked_at(stage, now_ns + 4 * S) == []
    assert len(tracked_at(stage, now_ns + 6 * S)) == 1


def standing() -> CameraConfig:
    return camera(speed_mm_s=80.0).model_copy(update={"name": "cam1", "belt": None})


def test_a_restarted_process_gives_no_track_a_number_that_was_used_before():
    """The camera's session lasts over the restart, and the recorder and the page still show the tracks before it."""
    numbers = []
    for process_run in (5, 9, MAX_OWNER):
        stage = TrackStage(cameras("cam1"), TrackConfig(), process_run=process_run)
        stage.open()
        tracked = run(stage, *(inspection(seq, box_at(seq)) for seq in range(3)), inspection(0, session=2, due=3))
        (number,) = {update.track for message in tracked for update in (*message.tracks, *message.ended)}
        assert any(message.ended for message in tracked), "its end has the same number"
        numbers.append(number)
        stage.close()
    assert len(set(numbers)) == 3
    assert max(numbers) < 2**53, "JavaScript reads events too"


def test_a_replay_which_has_one_process_run_numbers_from_one(stage):
    (tracked,) = run(stage, inspection(0, box_at(0)))
    assert [update.track for update in tracked.tracks] == [1]


def test_pictures_that_stand_alone_share_no_track_and_leave_none_open():
    stills = CameraConfig.model_validate({"name": "cam1", "source": {"kind": "images", "path": "parts"}})
    stage = TrackStage([stills], TrackConfig(), process_run=3)
    stage.open()
    box, inside = (100.0, 100.0, 140.0, 140.0), (110.0, 110.0, 120.0, 120.0)
    sent = [output.message for output in stage.process([inspection(0, box, inside), inspection(1, box), inspection(2)])]
    assert [len(one.tracks) for one in sent] == [2, 1, 0]
    numbers = [track.track for one in sent for track in one.tracks]
    assert numbers == [(3 << 32) + n for n in (1, 2, 3)]
    for one in sent:
        assert [track.track for track in one.ended] == [track.track for track in one.tracks]
        assert all(track.seen and track.detection for track in one.tracks)
        assert all(track.left and track.detection is None for track in one.ended)
    assert list(stage.tick(time.monotonic_ns() + 3600 * S)) == []
