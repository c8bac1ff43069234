"""PROCESS_DOWN: when a process counts as down, and that each is a source of its own."""

from __future__ import annotations

import pytest

from stream_inspect import log
from stream_inspect.messages import AnyMessage, Condition, ConditionKind
from stream_inspect.service.conditions import SupervisorConditions
from stream_inspect.service.process_down import DOWN_AFTER_FAILURES, DOWN_AFTER_S, down_detail, unresponsive_detail


class Sent:
    """Channels that keep what is sent."""

    def __init__(self) -> None:
        self.conditions: list[Condition] = []

    def subscribe(self, topic: str, key: str = "") -> None:
        raise AssertionError("the supervisor reads nothing")

    def send(self, topic: str, message: AnyMessage, key: str = "") -> bool:
        assert topic == "conditions"
        assert isinstance(message, Condition)
        self.conditions.append(message)
        return True

    def receive(self, timeout_s: float, wake_fd: int | None = None) -> list[AnyMessage]:
        raise AssertionError("the supervisor reads nothing")

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("failures", "not_running_s", "down"),
    [
        (0, 0.0, False),
        (0, 2 * DOWN_AFTER_S, False),  # it has never run yet: it is starting
        (1, DOWN_AFTER_S - 0.1, False),
        (1, DOWN_AFTER_S + 0.1, True),
        (DOWN_AFTER_FAILURES, 0.0, True),
    ],
)
def test_a_process_is_down_after_failing_twice_or_not_running_for_long(failures, not_running_s, down):
    assert bool(down_detail("inspect.0", failures, not_running_s)) is down


@pytest.mark.parametrize(
    ("silence_s", "limit_s", "down"), [(0.1, 10, False), (4.9, 10, False), (5.1, 10, True), (59, 120, False)]
)
def test_a_process_that_gives_no_heartbeat_is_down_before_it_is_killed_for_it(silence_s, limit_s, down):
    assert bool(unresponsive_detail("track", silence_s, limit_s)) is down


def test_each_process_is_a_source_of_its_own_and_a_change_is_reported_at_once():
    sent = Sent()
    conditions = SupervisorConditions(sent)
    for live in ("", "live has failed 2 times in a row", "live has failed 2 times in a row"):
        conditions.set(ConditionKind.PROCESS_DOWN, "", source="track")
        conditions.set(ConditionKind.PROCESS_DOWN, live, source="live")
        conditions.send(are_read=True)
    assert [(one.source, one.active) for one in sent.conditions] == [("track", False), ("live", False), ("live", True)]
    assert sent.conditions[-1].detail == "live has failed 2 times in a row"
    assert [(one.source, one.detail) for one in conditions.active] == [("live", "live has failed 2 times in a row")]


def test_while_track_is_down_the_log_has_what_would_be_an_event(capfd):
    log.configure("info", "json", process="supervisor")
    conditions = SupervisorConditions(Sent())
    for are_read, detail in ((True, "a"), (False, "a"), (False, "a"), (True, ""), (True, "")):
        conditions.set(ConditionKind.NOT_JUDGED, detail, source="supervisor", camera="top")
        conditions.send(are_read=are_read)
    lines = [line for line in capfd.readouterr().err.splitlines() if "condition" in line]
    assert len(lines) == 2, lines
    assert "condition raised" in lines[0]
    assert "not_judged" in lines[0]
    assert "condition cleared" in lines[1]
