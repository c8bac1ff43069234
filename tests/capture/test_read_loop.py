"""The one read loop, against a camera that misbehaves in every way the contract allows, and some that it does not."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog.testing
from prometheus_client import REGISTRY

from stream_inspect.capture.camera import CameraError, EndOfMediaError
from stream_inspect.capture.ring_sink import RingSink
from stream_inspect.capture.session import SessionCounter
from stream_inspect.capture.worker import CorruptFrame, QueuedFrame, ReadLoop
from stream_inspect.config.models import CameraConfig, TransportConfig
from stream_inspect.messages import Clock
from tests.capture.harness import descriptors
from tests.capture.scripted_camera import ScriptedCamera, Step

CONFIG = CameraConfig.model_validate({"name": "c1", "source": {"kind": "plugin", "plugin": "scripted"}})
FRAMES: list[Step] = [0, 40, 80]

Start = Callable[..., ReadLoop]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    loops: list[ReadLoop] = []

    def start(*scripts: list[Step] | Exception, **options: bool) -> ReadLoop:
        ScriptedCamera.scripts = itertools.chain(scripts, itertools.repeat(CameraError("nothing more")))
        sink = RingSink(tmp_path, "c1", TransportConfig())
        loop = ReadLoop("c1", ScriptedCamera(CONFIG), sink, itertools.count(1).__next__, **options)
        loops.append(loop)
        loop.start()
        return loop

    yield start
    for loop in loops:
        loop.stop()


def taken(loop: ReadLoop, count: int, limit_s: float = 5.0) -> list[QueuedFrame | CorruptFrame]:
    items: list[QueuedFrame | CorruptFrame] = []
    end_s = time.monotonic() + limit_s
    while len(items) < count:
        assert time.monotonic() < end_s, f"only {len(items)} items came"
        item = loop.take()
        if item is None:
            time.sleep(0.005)
        else:
            items.append(item)
    return items


def places(items: list[QueuedFrame | CorruptFrame]) -> list[tuple[int, int] | None]:
    return [(item.session, item.seq) if isinstance(item, QueuedFrame) else None for item in items]


def test_each_connection_is_a_session_counted_from_frame_zero(start: Start) -> None:
    loop = start([*FRAMES, CameraError("lost")], [*FRAMES, CameraError("lost again")], FRAMES)
    assert places(taken(loop, 9)) == [(session, seq) for session in (1, 2, 3) for seq in (0, 1, 2)]


def test_a_connection_that_fails_uses_up_no_session(start: Start) -> None:
    loop = start(CameraError("refused"), CameraError("refused"), FRAMES)
    assert places(taken(loop, 1)) == [(1, 0)]


def test_damaged_frames_have_no_number(start: Start) -> None:
    loop = start([0, None, 40, None, None, 80])
    assert places(taken(loop, 6)) == [(1, 0), None, (1, 1), None, None, (1, 2)]


def test_nothing_but_damage_ends_the_connection(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_inspect.capture.worker._ONLY_BAD_S", 0.2)
    bad: list[Step] = [0, *itertools.chain.from_iterable([lambda: time.sleep(0.02), None] for _ in range(50))]
    loop = start(bad, [40])
    found = [place for place in places(taken(loop, 20)) if place]
    assert found[:2] == [(1, 0), (2, 0)]


def test_a_recording_is_read_through_its_damage_however_slow_the_host(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_inspect.capture.worker._ONLY_BAD_S", 0.2)
    monkeypatch.setattr(ScriptedCamera, "clock", Clock.MEDIA)
    bad: list[Step] = [0, *itertools.chain.from_iterable([lambda: time.sleep(0.02), None] for _ in range(30)), 40]
    loop = start([*bad, EndOfMediaError("end")])
    assert [place for place in places(taken(loop, 32)) if place] == [(1, 0), (1, 1)]


def test_the_end_of_a_recording_is_the_end(start: Start) -> None:
    loop = start([*FRAMES, EndOfMediaError("end")], FRAMES)
    taken(loop, 3)
    end_s = time.monotonic() + 2
    while not loop.ended and time.monotonic() < end_s:
        time.sleep(0.01)
    assert loop.ended
    assert loop.take() is None


def test_a_looped_recording_begins_again_as_a_new_session_one_interval_after_its_last_frame(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.capture.scripted_camera.FPS", 5)
    script: list[Step] = [*FRAMES, EndOfMediaError("end")]
    loop = start(*[script] * 4, loop=True)
    items = taken(loop, 12)
    assert places(items)[::3] == [(session, 0) for session in (1, 2, 3, 4)]
    times_s = [item.frame.capture_mono_ns * 1e-9 for item in items if isinstance(item, QueuedFrame)]
    assert np.diff(times_s)[2::3] == pytest.approx(1 / 5, abs=0.05)


def test_a_looped_recording_read_fast_does_not_wait_but_is_no_spin(start: Start) -> None:
    loop = start(*[[0, EndOfMediaError("end")]] * 6, loop=True, paced=False)
    items = taken(loop, 5)
    times_s = [item.frame.capture_mono_ns * 1e-9 for item in items if isinstance(item, QueuedFrame)]
    assert np.diff(times_s) == pytest.approx(0.1, abs=0.04)


def test_a_session_is_read_while_the_disk_of_its_number_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: answers.wait(30))
    ScriptedCamera.scripts = itertools.repeat(FRAMES)
    numbers = SessionCounter(tmp_path, "c1")
    loop = ReadLoop("c1", ScriptedCamera(CONFIG), RingSink(tmp_path, "c1", TransportConfig()), numbers.next)
    loop.start()
    ((session, seq),) = places(taken(loop, 1))
    answers.set()
    loop.stop()
    assert (session > 10**12, seq) == (True, 0)


def test_a_looped_recording_that_is_not_whole_says_so_once(start: Start) -> None:
    short = EndOfMediaError("end of the file", shortfall="it ends after 3 of 75 frames (0.12 of 3 s)")
    with structlog.testing.capture_logs() as logs:
        loop = start([*FRAMES, short], [*FRAMES, short], [*FRAMES, short], loop=True, paced=False)
        taken(loop, 9)
        loop.stop()
    (end,) = [entry for entry in logs if entry["event"] == "end of file"]
    assert (end["log_level"], end["frames"], end["shortfall"]) == ("warning", 3, short.shortfall)


def test_an_empty_looped_recording_does_not_spin(start: Start) -> None:
    ScriptedCamera.opened = 0
    start(*[[EndOfMediaError("end")]] * 1000, loop=True)
    time.sleep(0.6)
    assert ScriptedCamera.opened < 8


def test_reading_waits_while_the_queue_is_full(start: Start, tmp_path: Path) -> None:
    loop = start(list(range(0, 4000, 40)))
    time.sleep(0.3)
    assert [item.frame.pts for item in taken(loop, 100) if isinstance(item, QueuedFrame)] == list(range(0, 4000, 40))


def test_what_is_no_fault_of_the_source_ends_the_loop_and_is_kept(start: Start) -> None:
    loop = start([0, ZeroDivisionError("a bug")], FRAMES)
    taken(loop, 1)
    end_s = time.monotonic() + 2
    while loop.failure is None and time.monotonic() < end_s:
        time.sleep(0.01)
    assert isinstance(loop.failure, ZeroDivisionError)


def test_the_camera_is_closed_after_every_failure(start: Start) -> None:
    ScriptedCamera.closed = 0
    loop = start(CameraError("refused"), [0, CameraError("lost")], FRAMES)
    taken(loop, 4)
    assert ScriptedCamera.closed == 2
    loop.stop()
    assert ScriptedCamera.closed == 3


def test_logs_mark_transitions_only(start: Start) -> None:
    with structlog.testing.capture_logs() as logs:
        refused = [CameraError("refused")] * 4
        loop = start([0, CameraError("cut")], *refused, [40, *[lambda: time.sleep(0.05)] * 4])
        taken(loop, 2)
        loop.stop()
    assert [(entry["event"], entry.get("error")) for entry in logs] == [
        ("camera connected", None),
        ("camera lost", "cut"),
        ("camera lost", "refused"),
        ("camera reconnected", None),
    ]
    assert logs[-1]["after_s"] > 0.3


def test_metrics_tell_sessions_failures_bad_frames_and_whether_it_is_up(start: Start) -> None:
    def value(name: str) -> float:
        return REGISTRY.get_sample_value(f"stream_inspect_{name}", {"camera": "c1"}) or 0.0

    names = ("capture_sessions_total", "capture_failures_total", "bad_frames_total")
    before = {name: value(name) for name in names}
    loop = start(CameraError("refused"), [0, None, CameraError("cut")], FRAMES)
    taken(loop, 5)
    assert {name: value(name) - before[name] for name in names} == dict(zip(names, (2, 2, 1), strict=True))
    assert value("camera_up") == 1
    loop.stop()
    assert value("camera_up") == 0


def test_stopping_leaves_no_thread_and_no_descriptor(start: Start) -> None:
    start(FRAMES).stop()
    threads, files = threading.active_count(), descriptors()
    for _ in range(5):
        loop = start(FRAMES)
        taken(loop, 1)
        assert loop.stop()
    assert threading.active_count() == threads
    assert descriptors() <= files + 5  # each ring's file may live until its arrays are collected


def test_a_thread_inside_a_hanging_library_is_abandoned_at_once(start: Start) -> None:
    release = threading.Event()
    loop = start([0, release.wait])
    taken(loop, 1)
    time.sleep(0.1)
    with structlog.testing.capture_logs() as logs:
        began_s = time.monotonic()
        assert loop.stop() is False
        assert time.monotonic() - began_s < 0.5
    assert [entry["event"] for entry in logs] == ["camera library call did not return; abandoning the reader thread"]
    assert loop.blocked_s(time.monotonic()) > 0.3
    release.set()
