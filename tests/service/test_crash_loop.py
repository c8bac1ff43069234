"""Real processes that fail again and again: the condition names the reason, and the log stays short."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_inspect import log
from stream_inspect.messages import ActiveCondition, ConditionKind
from stream_inspect.service.process import FAILURES_LOGGED
from stream_inspect.service.run_dir import RunDir
from stream_inspect.service.supervisor import Supervisor
from tests.service import made_up

SECRET = "correct horse battery"

pytestmark = pytest.mark.timeout(240)


class Line:
    """A supervisor with one row, whose process runs a line of Python in each turn."""

    def __init__(self, folder: Path, run_dir: RunDir) -> None:
        self._ailment = folder / "state" / made_up.AILMENT
        config = made_up.config_of(folder)
        output = {"kind": "mqtt", "host": "127.0.0.1", "username": "press", "password": SECRET}
        config = type(config).model_validate({**config.model_dump(), "alerts": [output]})
        self.supervisor = Supervisor(config, run_dir)
        (self.gate,) = self.supervisor.children

    def does(self, ailment: str) -> None:
        part = self._ailment.with_suffix(".part")
        part.write_text(ailment)
        part.replace(self._ailment)

    def until(self, condition: Callable[[], bool], within_s: float = 150.0) -> None:
        deadline_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline_s, self.supervisor.conditions
            self.supervisor.watch()
            time.sleep(0.05)

    def reported(self, kind: ConditionKind) -> ActiveCondition | None:
        return next((one for one in self.supervisor.conditions if one.kind is kind), None)


@pytest.fixture
def line(request: pytest.FixtureRequest, tmp_path: Path, short_dir: Path, monkeypatch) -> Iterator[Line]:
    log.configure("info", "json", process="supervisor")
    the_plan = getattr(request, "param", made_up.ailing_gate)
    monkeypatch.setattr("stream_inspect.service.supervisor.plan", the_plan)
    monkeypatch.setattr(sys, "executable", made_up.python_of(the_plan.__name__, tmp_path))
    with RunDir(short_dir, tmp_path / "state") as run_dir:
        line = Line(tmp_path, run_dir)
        try:
            yield line
        finally:
            line.supervisor.kill()


@pytest.mark.alone
@pytest.mark.parametrize(
    ("ailment", "reason"),
    [
        ("raise TypeError('Encoding objects of type numpy.bool is unsupported')", "TypeError: Encoding objects of"),
        (f"raise RuntimeError('login with {SECRET} refused')", "RuntimeError: login with *** refused"),
        ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("import os; os._exit(3)", "exited with status 3"),
    ],
    ids=["error", "secret", "signal", "exit"],
)
def test_a_process_that_always_fails_is_reported_with_its_reason(line, ailment, reason):
    line.does(ailment)
    line.supervisor.start()
    line.until(lambda: line.gate.failures.in_a_row == 2)
    report = line.reported(ConditionKind.PROCESS_DOWN)
    assert report is not None
    assert report.source == "gate"
    assert report.detail.startswith(f"gate has failed 2 times in a row: {reason}")


@pytest.mark.alone
@pytest.mark.parametrize("line", [made_up.ailing_capture], indirect=True)
def test_a_camera_whose_capture_always_fails_has_the_condition_itself(line):
    line.does("raise RuntimeError('no luck')")
    line.supervisor.start()
    line.until(lambda: line.gate.failures.in_a_row == 2)
    report = line.reported(ConditionKind.PROCESS_DOWN)
    assert report is not None
    assert (report.camera, report.source) == ("top", "capture.top")


@pytest.mark.alone
def test_a_crash_loop_is_one_condition_although_the_process_runs_for_a_moment_each_time(line):
    line.does("raise RuntimeError('no luck')")
    line.supervisor.start()
    line.until(lambda: line.gate.failures.in_a_row == 2)
    raised = line.reported(ConditionKind.PROCESS_DOWN)
    line.until(lambda: line.gate.running or line.gate.failures.in_a_row == 3)
    still = line.reported(ConditionKind.PROCESS_DOWN)
    assert raised is not None
    assert still is not None
    assert still.since_utc_ns == raised.since_utc_ns


@pytest.mark.alone
def test_it_is_logged_three_times_and_once_more_that_it_is_not_logged_from_now_on(line, capfd, caplog):
    line.does("raise RuntimeError('no luck')")
    line.supervisor.start()
    line.until(lambda: line.gate.failures.in_a_row == FAILURES_LOGGED + 2)
    assert capfd.readouterr().err.count('"stage failed"') == FAILURES_LOGGED == 3
    said = [record.msg["event"] for record in caplog.records if record.name == "supervisor"]
    assert said.count("process exited; restarting") == FAILURES_LOGGED
    assert said[-1] == "still failing; retrying without further log messages"
    assert said.count(said[-1]) == 1


@pytest.mark.alone
def test_a_stage_whose_event_log_is_stuck_is_reported_within_three_seconds_and_so_is_its_end(line, caplog):
    line.does("")
    line.supervisor.start()
    line.until(lambda: line.gate.running)
    line.does("import time; stage.waiting, stage.waiting_since_mono_ns = 16, time.monotonic_ns() - 10**9")
    line.until(lambda: line.reported(ConditionKind.EVENT_LOG_STUCK) is not None, within_s=3.0)
    report = line.reported(ConditionKind.EVENT_LOG_STUCK)
    assert report is not None
    assert (report.source, report.camera) == ("gate", "")
    assert report.detail == "the event log has not been writable for 1 s; 16 events wait, and no alert is sent"
    raised = [record.msg for record in caplog.records if record.name == "supervisor"]
    assert [one["name"] for one in raised if one["event"] == "condition raised"] == ["event_log_stuck"]
    line.does("stage.waiting = stage.waiting_since_mono_ns = 0")
    line.until(lambda: not line.supervisor.conditions, within_s=3.0)


@pytest.mark.slow
def test_an_event_log_that_is_stuck_stays_reported_while_its_process_is_killed_and_restarted(line):
    line.does("import time; stage.waiting, stage.waiting_since_mono_ns = 16, time.monotonic_ns() - 10**9")
    line.supervisor.start()
    line.until(lambda: line.reported(ConditionKind.EVENT_LOG_STUCK) is not None)
    raised = line.reported(ConditionKind.EVENT_LOG_STUCK)
    while_down: list[ActiveCondition | None] = []

    def is_restarted() -> bool:
        if not line.gate.running:
            while_down.append(line.reported(ConditionKind.EVENT_LOG_STUCK))
        return line.gate.running and line.gate.restarts == 1

    assert line.gate.process is not None
    line.gate.process.kill()
    line.until(is_restarted)
    assert len(while_down) > 2
    assert {one and one.since_utc_ns for one in while_down} == {raised and raised.since_utc_ns}
