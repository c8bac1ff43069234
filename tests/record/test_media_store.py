"""What is on the disk: whole files only, within size and age, and what happens when there is no room."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from stream_inspect import metrics
from stream_inspect.messages import Condition, Output
from stream_inspect.record.disk import Stop
from stream_inspect.record.media_store import Item, MediaStore
from stream_inspect.record.retention import Limits
from stream_inspect.record.stage import RecorderStage
from stream_inspect.store.durable import durable_file
from tests.record.filmed import Belt, config

NO_LIMITS = Limits(max_age_s=1e9, max_bytes=10**15, min_free_bytes=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "clips"


@contextmanager
def store_in(folder: Path, limits: Limits = NO_LIMITS) -> Iterator[MediaStore]:
    media = MediaStore([folder], limits, clock_path=folder.parent / "media.clock", look_every_s=0.02)
    media.open()
    yield media
    media.close()


def eventually(condition: Callable[[], object], what: str, within_s: float = 5.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


def put(media: MediaStore, path: Path, size_bytes: int) -> list[str]:
    """Offer a file; the list gets the outcome."""
    outcomes: list[str] = []
    item = Item(path.stem, size_bytes, ((str(path), lambda file: file.write(bytes(size_bytes))),), outcomes.append)
    if refused := media.enqueue(item):
        outcomes.append(refused)
    return outcomes


def text_of(media: MediaStore) -> str:
    assert media.stopped is not None
    return media.stopped.text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with durable_file(tmp_path / "a.mp4") as file:
            file.write(b"half")
            raise OSError("the camera of fate")

    with pytest.raises(OSError, match="fate"):
        write_half()
    assert names(tmp_path) == []


def test_what_a_killed_life_left_half_written_is_removed(folder: Path) -> None:
    folder.mkdir()
    (folder / "old.mp4").write_bytes(b"whole")
    (folder / "torn.mp4.part").write_bytes(b"ha")
    with store_in(folder):
        eventually(lambda: names(folder) == ["old.mp4"], "the torn file stays")


def test_the_oldest_events_go_when_the_size_is_reached(folder: Path) -> None:
    folder.mkdir()
    for age, name in enumerate(["c", "b", "a"]):
        for suffix in ("mp4", "json"):
            path = folder / f"{name}.{suffix}"
            path.write_bytes(bytes(1000))
            os.utime(path, (time.time() - 100 * age - 100,) * 2)
    with store_in(folder, Limits(max_age_s=1e9, max_bytes=6500, min_free_bytes=0)) as media:
        assert names(folder) == ["a.json", "a.mp4", "b.json", "b.mp4", "c.json", "c.mp4"]
        put(media, folder / "d.mp4", 1000)
        eventually(lambda: "a.mp4" not in names(folder), "nothing was removed")
        assert names(folder) == ["b.json", "b.mp4", "c.json", "c.mp4", "d.mp4"], "a clip and its list go together"


def test_events_older_than_the_age_go(folder: Path) -> None:
    folder.mkdir()
    for name, age_s in (("old", 5000), ("young", 10)):
        (folder / f"{name}.mp4").write_bytes(b"clip")
        os.utime(folder / f"{name}.mp4", (time.time() - age_s,) * 2)
    with store_in(folder, Limits(max_age_s=3600, max_bytes=10**9, min_free_bytes=0)):
        eventually(lambda: names(folder) == ["young.mp4"], "the old one stays")


def test_a_file_that_cannot_be_made_does_not_end_recording(folder: Path) -> None:
    def fail(file: object) -> None:
        raise ValueError("no such codec")

    with store_in(folder) as media:
        outcomes: list[str] = []
        media.enqueue(Item("a", 1, ((str(folder / "a.mp4"), fail),), outcomes.append))
        eventually(lambda: outcomes == ["not_made"], "no outcome")
        assert media.stopped is None, "the disk is fine"
        outcomes = put(media, folder / "b.mp4", 100)
        eventually(lambda: outcomes == ["written"], "not written")
        assert names(folder) == ["b.mp4"]


def test_files_found_on_a_disk_that_comes_back_count_towards_the_size(tmp_path: Path) -> None:
    """A disk that is mounted late: until then its place leads to no folder."""
    (tmp_path / "nothing").touch()
    point = tmp_path / "disk"
    point.symlink_to(tmp_path / "nothing")
    folder = point / "clips"
    with store_in(folder, Limits(max_age_s=1e9, max_bytes=1000, min_free_bytes=0)) as media:
        assert media.stopped
        late = tmp_path / "late"
        (late / "clips").mkdir(parents=True)
        (late / "clips" / "old.mp4").write_bytes(bytes(800))
        a_minute_ago_s = time.time() - 60
        os.utime(late / "clips" / "old.mp4", (a_minute_ago_s, a_minute_ago_s))
        (tmp_path / "mount").symlink_to(late)
        (tmp_path / "mount").replace(point)
        eventually(lambda: media.stopped is None, "recording does not begin")
        outcomes = put(media, folder / "new.mp4", 800)
        eventually(lambda: outcomes == ["written"], "not written")
        assert names(folder) == ["new.mp4"]


@contextmanager
def no_file_above(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to let files grow beyond this (EFBIG), as it refuses on a full disk (ENOSPC)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_refused_write_stops_recording_until_writing_works_again(folder: Path) -> None:
    with store_in(folder) as media:
        with no_file_above(2000):
            outcomes = put(media, folder / "a.mp4", 100_000)
            eventually(lambda: outcomes, "no outcome")
            assert outcomes == ["disk_full"]
            assert "File too large" in text_of(media)
            assert names(folder) == [], "nothing half written stays"
            assert put(media, folder / "b.mp4", 100) == ["disk_full"], "and nothing is taken meanwhile"
            time.sleep(0.1)
            assert media.stopped, "the probe is refused as well"
        eventually(lambda: media.stopped is None, "recording does not resume")
        outcomes = put(media, folder / "c.mp4", 100_000)
        eventually(lambda: outcomes == ["written"], "not written")


def test_a_full_disk_stops_recording_and_room_starts_it_again(small_disk: Path) -> None:
    folder = small_disk / "clips"
    with store_in(folder) as media:
        for number in range(5):
            outcomes = put(media, folder / f"{number}.mp4", 600_000)
            eventually(lambda outcomes=outcomes: outcomes, "no outcome")
        assert outcomes == ["disk_full"]
        assert "No space left on device" in text_of(media)
        whole = names(folder)
        assert whole == ["0.mp4", "1.mp4", "2.mp4"]
        (folder / "0.mp4").unlink()
        (folder / "1.mp4").unlink()
        eventually(lambda: media.stopped is None, "recording does not resume")
        outcomes = put(media, folder / "6.mp4", 600_000)
        eventually(lambda: outcomes == ["written"], "not written")


def test_less_room_than_configured_stops_recording_before_the_disk_is_full(small_disk: Path) -> None:
    folder = small_disk / "clips"
    with store_in(folder, Limits(max_age_s=1e9, max_bytes=10**9, min_free_bytes=1_000_000)) as media:
        outcomes = [put(media, folder / f"{number}.mp4", 600_000) for number in range(2)]
        eventually(lambda: outcomes[-1], "no outcome")
        eventually(lambda: media.stopped, "recording continues")
        assert "recorder.min_free_gb" in text_of(media)
        assert names(folder) == ["0.mp4", "1.mp4"]
        (folder / "0.mp4").unlink()
        eventually(lambda: media.stopped is None, "recording does not resume")


def test_a_disk_that_hangs_is_never_waited_for(folder: Path) -> None:
    with store_in(folder) as media:
        release = time.monotonic() + 0.5

        def hang(_: object) -> None:
            time.sleep(max(0.0, release - time.monotonic()))

        hanging = Item("a", 1, ((str(folder / "a.mp4"), hang),), lambda _: None)
        started_s = time.monotonic()
        media.enqueue(hanging)
        refused = [reason for _ in range(200) if (reason := media.enqueue(hanging))]
        assert time.monotonic() - started_s < 0.2
        assert set(refused) == {"disk_slow"}, "what does not fit into the queue is refused, with its cause"


def test_the_stage_says_when_recording_stops_and_begins_and_repeats_how_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ring").mkdir()
    monkeypatch.setattr("stream_inspect.levels.CONDITION_REPEAT_S", 0.2)
    stage = RecorderStage(config(tmp_path), ring_dir=tmp_path / "ring", state_dir=tmp_path)
    stage.open()

    def emitted() -> list[tuple[bool, int]]:
        outputs: list[Output] = list(stage.tick(time.monotonic_ns()))
        conditions = [output.message for output in outputs if isinstance(output.message, Condition)]
        assert all((c.camera, c.kind, c.source) == ("", "recording_stopped", "recorder") for c in conditions)
        return [(one.active, one.mono_ns) for one in conditions]

    ((active, well_since_ns),) = emitted()
    assert not active
    assert emitted() == []
    time.sleep(0.25)
    assert emitted() == [(False, well_since_ns)]
    stage._media._stop = Stop("disk_full", "no room")
    ((active, stopped_ns),) = emitted()
    assert active
    assert stopped_ns > well_since_ns
    assert emitted() == []
    time.sleep(0.25)
    assert emitted() == [(True, stopped_ns)], "the time stays that of the beginning"
    stage._media._stop = None
    assert [active for active, _ in emitted()] == [False]
    stage.close()


def test_while_recording_is_stopped_events_are_counted_and_judging_goes_on(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "ring").mkdir()
    (small_disk / "filler").write_bytes(bytes(2_060_000))
    belt = Belt(tmp_path / "ring")
    before = metrics.CLIPS.labels("disk_full")._value.get()
    stage = RecorderStage(
        config(small_disk, recorder={"min_free_gb": 0}), ring_dir=tmp_path / "ring", state_dir=small_disk
    )
    stage.open()
    active: list[bool] = []
    for seq in range(40):
        header = belt.shoot()
        batch = [header, belt.tracked(header, 0.0), *([belt.event(header)] if seq == 20 else [])]
        assert list(stage.process(batch)) == []
        active += [output.message.active for output in stage.tick(time.monotonic_ns())]
        time.sleep(0.005)
    assert active
    assert all(active)
    assert metrics.CLIPS.labels("disk_full")._value.get() == before + 1
    assert [path.name for path in (small_disk / "pictures").iterdir()] == []
    stage.close()
    belt.close()


_WRITER = """
import sys, time
from pathlib import Path
from stream_inspect.record.stage import RecorderStage
from stream_inspect.messages import Tracked
from tests.record.filmed import Belt, config
folder = Path(sys.argv[1])
belt = Belt(folder / "ring", ring_number=int(sys.argv[2]), session=int(sys.argv[2]))
recorder = {"pre_roll_s": 0.2, "post_roll_s": 0.2}
stage = RecorderStage(config(folder / "state", recorder=recorder), ring_dir=folder / "ring", state_dir=folder / "state")
stage.open()
print("open", flush=True)
while True:
    header = belt.shoot()
    batch = [header, Tracked(frame=header, tracks=[])]
    if belt.seq % 5 == 0:
        batch.append(belt.event(header, n=belt.seq))
    list(stage.process(batch))
    list(stage.tick(time.monotonic_ns()))
"""


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_only_whole_files(tmp_path: Path) -> None:
    (tmp_path / "ring").mkdir()
    clips = tmp_path / "state" / "clips"
    lives = 6
    for life in range(1, lives + 1):
        child = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), str(life)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "open\n"
            time.sleep(0.6 + 0.037 * life)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
    written = sorted(clips.glob("*.mp4"))
    assert len({clip.name.split("-")[1] for clip in written}) >= lives - 1, "each life has written some"
    for clip in written:
        with av.open(str(clip)) as container:
            frames = sum(1 for _ in container.decode(video=0))
        assert frames == clip.with_suffix(".json").read_text().count('"seq"')
    with store_in(clips):
        eventually(lambda: not list(clips.glob("*.part")), "half-written files stay")
