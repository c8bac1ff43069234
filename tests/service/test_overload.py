"""An overload is reported with its share, a hiccup is not, and nothing is reported twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_inspect.service.overload import WINDOW_S
from stream_inspect.transport.ledger import CameraLedger, DropCause
from tests.service.fast_motion import Judge, Line, dropped, judged

SUPERSEDED = dropped(DropCause.CAPTURE_SUPERSEDED)


def lost(of: int, one_in: int, cause: DropCause = DropCause.CAPTURE_SUPERSEDED) -> Judge:
    """Of every `one_in` due frames `of` are dropped."""
    frames = iter(range(1_000_000))

    def judge(ledger: CameraLedger, frame: int) -> None:
        (dropped(cause) if next(frames) % one_in < of else judged)(ledger, frame)

    return judge


def too_late(one_in: int) -> Judge:
    """Of every `one_in` due frames one is judged, and its result comes too late."""
    frames = iter(range(1_000_000))

    def judge(ledger: CameraLedger, frame: int) -> None:
        judged(ledger, frame)
        if next(frames) % one_in == 0:
            ledger.late()

    return judge


@pytest.fixture
def line(tmp_path: Path) -> Line:
    line = Line(tmp_path, reports="overload")
    assert line.run(20, judged) is None
    return line


OVERLOADS: dict[str, Callable[[], Judge]] = {
    "one in four": lambda: lost(1, 4),
    "one in ten": lambda: lost(1, 10),
    "two in five": lambda: lost(2, 5),
    "mailbox full": lambda: lost(1, 4, DropCause.TRANSPORT_MAILBOX_FULL),
    "results too late": lambda: too_late(4),
    "overwritten": lambda: lost(1, 4, DropCause.INSPECT_OVERWRITTEN),
}


@pytest.mark.parametrize("way", OVERLOADS.values(), ids=OVERLOADS)
def test_an_overload_is_reported_within_a_window_and_so_is_its_end(line, way):
    raised_s = line.run(60, way())
    assert raised_s is not None
    assert raised_s <= WINDOW_S + 0.5
    assert line.detail, "and for as long as it lasts"
    cleared_s = line.run(60, judged)
    assert cleared_s is not None
    assert cleared_s <= WINDOW_S + 0.5
    assert line.detail == ""


@pytest.mark.parametrize("way", [lambda: lost(1, 4), lambda: lost(2, 5)], ids=["one in four", "two in five"])
def test_the_end_of_a_heavy_overload_is_known_after_a_third_of_the_window_without_a_drop(line, way):
    line.run(30, way())
    cleared_s = line.run(60, judged)
    assert cleared_s is not None
    assert cleared_s <= WINDOW_S / 3 + 0.5


def test_drops_in_every_third_of_the_window_are_one_overload(line):
    changes = [line.run(seconds, judge) for _ in range(30) for seconds, judge in ((0.8, SUPERSEDED), (2.4, judged))]
    assert sum(change is not None for change in changes) == 1
    assert line.detail


def test_the_share_and_since_when_are_in_the_detail(line):
    line.run(30, lost(1, 4))
    match = re.fullmatch(
        r"(\d+)% of the due frames of the last 10 s were dropped \((\d+) of (\d+)\), for (\d+) s", line.detail
    )
    assert match, line.detail
    share, drops, due, seconds = map(int, match.groups())
    assert share == pytest.approx(25, abs=2)
    assert drops == pytest.approx(20, abs=2)
    assert due == pytest.approx(80, abs=4)
    assert seconds == pytest.approx(30, abs=4)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0, 2.9])
def test_a_hiccup_is_not_an_overload(line, seconds):
    for _ in range(3):
        assert line.run(seconds, SUPERSEDED) is None
        assert line.run(WINDOW_S, judged) is None


def test_a_frame_lost_now_and_then_is_not_an_overload(line):
    assert line.run(120, lost(1, 50)) is None


def test_a_share_about_the_limit_does_not_raise_it_again_and_again(line):
    line.run(30, lost(1, 10))
    assert line.detail
    assert line.run(60, lost(1, 25)) is None, "between the two limits it stays as it is"


def test_while_due_frames_are_not_judged_that_alone_is_reported(line):
    assert line.run(60, SUPERSEDED) is None
    assert line.run(60, judged) is None, "nor does it count afterwards"


def test_an_overload_that_ends_in_not_judged_is_not_reported_twice(line):
    line.run(30, lost(2, 5))
    assert line.detail
    line.run(10, SUPERSEDED)
    assert line.detail == ""


@pytest.mark.parametrize("cause", [DropCause.INSPECT_FAILED, DropCause.INSPECT_DIED])
def test_what_a_failed_model_or_a_dead_worker_drops_is_reported_as_that(line, cause):
    assert line.run(60, lost(1, 4, cause)) is None


def test_a_start_may_take_its_time(tmp_path):
    line = Line(tmp_path, reports="overload")
    line.batch_s = 0.0
    assert line.run(9, SUPERSEDED) is None
    assert line.run(3, lost(1, 2)) is None
    assert line.run(60, judged) is None


def test_a_slow_rate_is_looked_at_for_longer(tmp_path):
    line = Line(tmp_path, rate_hz=0.5, reports="overload")
    line.run(100, judged)
    assert line.run(60, lost(1, 24)) is None, "one frame of the window is not an overload"
    assert line.run(120, lost(1, 4)) is not None


def test_a_file_read_as_fast_as_it_is_judged_is_never_overloaded(tmp_path):
    line = Line(tmp_path, lossless=True, reports="overload")
    assert line.run(60, lost(1, 4)) is None
