"""PROCESS_DOWN: when a process counts as down, and what is said of it."""

from __future__ import annotations

import pytest

from stream_inspect.service.process_down import (
    DOWN_AFTER_S,
    OFTEN,
    OFTEN_WITHIN_S,
    STEADY_AFTER_S,
    Failures,
    absent_detail,
    unresponsive_detail,
)


def failed(times: int, every_s: float = 1.0, cause: str = "it broke") -> Failures:
    """A process that failed so often, the last time at 0 s."""
    failures = Failures()
    for number in range(times):
        failures.failed((number - times + 1) * every_s, cause)
    return failures


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("times", [2, 3, 100])
def test_a_process_that_fails_again_and_again_is_down_for_a_reason_also_while_it_runs_for_a_moment(times, running):
    detail = failed(times, cause="TypeError: no bool").detail("capture.top", 0.1, running=running)
    assert detail == f"capture.top has failed {times} times in a row: TypeError: no bool"


def test_the_last_reason_is_the_one_that_is_reported():
    failures = failed(2, cause="an earlier one")
    failures.failed(1.0, "disk full")
    assert failures.detail("recorder", 1.0, running=False) == "recorder has failed 3 times in a row: disk full"


@pytest.mark.parametrize(
    ("times", "since_s", "running", "down"),
    [
        (0, 2 * DOWN_AFTER_S, False, False),  # it has never run yet: it is starting
        (1, DOWN_AFTER_S - 0.1, False, False),
        (1, DOWN_AFTER_S + 0.1, False, True),
        (1, DOWN_AFTER_S + 0.1, True, False),
    ],
)
def test_a_process_that_failed_once_is_down_when_it_takes_long_to_come_back(times, since_s, running, down):
    assert bool(failed(times).detail("inspect.0", since_s, running=running)) is down


def test_a_row_of_failures_ends_when_the_process_has_run_steadily():
    failures = failed(3)
    assert not failures.ran(STEADY_AFTER_S)
    assert failures.detail("live", STEADY_AFTER_S, running=True)
    assert failures.ran(STEADY_AFTER_S + 0.1)
    assert failures.detail("live", STEADY_AFTER_S + 0.1, running=True) == ""
    assert failures.in_a_row == 0
    assert not failures.ran(STEADY_AFTER_S + 0.2), "reported once"


def test_a_process_that_runs_for_two_minutes_each_time_is_in_a_crash_loop_too():
    failures = Failures()
    for number in range(OFTEN):
        assert failures.detail("inspect.0", number * 120.0, running=True) == ""
        failures.failed(number * 120.0, "killed by SIGKILL")
        failures.ran(119.0)
    last_s = (OFTEN - 1) * 120.0
    said = failures.detail("inspect.0", last_s + 60, running=True)
    assert said == "inspect.0 has failed 4 times within 10 min: killed by SIGKILL"
    assert failures.detail("inspect.0", OFTEN_WITHIN_S + 1, running=True) == ""


@pytest.mark.parametrize(("absent_s", "down"), [(0.0, False), (DOWN_AFTER_S - 0.1, False), (DOWN_AFTER_S + 0.1, True)])
def test_a_process_of_the_line_is_down_when_it_has_been_absent_for_long(absent_s, down):
    assert bool(absent_detail("gate", absent_s)) is down


@pytest.mark.parametrize(
    ("silence_s", "limit_s", "down"),
    [(0.1, 10, False), (2.9, 10, False), (3.1, 10, True), (59, 120, False), (61, 120, True), (6, 11, True)],
)
def test_a_process_that_gives_no_heartbeat_is_down_before_it_is_killed_for_it(silence_s, limit_s, down):
    assert bool(unresponsive_detail("track", silence_s, limit_s)) is down
