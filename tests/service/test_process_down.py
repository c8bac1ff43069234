"""PROCESS_DOWN: when a process counts as down, and what is said of it."""

from __future__ import annotations

import pytest

from stream_inspect.service.process_down import DOWN_AFTER_FAILURES, DOWN_AFTER_S, down_detail, unresponsive_detail


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
