"""What is kept: within age and size, at a cost that does not grow, and with a line where the size comes first."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from stream_inspect import metrics
from stream_inspect.record import retention
from stream_inspect.record.kept_files import KeptFiles, files_in
from stream_inspect.record.retention import Limits, Retention
from stream_inspect.store.retention_clock import DAY_S, RetentionClock


class Shelf:
    """Files of events in a folder, under retention."""

    def __init__(self, state_dir: Path, **limits: float) -> None:
        self.folder = folder = state_dir / "clips"
        folder.mkdir()
        self.kept = KeptFiles()
        clock = RetentionClock(state_dir / "media.clock", lambda: self.kept.newest_s)
        allowed = {"max_age_s": 14 * DAY_S, "max_bytes": 10**9, "min_free_bytes": 0, **limits}
        self.retention = Retention([folder], Limits(**allowed), self.kept, clock)  # type: ignore[arg-type]

    def put(self, name: str, age_days: float, size_bytes: int = 100) -> None:
        path = self.folder / name
        path.write_bytes(bytes(size_bytes))
        os.utime(path, (time.time() - age_days * DAY_S,) * 2)
        self.kept.note(str(path), path.stat())

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


def test_a_wall_clock_set_40_days_ahead_removes_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for number in range(5):
        shelf.put(f"event{number}.mp4", age_days=40 + number / 24)
    with capture_logs() as logs:
        shelf.retention.apply()
    assert len(shelf.names) == 5
    assert [line["event"] for line in logs] == ["clock moved; nothing is removed by age for a day"]


def test_what_is_written_after_the_clock_was_set_back_is_not_removed_first(tmp_path: Path) -> None:
    """A dead RTC battery and no time server: it is the year 2000 after a power failure, and the folder is full."""
    shelf = Shelf(tmp_path, max_bytes=1000)
    for number in range(10):
        shelf.put(f"event{number}.mp4", age_days=2.3 - number / 1000)
    new = shelf.folder / "new.mp4"
    new.write_bytes(bytes(100))
    os.utime(new, (946_684_800.0,) * 2)
    shelf.kept.add(str(new))
    shelf.retention.keep_within_size()
    assert shelf.names == sorted([*(f"event{number}.mp4" for number in range(1, 10)), "new.mp4"])
    after_a_restart = KeptFiles()
    for path, status in files_in(shelf.folder):
        after_a_restart.note(path, status)
    oldest = after_a_restart.oldest()
    assert oldest is not None
    assert oldest.name == "event1", "nor by age, once the clock is right again"


def test_evidence_removed_earlier_than_configured_is_logged_once_a_day_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(tmp_path, max_bytes=1000)
    shelf.retention.apply()
    with capture_logs() as logs:
        for number in range(30):
            shelf.put(f"event{number}.mp4", age_days=2.3 - number / 1000)
            shelf.retention.apply()
    assert len(shelf.names) == 10
    (line,) = logs
    assert (line["log_level"], line["event"]) == (
        "warning",
        "clips removed before their age; recorder.max_size_gb is reached",
    )
    assert (line["kept_days"], line["max_age_days"]) == (2.3, 14.0)
    assert metrics.MEDIA_OLDEST._value.get() == pytest.approx(2.28 * DAY_S, rel=0.01)
    assert metrics.MEDIA_BYTES._value.get() == 1000

    now_s = time.monotonic() + retention._WARN_EVERY_S
    monkeypatch.setattr(retention.time, "monotonic", lambda: now_s)
    with capture_logs() as logs:
        shelf.put("another.mp4", age_days=2)
        shelf.retention.apply()
    assert len(logs) == 1, "a day later it is said again"


def test_the_end_of_early_removal_is_logged(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, max_bytes=1000)
    shelf.retention.apply()
    shelf.put("large.mp4", age_days=1, size_bytes=2000)
    shelf.retention.apply()
    with capture_logs() as logs:
        shelf.put("young.mp4", age_days=0.1)
        shelf.retention.apply()
        assert logs == []
        shelf.put("old.mp4", age_days=14.1)
        shelf.retention.apply()
        assert [line["event"] for line in logs] == ["clips are kept for recorder.max_age_days again"]
        shelf.put("older.mp4", age_days=14.2)
        shelf.retention.apply()
        assert len(logs) == 1
    assert shelf.names == ["young.mp4"]


STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["jpg", "mp4"]), st.integers(0, 9)), max_size=30)


@given(steps=STEPS)
def test_the_oldest_and_the_total_are_those_of_the_files(tmp_path_factory: pytest.TempPathFactory, steps) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("kept")
    kept, expected = KeptFiles(), dict[str, dict[str, int]]()
    for name, suffix, number in steps:
        path = folder / f"{name}.{suffix}"
        path.write_bytes(bytes(number))
        os.utime(path, (1e9 + number, 1e9 + number))
        kept.note(str(path), path.stat())
        expected.setdefault(name, {})[suffix] = number
        # An event is as old as its newest file has ever been seen.
        expected[name]["newest"] = max(number, expected[name].get("newest", 0))
    while expected:
        assert kept.total_bytes == sum(sum(v for k, v in one.items() if k != "newest") for one in expected.values())
        assert len(kept) == len(expected)
        oldest = kept.oldest()
        assert oldest is not None
        assert expected[oldest.name]["newest"] == min(one["newest"] for one in expected.values())
        kept.forget(oldest)
        del expected[oldest.name]
    assert kept.oldest() is None
    assert kept.total_bytes == 0


def test_writing_a_file_costs_the_same_with_a_hundred_thousand_events_kept(tmp_path: Path) -> None:
    """It took 24 ms of the interpreter's time, in which the recorder's loop stood still."""
    shelf = Shelf(tmp_path, max_bytes=10**12)
    path = tmp_path / "event.mp4"
    path.write_bytes(bytes(10))
    for number in range(100_000):  # as if they were there: so many files take a minute to make
        shelf.kept.note(f"event{number}", os.stat_result((0, 0, 0, 0, 0, 0, 1000, 0, 1e9 + number, 0)))
    started_s = time.thread_time()
    for _ in range(100):
        shelf.kept.note(str(path), path.stat())
        shelf.retention.keep_within_size()
    assert (time.thread_time() - started_s) / 100 < 0.001
