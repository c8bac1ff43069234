"""Each way in which judging can stop while all processes run is reported within 3 s, or three due frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stream_inspect.service.judging import WITHIN_S
from stream_inspect.transport.ledger import CameraLedger, DropCause
from tests.service.fast_motion import FPS, OTHER_WORKER, WORKER, Judge, Line, dropped, judged


def one_in(n: int) -> Judge:
    """An overload: of n due frames one is judged."""
    frames = iter(range(1_000_000))

    def judge(ledger: CameraLedger, frame: int) -> None:
        (judged if next(frames) % n == 0 else dropped(DropCause.CAPTURE_SUPERSEDED))(ledger, frame)

    return judge


def stopped_worker() -> Judge:
    """One frame is sent to a worker that has stopped, the later ones supersede each other."""
    sent: list[int] = []

    def judge(ledger: CameraLedger, frame: int) -> None:
        if not sent:
            sent.append(frame)
            assert ledger.sent(frame, WORKER)
        else:
            assert ledger.drop(frame, DropCause.CAPTURE_SUPERSEDED)

    return judge


def one_lost_frame(cause: Judge = judged) -> Judge:
    """One frame is stuck in a worker, the other worker judges the rest."""
    stuck: list[int] = []

    def judge(ledger: CameraLedger, frame: int) -> None:
        if not stuck:
            stuck.append(frame)
            assert ledger.sent(frame, OTHER_WORKER)
        else:
            cause(ledger, frame)

    return judge


def judged_too_late(ledger: CameraLedger, frame: int) -> None:
    judged(ledger, frame)
    ledger.late()


@pytest.fixture
def line(tmp_path: Path) -> Line:
    line = Line(tmp_path)
    assert line.run(20, judged) is None
    return line


WAYS: dict[str, Callable[[], Judge]] = {
    "worker stopped": stopped_worker,
    "overload": lambda: one_in(10),
    "every frame superseded": lambda: dropped(DropCause.CAPTURE_SUPERSEDED),
    "model failing": lambda: dropped(DropCause.INSPECT_FAILED),
    "queue full": lambda: dropped(DropCause.TRANSPORT_MAILBOX_FULL),
    "results too late": lambda: judged_too_late,
    "pictures overwritten": lambda: dropped(DropCause.INSPECT_OVERWRITTEN),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_judging_that_stops_is_reported_within_3_s_and_its_return_within_3_s(line, way):
    raised_s = line.run(30, way())
    assert raised_s is not None
    assert raised_s <= 3.0
    line.keeper.sweep_owner(WORKER)
    cleared_s = line.run(30, judged)
    assert cleared_s is not None
    assert cleared_s <= 3.0
    assert line.detail == ""


def test_the_report_has_the_share_and_the_age_in_plain_words(line):
    line.run(30, one_in(10))
    assert line.detail in {
        f"{share} due frames of the last 3 s were judged; the last one {age} s ago"
        for share in ("2 of 24", "3 of 24", "2 of 25", "3 of 25")
        for age in (0, 1)
    }


@pytest.mark.parametrize("rate_hz", [3.0, 8.0])
def test_a_worker_that_resumes_is_believed_after_half_a_window_of_due_frames(tmp_path, rate_hz):
    line = Line(tmp_path, rate_hz)
    line.run(30, judged)
    line.run(8, dropped(DropCause.CAPTURE_SUPERSEDED))
    cleared_s = line.run(30, judged)
    assert cleared_s is not None
    assert cleared_s <= WITHIN_S / 2 + 1 / rate_hz


def test_a_worker_that_hangs_again_just_after_it_has_resumed_is_reported_again(line):
    line.run(10, dropped(DropCause.CAPTURE_SUPERSEDED))
    line.run(2, judged)
    assert line.detail == ""
    raised_s = line.run(10, dropped(DropCause.CAPTURE_SUPERSEDED))
    assert raised_s is not None
    assert 1.0 <= raised_s <= 3.0


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_slow_rate_is_reported_within_three_due_frames(tmp_path, way):
    line = Line(tmp_path, rate_hz=0.5)
    line.run(60, judged)
    raised_s = line.run(60, way())
    assert raised_s is not None
    assert raised_s <= 6.0 + 2.0  # the first of the three comes up to one interval later


def test_a_due_frame_stuck_in_one_of_two_workers_is_reported_although_the_other_one_judges(line):
    raised_s = line.run(10, one_lost_frame())
    assert raised_s is not None
    assert raised_s <= 3.0 + 2 / FPS + 1 / 8
    assert line.detail.startswith("a due frame has been waiting for ")


def test_a_camera_whose_frames_are_never_due_is_reported(line):
    raised_s = line.run(10, judged, due=False)
    assert raised_s is not None
    assert raised_s <= 3.1
    assert "frames captured in the last" in line.detail
    assert line.run(3, judged) is not None
    assert line.detail == ""


def test_a_camera_without_a_signal_is_not_reported_as_not_judged(line):
    assert line.run(120, judged, captures=False) is None
    assert line.run(120, judged) is None


def test_a_camera_lost_while_its_worker_is_stopped_stays_reported_until_the_frame_is_accounted_for(line):
    line.run(10, stopped_worker())
    line.run(60, judged, captures=False)
    assert line.detail
    line.keeper.sweep_owner(WORKER)
    line.run(1, judged, captures=False)
    assert line.detail == ""


def test_a_camera_that_reconnects_gets_its_first_credit_after_a_second(line):
    line.run(30, judged, captures=False)
    assert line.run(1, dropped(DropCause.CAPTURE_SUPERSEDED)) is None
    assert line.run(30, judged) is None


def test_single_lost_frames_are_not_reported(line):
    assert line.run(60, one_lost_then_judged()) is None


def one_lost_then_judged() -> Judge:
    frames = iter(range(1_000_000))

    def judge(ledger: CameraLedger, frame: int) -> None:
        (judged if next(frames) % 4 else dropped(DropCause.INSPECT_OVERWRITTEN))(ledger, frame)

    return judge


def test_the_first_batch_of_a_model_may_take_10_s(tmp_path):
    line = Line(tmp_path)
    line.batch_s = 0.0
    assert line.run(9.5, stopped_worker()) is None
    line.keeper.sweep_owner(WORKER)
    line.batch_s = 9.5
    assert line.run(20, judged) is None


def test_a_model_that_never_judges_is_reported_after_10_s(tmp_path):
    line = Line(tmp_path)
    line.batch_s = 0.0
    raised_s = line.run(20, dropped(DropCause.INSPECT_FAILED))
    assert raised_s is not None
    assert raised_s <= 10.5
    assert line.detail.endswith("none so far")


def test_a_slow_model_that_keeps_up_with_a_slow_rate_is_not_reported(tmp_path):
    """Batches of 15 s, a due frame every 20 s."""
    line = Line(tmp_path, rate_hz=0.05)
    line.batch_s = 15.0
    held: list[int] = []

    def judge(ledger: CameraLedger, frame: int) -> None:
        assert ledger.sent(frame, WORKER)
        held.append(frame)

    for _ in range(20):
        for seconds, then in ((15, judge), (5, judge)):
            assert line.run(seconds, then) is None
            while then is judge and seconds == 15 and held:
                assert line.camera.judged(held.pop())
        if held:
            assert line.camera.judged(held.pop())


def test_a_file_read_as_fast_as_it_is_judged_has_frames_far_apart(tmp_path):
    line = Line(tmp_path, rate_hz=8.0, lossless=True)
    line.run(5, judged)
    assert line.run(60, judged, due=False) is None
