"""The log and the condition say when recording stops, why, and when it resumes: for each way in which a disk fails."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stream_inspect.record import media_store
from stream_inspect.record.disk import Disk
from stream_inspect.record.media_store import Item, MediaStore
from stream_inspect.record.recording_state import RecordingState
from stream_inspect.record.retention import Limits
from tests.conftest import MakeDisk

NO_LIMITS = Limits(max_age_s=1e9, max_bytes=10**15, min_free_bytes=0)


class Recorder:
    """A media store, followed as the recorder's stage follows it."""

    def __init__(self, state_dir: Path, limits: Limits = NO_LIMITS) -> None:
        self.folder = state_dir / "clips"
        self._media = MediaStore(
            [self.folder, state_dir / "pictures"], limits, clock_path=state_dir / "media.clock", look_every_s=0.02
        )
        self._state = RecordingState()
        self._files = 0
        self.causes: list[str] = []
        """The cause of each stop, "" for each resumption."""
        self._media.open()

    def turn(self) -> str:
        stop = self._media.stopped
        self._state.follow(stop)
        cause = stop.cause if stop else ""
        if cause != (self.causes[-1] if self.causes else ""):
            self.causes.append(cause)
        return cause

    def wait(self, cause: str, within_s: float = 5.0) -> None:
        """Until recording is stopped by this; "": until it works."""
        deadline_s = time.monotonic() + within_s
        while self.turn() != cause:
            assert time.monotonic() < deadline_s, f"{self.turn()!r} and not {cause!r}"
            time.sleep(0.002)

    def wait_for_files(self, count: int, within_s: float = 30.0) -> None:
        deadline_s = time.monotonic() + within_s
        while len(list(self.folder.glob("*.mp4"))) != count:
            assert time.monotonic() < deadline_s, f"not {count} files"
            time.sleep(0.002)

    def put(self, size_bytes: int = 1000, write: Callable[[], object] = lambda: None) -> None:
        self._files += 1
        event = f"event{self._files}"

        def write_file(file: object) -> None:
            write()
            file.write(bytes(size_bytes))  # type: ignore[attr-defined]

        def done(outcome: str) -> None:
            if outcome != "written":
                self._state.not_recorded("event clip not recorded", event, outcome)

        files = ((f"{self.folder}/{event}.mp4", write_file),)
        if rejected := self._media.enqueue(Item(event, size_bytes, files, done)):
            done(rejected)

    def close(self) -> None:
        self._media.close()
        self._state.close()


@pytest.fixture(autouse=True)
def _probe_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_store, "_PROBE_EVERY_S", 0.1)


@contextmanager
def recording(state_dir: Path, limits: Limits = NO_LIMITS) -> Iterator[Recorder]:
    recorder = Recorder(state_dir, limits)
    yield recorder
    recorder.close()


def lines(logs: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(line["log_level"], line["event"]) for line in logs if line["log_level"] != "debug"]  # type: ignore[misc]


def error_of(logs: list[dict[str, object]]) -> str:
    """Why recording stopped. Clips that are lost meanwhile may be in the log before it, for who looks for them."""
    return next(str(line["error"]) for line in logs if line["event"] == "recording stopped")


def fill(ballast: Path) -> None:
    """Use up all of its disk."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


OUTAGE = [("error", "recording stopped"), ("info", "recording resumed")]


def test_a_full_disk_is_found_before_an_event_needs_it(small_disk: Path) -> None:
    with recording(small_disk) as recorder, capture_logs() as logs:
        recorder.wait("")
        ballast = small_disk / "ballast"
        fill(ballast)
        recorder.wait("disk_full")
        ballast.unlink()
        recorder.wait("")
    assert lines(logs) == OUTAGE
    assert "No space left on device" in error_of(logs)


def test_on_a_full_disk_what_is_too_old_makes_room(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removal by age goes on, or recording would stay stopped until a person frees space."""
    monkeypatch.setattr(media_store, "_RETENTION_EVERY_S", 0.1)
    age_s = 3.0
    with recording(small_disk, replace(NO_LIMITS, max_age_s=age_s)) as recorder:
        recorder.wait("")
        recorder.put(1 << 20)
        recorder.wait_for_files(1)
        fill(small_disk / "ballast")
        recorder.wait("disk_full")
        recorder.wait("", within_s=age_s + 30)
    assert list(recorder.folder.iterdir()) == []


def test_a_disk_mounted_read_only_is_found_before_an_event_needs_it(small_disk: Path) -> None:
    """What ext4 does by itself after an error of the disk."""
    with recording(small_disk) as recorder, capture_logs() as logs:
        recorder.wait("")
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        recorder.wait("disk_failed")
        recorder.put()
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        recorder.wait("")
    assert lines(logs) == OUTAGE
    assert "Read-only file system" in error_of(logs)
    assert [line["cause"] for line in logs if line["event"] == "event clip not recorded"] == ["disk_failed"]


def test_a_disk_that_is_unmounted_stops_recording_and_nothing_is_written_in_its_place(make_disk: MakeDisk) -> None:
    disk = make_disk(2048)
    with recording(disk / "state") as recorder, capture_logs() as logs:
        recorder.put()
        recorder.wait("")
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        recorder.wait("disk_unmounted")
        time.sleep(0.1)
        assert list(disk.iterdir()) == [], "its mount point is a folder of another disk now"
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2048k", "tmpfs", str(disk)], check=True)
        recorder.wait("")
        assert recorder.folder.is_dir()
    assert lines(logs) == OUTAGE
    assert str(disk) in error_of(logs)


def test_a_disk_that_is_unmounted_at_any_moment_gets_no_folder_in_its_place(
    make_disk: MakeDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look whether it is mounted and the look for its folders, for example."""
    point = make_disk(2048)
    disk = Disk([point / "state" / "clips"], 0)
    assert disk.problem() is None
    subprocess.run(["umount", "--lazy", str(point)], check=True)
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    assert disk.problem() is not None
    assert list(point.iterdir()) == []
    monkeypatch.undo()
    stop = disk.problem()
    assert stop is not None
    assert stop.cause == "disk_unmounted"
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(point)], check=True)  # which the fixture unmounts


def test_a_state_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    with recording(tmp_path / "state") as recorder, capture_logs() as logs:
        subprocess.run(["rm", "-r", str(tmp_path / "state")], check=True)
        deadline_s = time.monotonic() + 5
        while not recorder.folder.is_dir():
            recorder.turn()
            assert time.monotonic() < deadline_s
        recorder.put()
        recorder.wait("")
    assert lines(logs) == []


def test_a_disk_that_fails_at_each_file_and_not_at_a_probe_is_tried_ever_more_rarely(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with recording(tmp_path) as recorder, capture_logs() as logs:
        until_s = time.monotonic() + 3
        while time.monotonic() < until_s:
            if not recorder.turn():
                recorder.put(write=fail)
            time.sleep(0.002)
        stops = recorder.causes.count("disk_failed")
        assert 2 <= stops <= 9, "20 ms, 40 ms, 80 ms, ... after each failure"
    assert any("Input/output error" in str(line.get("error")) for line in logs)


def test_a_disk_that_refuses_large_files_alone_stops_recording_until_it_takes_them(tmp_path: Path) -> None:
    """A quota, for example: a small probe would pass, and recording would alternate between stopped and resumed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with recording(tmp_path) as recorder, capture_logs() as logs:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            recorder.put(100_000)
            recorder.wait("disk_full")
            until_s = time.monotonic() + 0.5
            while time.monotonic() < until_s:
                assert recorder.turn() == "disk_full"
                recorder.put(100_000)
                time.sleep(0.01)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        recorder.wait("")
    assert lines(logs) == OUTAGE, "no line for each event of the outage"
    lost = sum(line["event"] == "event clip not recorded" for line in logs)
    assert lost > 10
    (resumed,) = [line for line in logs if line["event"] == "recording resumed"]
    assert resumed["events_not_recorded"] == lost
    assert resumed["after_s"] >= 0.5


def test_a_disk_that_hangs_is_reported_and_what_waits_is_written_when_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_store, "_HANGS_AFTER_S", 0.2)
    with recording(tmp_path) as recorder, capture_logs() as logs:
        recorder.wait("")
        recorder.put(write=lambda: time.sleep(1))
        recorder.wait("disk_slow")
        recorder.put()
        recorder.wait("")
        assert len(list(recorder.folder.glob("*.mp4"))) == 2
    assert lines(logs) == OUTAGE


def test_an_outage_that_lasts_until_the_stop_says_what_it_has_cost() -> None:
    with capture_logs() as logs:
        state = RecordingState()
        state.follow(media_store.Stop("disk_full", "no room"))
        for number in range(3):
            state.not_recorded("event clip not recorded", f"event{number}", "disk_full")
        state.close()
    assert lines(logs) == [("error", "recording stopped"), ("warning", "recording is still stopped")]
    assert logs[-1]["events_not_recorded"] == 3


def test_another_cause_has_its_own_line_and_a_lost_clip_without_an_outage_too() -> None:
    with capture_logs() as logs:
        state = RecordingState()
        state.not_recorded("event clip not recorded", "event1", "too_many")
        for cause in ("disk_full", "disk_full", "disk_failed"):
            state.follow(media_store.Stop(cause, "text"))
        state.follow(None)
        state.follow(None)
    assert lines(logs) == [
        ("warning", "event clip not recorded"),
        ("error", "recording stopped"),
        ("error", "recording stopped"),
        ("info", "recording resumed"),
    ]
