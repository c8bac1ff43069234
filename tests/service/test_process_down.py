"""PROCESS_DOWN: when a process counts as down, and that each is a source of its own."""

from __future__ import annotations

import pytest

from stream_inspect.messages import AnyMessage, Condition, ConditionKind
from stream_inspect.service.process_down import DOWN_AFTER_FAILURES, DOWN_AFTER_S, DownReport


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
    sent = Sent()
    DownReport(sent).update({"inspect.0": (failures, not_running_s)})
    (condition,) = sent.conditions
    assert (condition.kind, condition.active, condition.camera) == (ConditionKind.PROCESS_DOWN, down, "")
    assert bool(condition.detail) is down


def test_each_process_is_a_source_of_its_own_and_a_change_is_reported_at_once():
    sent = Sent()
    report = DownReport(sent)
    report.update({"track": (0, 0.0), "live": (0, 0.0)})
    report.update({"track": (0, 0.0), "live": (2, 0.3)})
    report.update({"track": (0, 0.0), "live": (2, 0.4)})
    assert [(one.source, one.active) for one in sent.conditions] == [("track", False), ("live", False), ("live", True)]
    assert sent.conditions[-1].detail == "live has failed 2 times in a row"
