"""Frames that are not accounted for are reported, with the camera and how many, and a camera that is stuck is found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_inspect.messages import ActiveCondition, ConditionKind
from stream_inspect.service.health import health
from stream_inspect.service.judging import stuck_after_s
from stream_inspect.service.residual import ResidualWatch
from stream_inspect.service.run_dir import RunDir, ledger_path
from stream_inspect.service.supervisor import WATCH_EVERY_S, Supervisor
from stream_inspect.transport.ledger import _COUNTERS, Ledger, Totals
from tests.service import made_up

CAPTURE = 1000
"""An owner that the supervisor does not give to a process of its own."""
LOOK_S = 0.1


class Starting:
    """A process that is not there yet: what a supervisor does without any."""

    pid = 1

    def poll(self) -> None:
        pass

    def kill(self) -> None:
        pass

    def wait(self, timeout: float) -> int:
        return 0


@pytest.fixture
def run_dir(tmp_path: Path, short_dir: Path) -> Iterator[RunDir]:
    with RunDir(short_dir, tmp_path / "state") as run:
        yield run


@pytest.fixture
def supervisor(tmp_path: Path, run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """With the account of the camera `top`, and without processes."""
    monkeypatch.setattr(Supervisor, "_spawn", lambda *_: Starting())
    supervisor = Supervisor(made_up.config_of(tmp_path), run_dir)
    yield supervisor
    supervisor.kill()


def unaccounted(supervisor: Supervisor) -> list[ActiveCondition]:
    supervisor.watch()
    return [one for one in supervisor.conditions if one.kind is ConditionKind.UNACCOUNTED]


def seconds_until(condition: Callable[[], object]) -> float:
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < 5
        time.sleep(WATCH_EVERY_S)
    return time.monotonic() - began_s


def test_a_frame_that_is_not_accounted_for_is_a_condition_within_three_seconds(supervisor, run_dir):
    ledger = Ledger.attach(ledger_path(run_dir.path))
    for _ in range(4):
        ledger.camera("top").captured(CAPTURE)
    assert unaccounted(supervisor) == []
    cells = ledger.words["top"][_COUNTERS:]
    cells[2] = cells[1]  # as if another frame's cell had been stored over it
    assert 1.0 <= seconds_until(lambda: unaccounted(supervisor)) <= 3.0
    (condition,) = unaccounted(supervisor)
    assert condition.camera == "top"
    assert condition.detail.startswith("1 frame is not accounted for, of 4 captured")


@pytest.mark.parametrize(
    ("residual", "said"),
    [
        (1, "1 frame is not accounted for"),
        (3, "3 frames are not accounted for"),
        (-2, "2 frames are accounted for twice"),
    ],
)
def test_a_residual_is_said_in_words_after_ten_looks(residual, said):
    watch, now_s = ResidualWatch(), 100.0
    assert watch.update(Totals(captured=8), now_s) == ""
    details = []
    for _ in range(20):
        now_s += LOOK_S
        details.append(watch.update(Totals(captured=9, residual=residual), now_s))
    assert 9 <= details.count("") <= 11
    assert details[-1].startswith(f"{said}, of 9 captured")
    assert watch.update(Totals(captured=9), now_s) == ""


def test_a_residual_of_a_moment_is_not_reported():
    watch, now_s = ResidualWatch(), 100.0
    for look in range(100):
        now_s += LOOK_S
        assert watch.update(Totals(captured=9, residual=int(look % 5 == 0)), now_s) == ""


@pytest.mark.parametrize(
    ("expected_hz", "no_signal_after_s", "longest_batch_s", "limit_s"),
    [(8.0, 1.5, 0.1, 10.0), (0.05, 1.5, 0.1, 100.0), (8.0, 600.0, 0.1, 600.0), (8.0, 1.5, 30.0, 90.0)],
    ids=["fast", "slow", "triggered", "full-size models on a CPU"],
)
def test_how_long_a_camera_may_be_without_a_frame_follows_from_its_rate(
    expected_hz, no_signal_after_s, longest_batch_s, limit_s
):
    assert stuck_after_s(expected_hz, no_signal_after_s, longest_batch_s) == pytest.approx(limit_s)


def test_the_limit_of_a_camera_is_in_its_health(supervisor, monkeypatch):
    supervisor.watch()
    monkeypatch.setattr(Supervisor, "ages_s", lambda *_: (0.1, 9.0))
    assert health(supervisor)["stuck"] == []
    monkeypatch.setattr(Supervisor, "ages_s", lambda *_: (0.1, 11.0))
    assert health(supervisor)["stuck"] == ["top"]
