"""Whatever fails on a scripted line, each of its parts is counted once and has one verdict, which is true.

STREAM_INSPECT_SOAK_PARTS=10000 STREAM_INSPECT_SOAK_SEED=0 pytest -m soak tests/scripted_line/test_in_process.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stream_inspect.messages import Verdict
from tests.scripted_line.account import complaints, summary, unseen
from tests.scripted_line.in_process import NO_FAILURES, Failures, InProcess
from tests.scripted_line.script import Script

PARTS = int(os.environ.get("STREAM_INSPECT_SOAK_PARTS", "10000"))
SEED = int(os.environ.get("STREAM_INSPECT_SOAK_SEED", "0"))


def failures(folder: Path, seed: int, parts: int, failing: Failures, odometer: str) -> list[str]:
    """All that was not as it has to be, in the run of this seed."""
    script = Script(seed, parts)
    history = InProcess(script, failing, folder, odometer=odometer, seed=seed).run()
    truth, counted = history.truth(script), history.counted()
    print(f"seed {seed}, {odometer}: {summary(counted)}; not counted: {unseen(truth, counted)}")
    changed = [f"another verdict was sent: {before}, then {after}" for before, after in history.changed]
    return [*history.sums, *changed, *complaints(truth, counted)]


def test_every_part_of_a_line_on_which_nothing_fails_is_decided(tmp_path: Path) -> None:
    script = Script(1, 60)
    history = InProcess(script, NO_FAILURES, tmp_path).run()
    assert list(complaints(history.truth(script), history.counted())) == []
    defective = {True: Verdict.FAIL, False: Verdict.PASS}
    assert sorted(one.verdict for one in history.counted()) == sorted(
        defective[part.defective] for part in script.parts
    )


@pytest.mark.parametrize("odometer", ["picture", "encoder"])
def test_whatever_fails_on_a_line_its_parts_are_accounted_for(tmp_path: Path, odometer: str) -> None:
    assert failures(tmp_path, SEED, 250, Failures(kills={"inspect": 2, "track": 3}), odometer) == []
