"""The real service over a scripted line, while its processes are killed: each part is counted and has one verdict.

STREAM_INSPECT_SOAK_PARTS=10000 STREAM_INSPECT_SOAK_SEED=0 pytest -m soak tests/scripted_line/test_service.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.scripted_line.account import complaints, summary, unseen
from tests.scripted_line.service_run import Failures, ServiceRun

PARTS = int(os.environ.get("STREAM_INSPECT_SOAK_PARTS", "10000"))
SEED = int(os.environ.get("STREAM_INSPECT_SOAK_SEED", "0"))


def run(folder: Path, seed: int, parts: int, failures: Failures, odometer: str) -> list[str]:
    """All that was not as it has to be."""
    line = ServiceRun(folder, seed, parts, failures, odometer)
    try:
        line.run()
    finally:
        line.close()
    truth, (counted, unplaced) = line.truth(), line.counted()
    print(f"seed {seed}, {odometer}: {summary(counted + unplaced)}; not counted: {unseen(truth, counted)}")
    failed = [f"{one.what} {one.began_s:.1f}-{one.ended_s:.1f}" for one in line.disturbances]
    print(f"{line.looks.count} looks; {failed}; without a place: {unplaced}")
    wrong = [*line.looks.wrong, *complaints(truth, counted)]
    return wrong + (["a traceback in the log"] if "Traceback" in line.logs else [])


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service finds the line's camera and detector as a package's."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path / "site")]))


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_killed_processes_lose_no_part(tmp_path: Path) -> None:
    assert run(tmp_path, SEED, 250, Failures(kills={"inspect": 1, "track": 2}), "picture") == []
