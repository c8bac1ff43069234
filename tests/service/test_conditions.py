"""The supervisor's list of active conditions: its own and those of every process, on real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from stream_inspect import log
from stream_inspect.levels import Levels
from stream_inspect.messages import CONDITION_REPEAT_S, AnyMessage, Condition, ConditionKind, LineStatus
from stream_inspect.service import conditions as conditions_module
from stream_inspect.service.conditions import SupervisorConditions
from stream_inspect.transport.zmq import ZmqChannels

WRITERS = {"conditions": ["main", "capture.top", "alerts"], "status": ["main"]}


class Line:
    """The supervisor's conditions, the processes that report some, and one that reads all."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        names = ("main", "track", "capture.top", "alerts")
        channels = {name: stack.enter_context(closing(ZmqChannels(folder, name, WRITERS))) for name in names}
        self.supervisor, self.reader = SupervisorConditions(channels["main"]), channels["track"]
        for topic in WRITERS:
            self.reader.subscribe(topic)
        self.levels = {"capture.top": Levels("capture.top"), "alerts": Levels("mqtt")}
        self._channels = channels
        self.heard: list[AnyMessage] = []
        self.working = {"capture.top", "alerts", "track"}

    def report(self, process: str, kind: ConditionKind, detail: str, camera: str = "") -> None:
        """This process reports a level, until its next one."""
        self.levels[process].set(kind, bool(detail), detail, camera=camera)

    def turn(self, *, are_read: bool = True, are_recorded: bool = True) -> None:
        for process, levels in self.levels.items():
            for output in levels.due(time.monotonic_ns()):
                self._channels[process].send(output.topic, output.message)
        self.supervisor.receive(self.working)
        self.supervisor.send(are_read=are_read, are_recorded=are_recorded)
        self.supervisor.send_status("degraded" if self.supervisor.active else "ok")
        self.heard += self.reader.receive(0.01)

    def until(self, condition: Callable[[], bool], what: str, **turn: bool) -> float:
        """Seconds until the condition is fulfilled."""
        began_s = time.monotonic()
        while not condition():
            assert time.monotonic() - began_s < 5, what
            self.turn(**turn)
        return time.monotonic() - began_s

    def active(self) -> set[tuple[str, str, str]]:
        return {(str(one.kind), one.camera, one.source) for one in self.supervisor.active}


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """Ten times as fast as the real one."""
    for module in ("stream_inspect.levels", "stream_inspect.service.conditions"):
        monkeypatch.setattr(f"{module}.CONDITION_REPEAT_S", CONDITION_REPEAT_S / 10)
    monkeypatch.setattr(conditions_module, "_LAPSES_AFTER_S", CONDITION_REPEAT_S / 2)
    monkeypatch.setattr(conditions_module, "_READ_AFTER_S", 0.3)
    log.configure("info", "json", process="supervisor")
    with ExitStack() as stack:
        yield Line(tmp_path, stack)


def test_the_list_has_what_the_supervisor_knows_and_what_every_process_reports(line):
    line.report("capture.top", ConditionKind.FROZEN, "the picture stands still", camera="top")
    line.report("alerts", ConditionKind.OUTPUT_FAILING, "mqtt: connection refused; 16 events wait")
    line.supervisor.set(ConditionKind.NOT_JUDGED, "0 of 24 due frames", source="supervisor", camera="top")
    expected = {("frozen", "top", "capture.top"), ("output_failing", "", "mqtt"), ("not_judged", "top", "supervisor")}
    line.until(lambda: line.active() == expected, "all three")
    assert [one.since_utc_ns for one in line.supervisor.active] == sorted(
        one.since_utc_ns for one in line.supervisor.active
    )
    line.report("capture.top", ConditionKind.FROZEN, "", camera="top")
    line.report("alerts", ConditionKind.OUTPUT_FAILING, "")
    line.supervisor.set(ConditionKind.NOT_JUDGED, "", source="supervisor", camera="top")
    line.until(lambda: line.active() == set(), "none")


def test_the_status_that_is_broadcast_lists_the_same_ones_at_once(line):
    line.until(lambda: any(isinstance(one, LineStatus) for one in line.heard), "a first status")
    line.report("capture.top", ConditionKind.BLACK, "the picture is black", camera="top")

    def listed() -> bool:
        last = [one for one in line.heard if isinstance(one, LineStatus)][-1]
        return last.state == "degraded" and last.conditions == line.supervisor.active

    line.until(listed, "the black picture in the status")
    assert [one.kind for one in line.supervisor.active] == [ConditionKind.BLACK]


def test_a_condition_holds_while_its_process_is_down_and_lapses_when_the_restarted_one_does_not_know_it(line):
    line.report("capture.top", ConditionKind.FROZEN, "the picture stands still", camera="top")
    line.until(lambda: bool(line.active()), "the frozen picture")
    line.levels["capture.top"] = Levels("capture.top")
    line.working -= {"capture.top"}
    end_s = time.monotonic() + 2
    while time.monotonic() < end_s:
        line.turn()
    assert line.active() == {("frozen", "top", "capture.top")}
    line.working |= {"capture.top"}
    lapsed_s = line.until(lambda: not line.active(), "lapsed")
    assert lapsed_s >= 0.9, "a restarted process may take as long until it knows"


def test_each_process_is_a_source_of_its_own_and_a_change_is_reported_at_once(line):
    reported = "live has failed 2 times in a row"
    for live in ("", reported, reported):
        line.supervisor.set(ConditionKind.PROCESS_DOWN, "", source="track")
        line.supervisor.set(ConditionKind.PROCESS_DOWN, live, source="live")
        line.until(lambda live=live: heard(line, "live") == bool(live), "the level of live")
    assert heard(line, "track") is False
    assert [(one.source, one.detail) for one in line.supervisor.active] == [("live", reported)]


def heard(line: Line, source: str) -> bool | None:
    """How the last level of this source that was heard stands."""
    levels = [one.active for one in line.heard if isinstance(one, Condition) and one.source == source]
    return levels[-1] if levels else None


def test_what_was_raised_while_track_was_down_stays_until_track_has_heard_of_it(line):
    """Otherwise the outage of the one process that makes events would be in no record."""
    line.until(lambda: heard_status(line), "the reader connected")
    line.heard.clear()
    line.supervisor.set(ConditionKind.PROCESS_DOWN, "track has failed 2 times in a row", source="track")
    line.supervisor.send(are_read=False, are_recorded=False)
    while line.reader.receive(0.1):
        pass  # what a process that is down is sent, is lost
    line.supervisor.set(ConditionKind.PROCESS_DOWN, "", source="track")
    assert line.active() == {("process_down", "", "track")}

    def cleared() -> bool:
        line.supervisor.set(ConditionKind.PROCESS_DOWN, "", source="track")
        return not line.active()

    assert line.until(cleared, "cleared") < 3
    line.until(lambda: heard(line, "track") is False, "the end heard")
    assert [one.active for one in line.heard if isinstance(one, Condition)][:1] == [True]


def heard_status(line: Line) -> bool:
    return any(isinstance(one, LineStatus) for one in line.heard)


def test_while_no_event_is_recorded_the_log_has_what_would_be_one_whatever_its_source(line, caplog):
    line.supervisor.set(ConditionKind.NOT_JUDGED, "a", source="supervisor", camera="top")
    line.turn()
    line.report("capture.top", ConditionKind.FROZEN, "the picture stands still", camera="top")
    line.until(lambda: len(line.active()) == 2, "both", are_recorded=False)
    line.turn(are_recorded=False)
    line.supervisor.set(ConditionKind.NOT_JUDGED, "", source="supervisor", camera="top")
    line.turn()
    lines = [record.msg for record in caplog.records if record.name == "supervisor"]
    assert [(one["event"], one["name"]) for one in lines] == [
        ("condition raised", "not_judged"),
        ("condition raised", "frozen"),
        ("condition cleared", "not_judged"),
    ]
