"""The capture stage as its process sees it: credits in, headers and due frames out, every frame accounted for."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stream_inspect import registry
from stream_inspect.capture.camera import CameraError
from stream_inspect.capture.stage import CameraHangsError
from stream_inspect.capture.synthetic import make_line
from stream_inspect.config.models import CameraConfig, SyntheticSource, TransportConfig
from stream_inspect.messages import Condition, ConditionKind
from stream_inspect.transport.ring import RingError, RingReader, StaleFrameError
from tests.capture.harness import WORKER_OWNER, StageHarness
from tests.capture.scripted_camera import ScriptedCamera, Step
from tests.capture.videos import write_video

Scripted = Callable[..., StageHarness]
FRAME_AND_WAIT: list[list[Step]] = [[pts, lambda: time.sleep(0.04)] for pts in range(0, 8000, 40)]


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """A stage on a `ScriptedCamera`, open; `rate_hz` is how many of its frames are due."""
    monkeypatch.setitem(registry.BUILT_IN["camera"], "scripted", "tests.capture.scripted_camera:ScriptedCamera")
    open_stages: list[StageHarness] = []

    def make(
        *scripts: list[Step] | Exception, rate_hz: float = 100.0, transport: TransportConfig | None = None
    ) -> StageHarness:
        ScriptedCamera.scripts = itertools.chain(scripts, itertools.repeat(CameraError("nothing more")))
        config = {
            "name": "c1",
            "source": {"kind": "plugin", "plugin": "scripted"},
            "sampling": {"rate_hz": rate_hz},
        }
        harness = StageHarness(CameraConfig.model_validate(config), tmp_path, transport)
        harness.stage.open()
        open_stages.append(harness)
        return harness

    yield make
    for harness in open_stages:
        harness.stage.close()
        harness.ring.close()


def paused(count: int) -> tuple[list[Step], threading.Event]:
    """`count` frames 40 ms apart, then nothing until the event is set."""
    release = threading.Event()
    return [*range(0, 40 * count, 40), lambda: release.wait(20) and None], release


def test_headers_name_each_frame_and_lead_to_its_picture(scripted: Scripted) -> None:
    script, release = paused(5)
    harness = scripted(script)
    harness.run(lambda: len(harness.frames) == 5)
    assert [(h.id.camera, h.id.session, h.id.seq, h.id.pts) for h in harness.frames] == [
        ("c1", 1, seq, 40 * seq) for seq in range(5)
    ]
    for header in harness.frames:
        assert header.ledger_index == header.id.seq
        assert harness.ring.read(header).luma[0, 0] == header.id.pts % 200
    release.set()


def test_only_the_freshest_due_frame_waits_and_the_others_are_superseded(scripted: Scripted) -> None:
    script, release = paused(5)
    harness = scripted(script)
    harness.run(lambda: len(harness.frames) == 5)
    assert harness.due == []
    credit = harness.credit()
    assert [(due.header.id.seq, due.ticket, due.owner) for due in harness.due] == [(4, credit.ticket, WORKER_OWNER)]
    totals = harness.totals()
    assert totals.dropped == {("capture", "superseded"): 4}
    assert totals.in_flight == 1
    release.set()


def test_frames_between_the_samples_are_not_due(scripted: Scripted) -> None:
    script, release = paused(25)
    harness = scripted(script, rate_hz=5.0)
    harness.judging = True
    harness.run(lambda: len(harness.frames) == 25)
    totals = harness.totals()
    assert (totals.captured, totals.not_due) == (25, 20)
    assert totals.judged + totals.dropped.get(("capture", "superseded"), 0) == 5
    release.set()


def test_a_newer_ticket_of_a_worker_replaces_its_older_one(scripted: Scripted) -> None:
    go = threading.Event()
    script: list[Step] = [lambda: go.wait(20) and None, 0, 40, lambda: time.sleep(1)]
    harness = scripted(script)
    harness.credit("inspect.0")
    newer = harness.credit("inspect.0")
    other = harness.credit("inspect.1")
    go.set()
    harness.run(lambda: len(harness.frames) == 2)
    assert [due.ticket for due in harness.due] == [newer.ticket, other.ticket]


def test_a_ticket_of_a_worker_that_is_no_more_is_not_answered(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_inspect.capture.stage.CREDIT_VALID_S", 0.1)
    go = threading.Event()
    harness = scripted([lambda: go.wait(20) and None, 0, lambda: time.sleep(1)])
    harness.credit()
    time.sleep(0.2)
    go.set()
    harness.run(lambda: len(harness.frames) == 1)
    assert harness.due == []


def test_a_due_frame_that_finds_its_mailbox_full_is_counted(scripted: Scripted) -> None:
    script, release = paused(1)
    harness = scripted(script)
    harness.full_mailboxes.add("due")
    harness.run(lambda: len(harness.frames) == 1)
    harness.credit()
    assert harness.totals().dropped == {("transport", "mailbox_full"): 1}
    release.set()


def test_conditions_are_levels_repeated_with_the_time_of_their_beginning(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_inspect.levels.CONDITION_REPEAT_S", 0.2)
    harness = scripted([lambda: time.sleep(0.04), *itertools.chain.from_iterable(FRAME_AND_WAIT)])

    def said(kind: ConditionKind) -> list[Condition]:
        return [condition for condition in harness.conditions if condition.kind is kind]

    harness.run(lambda: len(said(ConditionKind.BLACK)) >= 3)
    black = said(ConditionKind.BLACK)
    assert {(level.active, level.source) for level in black} == {(False, "capture.c1")}
    assert len({level.mono_ns for level in black}) == 1


def test_a_camera_that_cannot_be_reached_is_reported_and_its_coming_back_too(scripted: Scripted) -> None:
    go = threading.Event()
    harness = scripted(CameraError("refused"), [lambda: go.wait(20) and None, *range(0, 4000, 40)])
    began_ns = time.monotonic_ns()
    harness.run(lambda: bool(harness.conditions))
    first = harness.conditions[0]
    assert (first.kind, first.active, first.detail) == (ConditionKind.NO_SIGNAL, True, "refused")
    assert (time.monotonic_ns() - began_ns) / 1e9 < 2.0
    assert abs(first.mono_ns - began_ns) < 1e9, "stamped with the beginning of the silence"
    assert abs(first.utc_ns - (time.time_ns() - (time.monotonic_ns() - first.mono_ns))) < 1e8
    go.set()
    harness.run(lambda: any(c.kind is ConditionKind.NO_SIGNAL and not c.active for c in harness.conditions))


def test_why_a_camera_is_silent_is_reported_also_when_that_is_known_later(scripted: Scripted) -> None:
    refuse = threading.Event()

    def fail() -> None:
        refuse.wait(20)
        raise CameraError("cam: Connection refused")

    harness = scripted([0, 40, fail], *[CameraError("cam: Connection refused")] * 50)
    silent = lambda: [c for c in harness.conditions if c.kind is ConditionKind.NO_SIGNAL and c.active]  # noqa: E731
    harness.run(lambda: bool(silent()))
    assert silent()[-1].detail == "no frames"
    refuse.set()
    harness.run(lambda: silent()[-1].detail == "cam: Connection refused")
    assert silent()[-1].mono_ns == silent()[0].mono_ns, "the time is still that of the beginning"


def test_bad_frames_are_counted_and_never_sent(scripted: Scripted) -> None:
    release = threading.Event()
    harness = scripted([0, None, 40, None, 80, lambda: release.wait(20) and None])
    harness.judging = True
    harness.run(lambda: len(harness.frames) == 3)
    totals = harness.totals()
    assert totals.captured == 5
    assert totals.dropped[("capture", "bad_frame")] == 2
    assert totals.judged + totals.dropped.get(("capture", "superseded"), 0) == 3
    assert not {due.header.ledger_index for due in harness.due} & {1, 3}, "the bad ones"
    release.set()


def test_what_waits_when_the_stage_stops_is_accounted_for(scripted: Scripted) -> None:
    harness = scripted(list(range(0, 4000, 40)))
    time.sleep(0.5)
    harness.turn()
    harness.stage.close()
    totals = harness.totals()
    assert totals.captured > len(harness.frames)
    assert totals.dropped[("capture", "stopped")] >= 1
    assert (totals.in_flight, totals.residual) == (0, 0)


def test_another_size_gets_another_ring(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScriptedCamera, "size", (64, 48))

    def grow() -> None:
        ScriptedCamera.size = (128, 96)

    release = threading.Event()
    harness = scripted([0, 40, grow, 80, 120, lambda: release.wait(20) and None])
    harness.run(lambda: len(harness.frames) == 4)
    assert [(h.width_px, h.height_px) for h in harness.frames] == [(64, 48)] * 2 + [(128, 96)] * 2
    assert harness.ring.read(harness.frames[3]).luma.shape == (96, 128)
    with pytest.raises(StaleFrameError):
        harness.ring.read(harness.frames[0])
    release.set()


def test_rings_of_an_earlier_process_are_removed_and_ours_stays_for_the_recorder(
    scripted: Scripted, tmp_path: Path
) -> None:
    for name in ("c1.0.ring", "c1.7.ring", "c10.0.ring"):
        (tmp_path / name).write_bytes(b"left behind")
    script, release = paused(1)
    harness = scripted(script)
    harness.run(lambda: len(harness.frames) == 1)
    assert {path.name for path in tmp_path.glob("*.ring")} == {"c1.0.ring", "c10.0.ring"}
    assert (tmp_path / "c1.0.ring").stat().st_size > 100
    release.set()
    harness.stage.close()
    late = RingReader(tmp_path)
    assert late.read(harness.frames[0]).luma.size > 0, (
        "the clips of the last seconds are made after capture has stopped"
    )
    late.close()


def test_no_memory_for_the_ring_says_what_to_do(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScriptedCamera, "size", (2400, 1800))
    harness = scripted([0], transport=TransportConfig(ring_max_mb=16))
    with pytest.raises(RingError, match=r"raise transport\.ring_max_mb"):
        harness.run(lambda: False)


def test_a_library_that_hangs_ends_the_process(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_inspect.capture.stage._HANG_LIMIT_S", 0.3)
    release = threading.Event()
    harness = scripted([0, lambda: release.wait(20) and None])
    with pytest.raises(CameraHangsError, match="c1 has not returned"):
        harness.run(lambda: False)
    release.set()


def test_a_fast_source_loses_no_due_frame_to_a_slow_worker(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", count=50)
    source = {"kind": "file", "path": str(path), "pace": "fast"}
    config = {"name": "c1", "source": source, "sampling": {"rate_hz": 5}}
    with StageHarness(CameraConfig.model_validate(config), tmp_path) as harness:
        harness.judging = False
        end_s = time.monotonic() + 10
        while not harness.stage.ended:
            assert time.monotonic() < end_s
            harness.turn(0.02)
            if not harness.due or harness.account.judged(harness.due[-1].header.ledger_index):
                harness.credit()
        totals = harness.totals()
    assert (totals.captured, totals.judged, totals.not_due) == (50, 10, 40)
    assert totals.dropped == {}
    assert [due.header.id.seq for due in harness.due] == list(range(0, 50, 5))
    assert harness.conditions == [] or not any(condition.active for condition in harness.conditions)


def test_the_session_number_goes_on_in_the_next_life(tmp_path: Path) -> None:
    source = {"kind": "synthetic", "width_px": 320, "height_px": 240}
    for session in (1, 2):
        with StageHarness(CameraConfig.model_validate({"name": "c1", "source": source}), tmp_path) as harness:
            harness.run(lambda harness=harness: bool(harness.frames))  # type: ignore[misc]
            assert harness.frames[0].id.session == session


def test_the_synthetic_line_runs_through_as_it_was_drawn(tmp_path: Path) -> None:
    source = {"kind": "synthetic", "width_px": 320, "height_px": 240, "pace": "fast", "duration_s": 1.0, "seed": 7}
    belt = {"direction": "left_to_right", "speed_mm_s": 200, "mm_per_px": 1.5}
    config = CameraConfig.model_validate({"name": "c1", "source": source, "belt": belt, "sampling": {"rate_hz": 25}})
    assert isinstance(config.source, SyntheticSource)
    line = make_line(config.source, config.belt)
    assert line.speed_px_s == pytest.approx(200 / 1.5)
    with StageHarness(config, tmp_path) as harness:
        harness.on_frame = lambda header: np.testing.assert_array_equal(
            harness.ring.read(header).i420, line.i420(header.id.pts)
        )
        harness.judging = True
        harness.run(lambda: harness.stage.ended)
        assert len(harness.frames) == 25
        assert harness.totals().judged == 25
