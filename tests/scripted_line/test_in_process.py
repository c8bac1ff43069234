"""Whatever fails on a scripted line, each of its parts is counted once and has one verdict, which is true.

STREAM_INSPECT_SOAK_PARTS=10000 STREAM_INSPECT_SOAK_SEED=0 pytest -m soak tests/scripted_line/test_in_process.py
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from stream_inspect.messages import Reason, Verdict
from tests.scripted_line.account import Counted, Truth, complaints, summary, unseen
from tests.scripted_line.in_process import NO_FAILURES, Failures, InProcess
from tests.scripted_line.script import Script

PARTS = int(os.environ.get("STREAM_INSPECT_SOAK_PARTS", "10000"))
SEED = int(os.environ.get("STREAM_INSPECT_SOAK_SEED", "0"))
AT_ONCE = 250
"""Parts of one script: longer ones find nothing more, and a seed repeats them sooner."""
KILLS = {"inspect": 2, "track": 3, "capture": 2, "service": 1}


def failures(folder: Path, seed: int, odometer: str) -> list[str]:
    """All that was not as it has to be, in the run of this seed."""
    folder.mkdir()
    script = Script(seed, AT_ONCE)
    history = InProcess(script, Failures(kills=KILLS), folder, odometer=odometer, seed=seed).run()
    truth, counted = history.truth(script), history.counted()
    print(f"seed {seed}, {odometer}: {summary(counted)}; not counted: {unseen(truth, counted)}")
    changed = [f"another verdict was sent: {before}, then {after}" for before, after in history.changed]
    return [f"seed {seed}: {one}" for one in [*history.sums, *changed, *complaints(truth, counted)]]


@pytest.mark.slow
@pytest.mark.parametrize("odometer", ["picture", "encoder"])
def test_whatever_fails_on_a_line_its_parts_are_accounted_for(tmp_path: Path, odometer: str) -> None:
    assert failures(tmp_path / "records", SEED, odometer) == []


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "odometer"), [(54, "encoder"), (57, "picture")])
def test_seeds_that_found_a_fault_stay_good(tmp_path: Path, seed: int, odometer: str) -> None:
    """54: a part passed with a defect in each view. 57: a good part failed by a result from before an outage."""
    assert failures(tmp_path / "records", seed, odometer) == []


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("odometer", ["picture", "encoder"])
def test_ten_thousand_parts(tmp_path: Path, odometer: str) -> None:
    seeds = range(SEED, SEED + PARTS // AT_ONCE)
    assert [one for seed in seeds for one in failures(tmp_path / str(seed), seed, odometer)] == []


# --- what is found ---


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Truth, list[Counted]]:
    """A line on which nothing fails."""
    script = Script(1, 40)
    history = InProcess(script, NO_FAILURES, tmp_path_factory.mktemp("records")).run()
    return history.truth(script), history.counted()


def test_every_part_of_a_line_on_which_nothing_fails_is_decided(calm: tuple[Truth, list[Counted]]) -> None:
    truth, counted = calm
    assert list(complaints(truth, counted)) == []
    failed = sum(one.verdict is Verdict.FAIL for one in counted)
    assert (len(counted), failed) == (40, sum(part.defective for part in truth.script.parts))
    assert failed > 0


def test_a_part_that_is_lost_is_found_missing(calm: tuple[Truth, list[Counted]]) -> None:
    truth, counted = calm
    assert "lost" in next(complaints(truth, counted[1:]))


def test_a_part_that_is_counted_twice_is_found(calm: tuple[Truth, list[Counted]]) -> None:
    truth, counted = calm
    assert "counted 2 times" in next(complaints(truth, [*counted, replace(counted[5], id=(1, 99))]))


def test_a_part_that_never_was_is_found(calm: tuple[Truth, list[Counted]]) -> None:
    truth, counted = calm
    assert "never on the line" in next(complaints(truth, [*counted, replace(counted[5], centre_mm=100.0)]))


@pytest.mark.parametrize(
    ("was", "instead", "complaint"),
    [
        (Verdict.FAIL, Verdict.PASS, "is defective and passed"),
        (Verdict.PASS, Verdict.FAIL, "is good and failed"),
        (Verdict.PASS, Verdict.UNDECIDED, "which nothing explains"),
    ],
)
def test_a_wrong_verdict_is_found(
    calm: tuple[Truth, list[Counted]], was: Verdict, instead: Verdict, complaint: str
) -> None:
    truth, counted = calm
    wrong = next(one for one in counted if one.verdict is was)
    changed = [replace(one, verdict=instead, reason=Reason.NOT_JUDGED) if one is wrong else one for one in counted]
    (found,) = complaints(truth, changed)
    assert complaint in found


def test_a_part_that_passed_with_too_few_views_is_found(calm: tuple[Truth, list[Counted]]) -> None:
    truth, counted = calm
    found = list(complaints(replace(truth, views_needed=100), counted))
    assert len(found) == sum(one.verdict is Verdict.PASS for one in counted)
    assert all("passed with" in one for one in found)
