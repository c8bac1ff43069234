"""How long a start takes is measured, never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stream_inspect.service.start_time import Start, StartTime
from stream_inspect.store.files import start_file


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def started(folder: Path, running_s: float, judging_s: float) -> list[str]:
    """A start that took so long; what its log says."""
    clock = Clock()
    start = StartTime(folder, clock)
    with capture_logs() as logs:
        clock.now_s += running_s
        start.note(all_running=True, judged=0)
        clock.now_s += judging_s - running_s
        start.note(all_running=True, judged=1)
        clock.now_s += 50
        start.note(all_running=False, judged=400)
    return [str(line) for line in logs]


def test_the_first_start_says_nothing_of_when_judging_begins(tmp_path: Path) -> None:
    start = StartTime(tmp_path)
    assert (start.last, start.judging_in_s) == (None, None)


def test_the_next_start_knows_how_long_the_last_one_took(tmp_path: Path) -> None:
    (line,) = started(tmp_path, running_s=7.6, judging_s=16.0)
    assert "'after_s': 16.0" in line
    assert "'processes_after_s': 7.6" in line
    clock = Clock()
    start = StartTime(tmp_path, clock)
    assert start.last == Start(running_after_s=7.6, judging_after_s=16.0)
    assert start.judging_in_s == 16.0
    clock.now_s += 4
    assert start.judging_in_s == 12.0
    clock.now_s += 30
    assert start.judging_in_s == 0.0, "it takes longer this time"
    start.note(all_running=True, judged=1)
    assert start.judging_in_s is None
    assert StartTime(tmp_path).judging_in_s == 34.0, "the last start counts"


@pytest.mark.parametrize("content", [b"", b"{}", b'{"judging_after_s": "soon"}', b"\xff"])
def test_a_damaged_measurement_is_none(tmp_path: Path, content: bytes) -> None:
    start_file(tmp_path).write_bytes(content)
    assert StartTime(tmp_path).judging_in_s is None


def test_a_state_folder_that_cannot_be_written_hinders_no_start(tmp_path: Path) -> None:
    assert len(started(tmp_path / "missing", 1.0, 2.0)) == 1
