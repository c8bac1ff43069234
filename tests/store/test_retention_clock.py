"""What is removed by age: nothing because of a clock that was wrong for less than a day, and everything in the end."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_inspect.store.retention_clock import DAY_S, RetentionClock
from tests.properties import examples

HOUR_S = 3600.0
START_S = 1.8e9


class Machine:
    """A computer with a wall clock that may be wrong, on which a program calls the retention clock each hour."""

    def __init__(self, folder: Path, newest_s: float | None = START_S) -> None:
        self.path = folder / "media.clock"
        self.newest_s = newest_s
        self.true_s, self.wrong_by_s, self.running_s = START_S, 0.0, 0.0
        self.restart()

    def restart(self) -> None:
        self._clock = RetentionClock(
            self.path,
            lambda: self.newest_s,
            wall_s=lambda: self.true_s + self.wrong_by_s,
            running_s=lambda: self.running_s,
        )

    def run(self, hours: int) -> list[float]:
        """How far the retention clock is ahead of the true time, hour by hour, in s."""
        ahead = [self._clock.now_s() - self.true_s]
        for _ in range(hours):
            self.true_s += HOUR_S
            self.running_s += HOUR_S
            ahead.append(self._clock.now_s() - self.true_s)
        return ahead

    def switch_off(self, days: float) -> None:
        self.true_s += days * DAY_S
        self.running_s = 0.0
        self.restart()

    def sleep(self, days: float) -> None:
        """A suspension, which the running time counts."""
        self.true_s += days * DAY_S
        self.running_s += days * DAY_S


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_clock_that_is_right_is_followed(machine: Machine) -> None:
    assert set(machine.run(100)) == {0.0}
    machine.restart()
    assert set(machine.run(100)) == {0.0}


@pytest.mark.parametrize("days", [-20_000, -40, 2, 40, 20_000])
def test_a_clock_that_is_set_wrong_ages_nothing_until_it_has_run_a_day(machine: Machine, days: int) -> None:
    machine.run(5)
    machine.wrong_by_s = days * DAY_S
    assert max(machine.run(22)) <= 0.0, "what was kept is no older than before"
    machine.wrong_by_s = 0.0
    assert set(machine.run(30)) == {0.0}, "set right, it is followed at once"


@pytest.mark.parametrize("days", [-40, 40])
def test_after_a_day_the_other_reading_is_accepted(machine: Machine, days: int) -> None:
    machine.run(5)
    machine.wrong_by_s = days * DAY_S
    assert machine.run(25)[-1] == days * DAY_S


def test_a_restart_while_the_clock_is_wrong_does_not_make_it_right(machine: Machine) -> None:
    machine.run(5)
    machine.wrong_by_s = 40 * DAY_S
    machine.run(1)
    machine.newest_s = machine.true_s + machine.wrong_by_s  # a clip has been written meanwhile
    machine.restart()
    assert max(machine.run(10)) <= 0.0


def test_a_machine_that_was_off_for_a_month_removes_after_a_day(machine: Machine) -> None:
    machine.run(5)
    machine.switch_off(days=30)
    ahead = machine.run(30)
    assert ahead[:24] != [0.0] * 24
    assert ahead[25:] == [0.0] * 6


def test_a_machine_that_is_off_each_night_and_each_weekend_removes_after_a_day_of_running(machine: Machine) -> None:
    machine.run(8)
    ahead = []
    for off_days in (64 / 24, 16 / 24, 16 / 24, 16 / 24):
        machine.switch_off(off_days)
        ahead.append(machine.run(8)[-1])
    assert ahead[0] < 0
    assert ahead[-1] == 0.0


def test_a_suspension_is_no_jump(machine: Machine) -> None:
    machine.run(5)
    machine.sleep(days=30)
    assert set(machine.run(5)) == {0.0}


@pytest.mark.parametrize("newest_s", [None, START_S - HOUR_S, START_S + 9 * DAY_S])
def test_without_a_file_a_clock_that_agrees_with_what_is_kept_is_followed(
    tmp_path: Path, newest_s: float | None
) -> None:
    assert set(Machine(tmp_path, newest_s).run(5)) == {0.0}


def test_without_a_file_a_clock_far_ahead_of_what_is_kept_is_doubted(tmp_path: Path) -> None:
    machine = Machine(tmp_path, newest_s=START_S)
    machine.wrong_by_s = 40 * DAY_S
    assert max(machine.run(20)) <= 0.0


@pytest.mark.parametrize("content", [b"", b"{", b'{"accepted_s": "soon"}'])
def test_a_damaged_file_counts_as_none(machine: Machine, content: bytes) -> None:
    machine.run(1)
    machine.path.write_bytes(content)
    machine.restart()
    assert set(machine.run(3)) == {0.0}


def test_a_folder_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "missing")
    machine.run(5)
    machine.wrong_by_s = 40 * DAY_S
    assert max(machine.run(20)) <= 0.0
    assert machine.run(5)[-1] == 40 * DAY_S


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(1, 40)),
        st.tuples(st.just("wrong"), st.sampled_from([-20_000, -40, 3, 40]), st.integers(1, 22)),
        st.tuples(st.just("off"), st.floats(0, 60)),
        st.tuples(st.just("sleep"), st.floats(0, 60)),
        st.tuples(st.just("restart")),
    ),
    max_size=12,
)


@settings(max_examples=examples(300), deadline=None)
@given(steps=STEPS)
def test_whatever_happens_nothing_is_removed_early_and_a_day_later_all_that_is_too_old(
    steps: Sequence[tuple[str, float] | tuple[str, float, int] | tuple[str]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        machine.run(1)
        for step in steps:
            match step:
                case ("run", hours):
                    assert max(machine.run(int(hours))) <= 0.0
                case ("wrong", days, hours):
                    machine.wrong_by_s = days * DAY_S
                    assert max(machine.run(int(hours))) <= 0.0
                    machine.wrong_by_s = 0.0
                    machine.run(1)
                case ("off", days):
                    machine.switch_off(days)
                case ("sleep", days):
                    machine.sleep(days)
                case ("restart",):
                    machine.restart()
        assert machine.run(26)[-1] == 0.0
