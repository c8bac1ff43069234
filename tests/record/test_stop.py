"""A stop keeps what events promise: their clips are written, or named as missing, by id, in the log and on the disk."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from structlog.testing import capture_logs

from stream_inspect.messages import Event, Tracked
from stream_inspect.record.media_store import Item
from stream_inspect.stopping import RECORDER_CLOSE_S
from tests.record.filmed import Belt, config
from tests.record.test_record_stage import RecorderStage, pictures_of


class Stopped:
    """A recorder that is stopped right after many events, before it has encoded a frame of their clips."""

    def __init__(self, folder: Path, *, events: int = 20, size_px: tuple[int, int] = (640, 360)) -> None:
        (folder / "ring").mkdir()
        self.state_dir = folder / "state"
        self.belt = Belt(folder / "ring", width_px=size_px[0], height_px=size_px[1], slots=60)
        settings = config(self.state_dir, recorder={"pre_roll_s": 1.0, "post_roll_s": 2.0, "height_px": size_px[1]})
        self.stage = RecorderStage(settings, ring_dir=folder / "ring", state_dir=self.state_dir)
        self.stage.open()
        headers = [self.belt.shoot() for _ in range(50)]
        judged = [self.belt.tracked(header, 1.2) for header in headers[30:]]
        self.events = [self.belt.event(headers[30 + n % 20], n=n + 1) for n in range(events)]
        list(self.stage.process([*headers, *judged, *self.events]))

    def record(self, event: Event) -> dict[str, Any]:
        return dict(json.loads((self.state_dir / "clips" / f"{event.id}.json").read_bytes()))

    def clip(self, event: Event) -> Path:
        return self.state_dir / "clips" / f"{event.id}.mp4"

    def close(self) -> list[dict[str, Any]]:
        """What the log says of the stop."""
        with capture_logs() as logs:
            started_s = time.monotonic()
            self.stage.close()
            assert time.monotonic() - started_s < 2 * RECORDER_CLOSE_S, "twice, for a crowded machine"
        self.belt.close()
        return [dict(line) for line in logs]

    def lost(self, logs: list[dict[str, Any]]) -> set[str]:
        """The ids that the log names as events without a clip."""
        return {line["event_id"] for line in logs if line["event"] == "event clip not recorded"}


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder on a disk that no other load makes slow."""
    with TemporaryDirectory(prefix="stop", dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def stopped(in_memory: Path) -> Stopped:
    return Stopped(in_memory)


def test_every_clip_is_written(stopped: Stopped) -> None:
    assert stopped.lost(stopped.close()) == set()
    for event in stopped.events:
        listed = stopped.record(event)
        assert event.frame is not None
        assert [frame["seq"] for frame in listed["frames"] if frame.get("judged")] == [event.frame.seq]
        assert len(pictures_of(stopped.clip(event))) == len(listed["frames"])


def test_without_time_for_all_frames_each_clip_has_its_judged_one(
    in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_inspect.record.stage._CLOSE_BUDGET_S", 0.0)
    stopped = Stopped(in_memory)
    stopped.stage._work(until_s=time.monotonic() + 10)  # the pictures
    stopped.stage._builders["cam"]._encoded = (1, 25)  # as if the encoder had got as far as this
    assert stopped.lost(stopped.close()) == set()
    for event in stopped.events:
        assert stopped.record(event)["judged_time_s"] is not None
        assert pictures_of(stopped.clip(event))


def test_what_cannot_be_written_in_time_is_named_by_its_id(in_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = Stopped(in_memory, events=5)
    monkeypatch.setattr("stream_inspect.record.media_store._CLOSE_WITHIN_S", 0.5)
    release = threading.Event()
    hanging = Item("x", 1, ((f"{stopped.state_dir}/clips/x.mp4", lambda _: release.wait(20)),), lambda _: None)
    stopped.stage._media.enqueue(hanging)  # a disk that does not answer
    logs = stopped.close()
    release.set()
    assert stopped.lost(logs) == {event.id for event in stopped.events}
    causes = {line["cause"] for line in logs if line["event"] == "event clip not recorded"}
    assert causes == {"stopped"}
    pictures = {line["event_id"] for line in logs if line["event"] == "event picture not recorded"}
    assert pictures == {event.id for event in stopped.events}


def test_an_event_whose_frame_has_not_arrived_is_named_and_on_record(in_memory: Path) -> None:
    stopped = Stopped(in_memory, events=1)
    early = stopped.belt.event(stopped.belt.shoot(), n=77)
    list(stopped.stage.process([early]))
    assert stopped.lost(stopped.close()) == {early.id}
    assert stopped.record(early) == {"version": 1, "event": early.id, "camera": "cam", "not_recorded": "frame_unknown"}


def test_a_clip_that_a_kill_prevents_is_on_record_from_its_beginning_on(stopped: Stopped) -> None:
    event = stopped.events[0]
    list(stopped.stage.tick(time.monotonic_ns()))
    deadline_s = time.monotonic() + 5
    while not (stopped.state_dir / "clips" / f"{event.id}.json").exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    assert stopped.record(event)["not_recorded"] == "not_finished"
    stopped.close()
    assert "not_recorded" not in stopped.record(event)


def test_frames_after_the_judged_one_do_not_wait_for_boxes_at_a_stop(in_memory: Path) -> None:
    stopped = Stopped(in_memory, events=0)
    header = stopped.belt.shoot()
    later = [stopped.belt.shoot() for _ in range(10)]
    event = stopped.belt.event(header, n=5)
    list(stopped.stage.process([header, Tracked(frame=header, tracks=[]), *later, event]))
    stopped.close()
    assert stopped.record(event)["frames"][-1]["seq"] == later[-1].id.seq


def test_an_event_that_gets_no_clip_keeps_its_reason_on_record(in_memory: Path) -> None:
    stopped = Stopped(in_memory, events=40)
    lost = stopped.events[32:]  # more than there can be clips at a time
    logs = stopped.close()
    for event in lost:
        assert stopped.record(event)["not_recorded"] == "too_many"
        assert (stopped.state_dir / "pictures" / f"{event.id}.jpg").exists()
    assert stopped.lost(logs) == set(), "that was said when it happened"
