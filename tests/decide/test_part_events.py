"""A part's verdict as an event: once, whole, the same again after a kill; and few lines in the log."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stream_inspect.capture.session import SessionCounter
from stream_inspect.config.models import Config
from stream_inspect.decide.event_log import MemoryLog
from stream_inspect.decide.part_events import LOG_EVERY_NS, PartLog, part_event
from stream_inspect.decide.stage import DecideStage
from stream_inspect.messages import DecidedPart, Event, Output, Verdict
from stream_inspect.store.event_writer import open_writer
from stream_inspect.store.events import EventStore
from stream_inspect.store.files import events_database, part_counts
from stream_inspect.store.part_counts import PartCountStore, PartCountWriter
from tests.alerts.events import a_part
from tests.alerts.receivers import wait_until
from tests.decide.test_line_parts import LEFT, STEP_MM, Line, judged, seen

FRAME_NS = 40_000_000
CENTRE_MM, MIDDLE_MM, GATE_MM = 150, 320, 1000
"""The part's place on the line; the middle of the picture, and the gate, from the picture's edge."""


def failed(line: Line, *, at: int = 7) -> Event:
    """A part fails in this frame."""
    for number in range(at + 1):
        line.see(number)
        line.judge(number, defect=number >= at - 1, confirmed={7} if number == at else ())
    (verdict,) = line.verdicts
    return part_event(verdict)


def passed(line: Line) -> Event:
    for number in range(LEFT + 1):
        line.see(number)
        line.judge(number)
    (verdict,) = line.verdicts
    return part_event(verdict)


def part_of(event: Event) -> DecidedPart:
    assert event.part is not None
    return event.part


def test_a_part_that_failed_is_an_event_with_all_that_is_known_of_it() -> None:
    event = failed(Line())
    assert (event.id, event.key) == ("line1-1-PART-1", "line1-1-PART-1:decided")
    assert (event.kind, event.state, event.line, event.camera, event.name) == ("part", "decided", "line1", "", "FAIL")
    assert (event.severity, event.reason) == ("major", "hole 0.80")
    assert event.first_seen_utc_ns == event.last_seen_utc_ns == 7 * FRAME_NS
    part = part_of(event)
    assert (part.run, part.number, part.lane, part.verdict, part.reason) == (1, 1, 0, "FAIL", "defect")
    assert [(found.defect, found.confirmed) for found in part.defects] == [("hole", True)]
    assert part.decided_mono_ns == 7 * FRAME_NS


@pytest.mark.parametrize("decided", [failed, passed], ids=["before it is there", "after it was there"])
def test_its_times_are_when_the_belt_brought_it_there_or_will(decided) -> None:
    part = part_of(decided(Line(gate_mm=float(GATE_MM))))
    assert part.trigger_utc_ns == pytest.approx((CENTRE_MM + MIDDLE_MM) / STEP_MM * FRAME_NS, abs=1000)
    assert part.gate_utc_ns == pytest.approx((CENTRE_MM + GATE_MM) / STEP_MM * FRAME_NS, abs=1000)
    assert part_of(decided(Line())).gate_utc_ns is None, "the line has none"


def test_of_a_part_on_a_belt_that_stands_it_is_not_known_when_it_will_be_where() -> None:
    line = Line(gate_mm=float(GATE_MM))
    for number in range(7):
        line.see(number)
    line.stand(6, for_frames=40)
    line.judge(6, defect=True, confirmed={7})
    (verdict,) = line.verdicts
    assert (verdict.verdict, verdict.trigger_utc_ns, verdict.gate_utc_ns) == (Verdict.FAIL, None, None)


def test_a_process_that_is_killed_before_it_sent_a_verdict_leaves_it_to_the_next_word_for_word(tmp_path: Path) -> None:
    event = failed(Line(tmp_path / "parts"))
    again = Line(tmp_path / "parts")
    again.see(0)
    assert [part_event(verdict) for verdict in again.verdicts if verdict.is_first] == [event]


def test_the_parts_of_another_run_of_the_service_have_other_ids(tmp_path: Path) -> None:
    numbers = SessionCounter.of_parts(tmp_path, "line1")
    ids = [passed(Line(tmp_path / run, next_run=numbers.next)).id for run in ("first", "second")]
    assert ids == ["line1-1-PART-1", "line1-2-PART-1"]


def config(**changes: object) -> Config:
    belt = {"direction": "left_to_right", "speed_mm_s": 1250.0, "mm_per_px": 1.0}
    camera = {"name": "top", "source": {"kind": "usb", "width_px": 640, "height_px": 360}, "belt": belt}
    return Config.model_validate(
        {
            "version": 1,
            "cameras": [camera],
            "defects": [{"name": "hole", "prompts": ["a hole"]}],
            "lines": [{"name": "line1", "parts": {"kind": "background"}}],
            **changes,
        }
    )


def sent_by(stage: DecideStage, *, defect: bool) -> list[Event]:
    """A part passes on the line; the events that are sent."""
    stage.open()
    outputs: list[Output] = []
    for number in range(LEFT + 1):
        outputs += stage.process([seen(number), judged(number, defect=defect and number in (6, 7))])
    outputs += stage.finish()
    return events_in(outputs)


def events_in(outputs: Iterable[Output]) -> list[Event]:
    return [one.message for one in outputs if one.topic == "events" and isinstance(one.message, Event)]


def test_a_part_is_sent_once_though_its_verdict_is_given_twice_and_is_in_the_log_by_then() -> None:
    log = MemoryLog()
    sent = sent_by(DecideStage(config(), log), defect=True)
    assert [event.name for event in sent if event.kind == "part"] == ["FAIL"]
    assert sent == log.events


@pytest.mark.parametrize(("verdicts", "kept"), [(["FAIL"], []), (["PASS"], ["PASS"])])
def test_a_part_that_passed_is_an_event_only_where_an_output_asks_for_it(verdicts: list[str], kept: list[str]) -> None:
    stage = DecideStage(config(alerts=[{"kind": "file", "verdicts": verdicts}]), MemoryLog())
    assert [event.name for event in sent_by(stage, defect=False)] == kept


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.decide.test_part_events import whole_stage
from tests.decide.test_line_parts import judged, seen
stage = whole_stage(Path(sys.argv[1]))
for number in range(8):
    list(stage.process([seen(number), judged(number, defect=number >= 6)]))
list(stage.tick(10**12))
os.kill(os.getpid(), signal.SIGKILL)
"""


def whole_stage(folder: Path) -> DecideStage:
    """As the service makes it."""
    stage = DecideStage(
        config(),
        open_writer(folder, memory_dir=folder, max_age_ns=10**18),
        folder,
        lambda line: SessionCounter.of_parts(folder, line).next(),
        PartCountWriter(part_counts(folder), every_s=60),
    )
    stage.open()
    return stage


def test_after_a_kill_there_is_one_event_and_one_count_of_each_part(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    stage = whole_stage(tmp_path)
    with capture_logs() as logs:
        outputs = [*stage.process([seen(0)]), *stage.finish()]
        stage.close()
    store, counts = EventStore(events_database(tmp_path)), PartCountStore(part_counts(tmp_path))
    assert [event.id for _, event in store.after(0, 10) if event.kind == "part"] == ["line1-1-PART-1"]
    assert wait_until(lambda: bool(counts.read()), 5), "at a stop the writer is given little time"
    assert [(row.run, row.entered, row.failed, row.on_belt) for row in counts.read()] == [(1, 1, 1, 0)]
    assert [line for line in logs if line["log_level"] == "error"] == []
    assert {event.id for event in events_in(outputs) if event.kind == "part"} <= {"line1-1-PART-1"}
    store.close()
    counts.close()


def test_the_event_log_takes_a_verdict_twice_as_one_and_knows_of_no_part_that_is_open(tmp_path: Path) -> None:
    store = EventStore(events_database(tmp_path))
    part = a_part(3, run=2)
    store.append([a_part(1), a_part(2), part])
    with capture_logs() as logs:
        store.append([part])
    assert ([event for _, event in store.after(2, 10)], logs) == ([part], [])
    assert store.open_events() == []
    assert (store.last_runs(), store.last_sessions()) == ({"line1": 2}, {})
    store.close()
    open_writer(tmp_path, memory_dir=tmp_path, max_age_ns=10**18).append([a_part(4, run=2)])  # and is killed
    again = open_writer(tmp_path, memory_dir=tmp_path, max_age_ns=10**18)
    assert again.last_numbers()["line1", 2, "PART"] == 4
    assert again.open_events() == []


def test_of_a_thousand_parts_a_minute_two_lines_are_logged() -> None:
    said = PartLog()
    with capture_logs() as logs:
        for n in range(1000):
            said.note(a_part(n, Verdict.UNDECIDED))
            said.note(a_part(n, Verdict.PASS))
            said.tick(n * LOG_EVERY_NS // 1000)
        said.tick(LOG_EVERY_NS + 1)
    first, rest = logs
    assert (first["event"], first["part"], first["serial"]) == ("part undecided", 0, "P-0000")
    assert (rest["event"], rest["parts"], rest["cause"]) == ("parts not logged one by one", 999, "not_judged")
    with capture_logs() as logs:
        said.note(a_part(1001, Verdict.FAIL))
    assert [line["event"] for line in logs] == ["part failed"], "another verdict is logged at once"


def test_after_a_minute_without_one_the_next_part_is_logged_at_once() -> None:
    said = PartLog()
    with capture_logs() as logs:
        said.note(a_part(1))
        said.tick(0)
        said.tick(LOG_EVERY_NS)
        said.note(a_part(2))
    assert [line["event"] for line in logs] == ["part failed", "part failed"]
