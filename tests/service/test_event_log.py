"""An event log that cannot be written is reported, whatever happens to the process that writes it meanwhile."""

from __future__ import annotations

import pytest

from stream_inspect.service.event_log import EventLogWatch

LOOK_S = 0.1


class Log:
    """An event log in fast motion: what is said of it, from 100 s on."""

    def __init__(self) -> None:
        self.watch = EventLogWatch()
        self.now_s = 100.0

    def run(self, seconds: float, waiting: int, since_s: float = 0.0, *, runs_since_s: float | None = 0.0) -> list[str]:
        """What is said in each look of that time."""
        said = []
        for _ in range(round(seconds / LOOK_S)):
            self.now_s += LOOK_S
            running_s = None if runs_since_s is None else self.now_s - runs_since_s
            said.append(self.watch.update(waiting, since_s, self.now_s, running_s))
        return said


def test_a_log_that_takes_nothing_for_a_second_while_events_wait_is_reported_until_none_wait():
    log = Log()
    assert set(log.run(5, waiting=0)) == {""}
    said = log.run(3, waiting=16, since_s=log.now_s)
    assert said.index(next(filter(None, said))) * LOOK_S == pytest.approx(1.0, abs=0.11)
    assert said[-1] == "the event log has not been writable for 3 s; 16 events wait, and no alert is sent"
    assert log.run(0.1, waiting=0) == [""]


def test_a_log_that_takes_events_is_not_stuck_however_many_wait():
    log = Log()
    for _ in range(20):
        assert set(log.run(0.5, waiting=5000, since_s=log.now_s)) == {""}


def test_a_process_that_is_killed_after_half_a_second_does_not_hide_the_outage_while_it_is_restarted():
    log = Log()
    log.run(0.5, waiting=1, since_s=log.now_s)
    said = log.run(2, waiting=0, runs_since_s=None)
    assert said[-1].startswith("the event log has not been writable for 2 s; 1 event waits")
    assert sum(not one for one in said) * LOOK_S <= 0.6


def test_the_report_holds_until_the_next_process_knows_whether_the_log_takes_what_waits():
    log = Log()
    log.run(3, waiting=4, since_s=log.now_s)
    assert all(log.run(6, waiting=0, runs_since_s=None)), "it is down, and then starts"
    assert all(log.run(3, waiting=5, since_s=log.now_s - 0.2, runs_since_s=log.now_s)), "no gap"
    assert log.run(0.1, waiting=0) == [""]


def test_a_process_that_finds_the_log_writable_ends_the_report_at_once():
    log = Log()
    log.run(3, waiting=4, since_s=log.now_s)
    log.run(2, waiting=0, runs_since_s=None)
    assert log.run(0.1, waiting=0, runs_since_s=log.now_s) == [""]


def test_a_log_that_is_stuck_from_the_first_start_on_is_reported_though_its_process_never_runs_for_a_second():
    log = Log()
    said = []
    for _ in range(5):
        said += log.run(0.5, waiting=1, since_s=log.now_s, runs_since_s=log.now_s)
        said += log.run(1.5, waiting=0, runs_since_s=None)
    assert all(said[12:])
