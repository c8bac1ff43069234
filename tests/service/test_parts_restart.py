"""kill -9 of `track` or of a camera's capture while parts are on the belt: each part is counted once, as far as the
odometer can know it, and none that may have been missed passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_inspect.messages import Reason, Verdict
from tests.service.parts_line import BACK, ENCODER, END, KILLED, LENGTH_MM, PARTS_MM, STEP_MM, Line

PASSED = (Verdict.PASS, Reason.ENOUGH_VIEWS)
RESTARTED = (Verdict.UNDECIDED, Reason.RESTARTED)
IN_PICTURE = sum(0 < STEP_MM * KILLED - part < 1280 + LENGTH_MM for part in PARTS_MM)
ENTERED_MEANWHILE = sum(STEP_MM * KILLED <= part < STEP_MM * BACK for part in PARTS_MM)
ODOMETERS = pytest.mark.parametrize(
    "odometer",
    [{"kind": "picture"}, ENCODER, ENCODER | {"check_with": "picture"}, {"kind": "speed"}],
    ids=["picture", "encoder", "both", "speed"],
)


@ODOMETERS
def test_after_a_kill_of_track_each_part_is_counted_once_and_what_entered_since_passes(
    odometer: dict[str, Any], tmp_path: Path
) -> None:
    """What the other processes send meanwhile waits for the next one."""
    line = Line(tmp_path, odometer)
    line.run(0, KILLED)
    line.kill()
    line.run(KILLED, BACK)
    line.start()
    line.run(BACK, END)
    assert (IN_PICTURE, ENTERED_MEANWHILE) == (2, 1)
    assert line.reasons() == {PASSED: len(PARTS_MM) - IN_PICTURE, RESTARTED: IN_PICTURE}


@ODOMETERS
def test_where_the_messages_of_the_outage_are_lost_too_no_part_is_counted_twice_or_lost(
    odometer: dict[str, Any], tmp_path: Path
) -> None:
    line = Line(tmp_path, odometer)
    line.run(0, KILLED)
    line.kill()
    line.run(KILLED, BACK)
    line.unread.clear()
    line.start()
    line.run(BACK, END)
    missed = IN_PICTURE + ENTERED_MEANWHILE
    assert line.reasons() == {PASSED: len(PARTS_MM) - missed, RESTARTED: missed}


def test_after_a_second_kill_too(tmp_path: Path) -> None:
    line = Line(tmp_path, {"kind": "picture"})
    for first, end in ((0, KILLED), (KILLED, BACK), (BACK, END)):
        line.start()
        line.run(first, end)
    assert sum(line.reasons().values()) == len(PARTS_MM)


@ODOMETERS
def test_after_a_kill_of_capture_the_parts_in_the_picture_are_undecided_for_a_reason(
    odometer: dict[str, Any], tmp_path: Path
) -> None:
    line = Line(tmp_path, odometer)
    line.run(0, KILLED)
    line.run(KILLED, BACK, capture=False)
    line.session, line.began = 2, BACK
    line.run(BACK, END)
    reasons = line.reasons()
    if odometer["kind"] != "picture":  # where the parts are is known all the time
        assert sum(reasons.values()) == len(PARTS_MM)
        return
    assert reasons[Verdict.UNDECIDED, Reason.ODOMETER_UNKNOWN] == IN_PICTURE
    assert reasons[Verdict.UNDECIDED, Reason.AT_START] == 1, "still in the picture: it alone is counted a second time"
    assert sum(reasons.values()) == len(PARTS_MM) + 1
    (told,) = {one.detail for one in line.conditions if one.kind == "odometer_unknown" and one.active}
    assert told == "top was connected again: how far the belt ran in 1.2 s is not known"
