"""Every millimetre of belt that has left the picture was judged K times, or is reported."""

from __future__ import annotations

import msgspec
import pytest

from stream_inspect.decide.belt_coverage import BeltCoverage, CoverageRecord
from stream_inspect.decide.part_views import CameraWindow

MS = 1_000_000
EVERY_MM, EVERY_MS = 100, 200
WINDOW = CameraWindow(offset_mm=0.0, length_mm=1000.0, views_needed=3)


class Belt:
    """A belt at 500 mm/s under a picture of 1 m; each frame is due, one for each 100 mm."""

    def __init__(self, record: CoverageRecord | None = None) -> None:
        self.coverage = BeltCoverage(WINDOW, record)

    def run(self, first: int, end: int, *, judged: bool | None = True) -> None:
        """`judged` None: the frames are never reported."""
        for number in range(first, end):
            self.coverage.frame(EVERY_MM * number, EVERY_MS * number * MS, number)
            if judged is not None:
                self.coverage.report(number, judged=judged)
            self.coverage.settle(EVERY_MS * number * MS)

    def lacking(self, number: int) -> str:
        return self.coverage.lacking(EVERY_MS * number * MS)

    @property
    def sums_mm(self) -> tuple[float, float]:
        return self.coverage.passed_mm, self.coverage.judged_mm


def test_belt_that_was_judged_often_enough_has_passed_and_is_judged() -> None:
    belt = Belt()
    belt.run(0, 41)
    assert belt.sums_mm == (3000, 3000), "what was in the picture at first is not counted"
    assert belt.lacking(40) == ""


def test_belt_that_was_dropped_is_reported_when_it_has_left_with_how_much_and_since_when() -> None:
    belt = Belt()
    belt.run(0, 20)
    belt.run(20, 30, judged=False)
    belt.run(30, 45)
    assert belt.lacking(44) == "500 mm of belt, 29% of what has passed since 3 s ago, had fewer than 3 judged frames"
    assert belt.sums_mm == (3400, 2900)


def test_it_is_reported_until_nothing_was_lacking_for_ten_seconds() -> None:
    belt = Belt()
    belt.run(0, 20)
    belt.run(20, 30, judged=False)
    belt.run(30, 82)
    assert belt.lacking(81) != ""
    belt.run(82, 84)
    assert belt.lacking(83) == ""


def test_frames_that_are_never_reported_are_waited_for_two_seconds() -> None:
    belt = Belt()
    belt.run(0, 20)
    first = 20
    while not belt.lacking(first):
        first += 1
        belt.run(first, first + 1, judged=None)
    left = 20 + 10 - 3
    """The third frame from the last that was judged shows this belt last: it has left the picture in this one."""
    assert 0 <= (first - left) * EVERY_MS <= 3000


def test_a_late_result_of_a_frame_counts_for_what_is_not_settled() -> None:
    belt = Belt()
    belt.run(0, 20)
    belt.run(20, 25, judged=None)
    for number in range(20, 25):
        belt.coverage.report(number, judged=True)
    belt.run(25, 60)
    assert belt.lacking(59) == ""


def test_a_belt_that_is_lost_begins_again_and_keeps_its_sums() -> None:
    belt = Belt()
    belt.run(0, 41)
    belt.coverage.lose_belt()
    belt.run(100, 121)
    assert belt.sums_mm == (4000, 4000)


def test_the_next_process_continues_and_counts_the_belt_that_passed_meanwhile() -> None:
    belt = Belt()
    belt.run(0, 41)
    record = msgspec.msgpack.decode(msgspec.msgpack.encode(belt.coverage.record()), type=CoverageRecord)
    after = Belt(record)
    after.run(60, 80)
    assert after.sums_mm == (6900, 5500)
    assert after.lacking(79).startswith("1400 mm of belt")


@pytest.mark.parametrize("number", [3, 300])
def test_its_memory_is_bounded(number: int) -> None:
    belt = Belt()
    belt.run(0, number)
    assert len(belt.coverage.record().steps) <= 2 * WINDOW.length_mm / EVERY_MM
