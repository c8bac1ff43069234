"""The real service over a scripted line, while its processes are killed: each part is counted and has one verdict.

    STREAM_INSPECT_SOAK_PARTS=10000 STREAM_INSPECT_SOAK_SEED=0 pytest -m soak tests/scripted_line/test_service.py

What the design does not promise is in `account.py`: a part that passes while nothing looks at the belt is not counted,
and with pictures as the only odometer a part that is in the picture while its camera is lost is counted once more, but
never passes twice.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stream_inspect.messages import Verdict
from tests.scripted_line.account import complaints, summary, unseen
from tests.scripted_line.service_run import Failures, ServiceRun

PARTS = int(os.environ.get("STREAM_INSPECT_SOAK_PARTS", "10000"))
SEED = int(os.environ.get("STREAM_INSPECT_SOAK_SEED", "0"))
FEW = Failures(kills={"inspect": 1, "track": 1, "capture": 1, "service": 1}, outages=1, overloads=2)
MANY = Failures(kills={"inspect": 33, "track": 34, "capture": 33, "service": 20}, outages=40, overloads=80)


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service finds the line's camera and detector as a package's."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path / "site")]))


def run(folder: Path, seed: int, parts: int, failing: Failures, odometer: str) -> list[str]:
    """All that was not as it has to be."""
    line = ServiceRun(folder, seed, parts, failing, odometer)
    try:
        line.run()
    finally:
        line.close()
    truth, (counted, unplaced) = line.truth(), line.counted()
    failed = [f"{one.what} {one.began_s:.1f}-{one.ended_s:.1f}" for one in line.disturbances]
    print(f"seed {seed}, {odometer}: {summary(counted + unplaced)}; not counted: {unseen(truth, counted)}")
    print(f"{line.looks.count} looks; {failed}; without a place: {unplaced}")
    lost = [f"where it came in is not known: {one}" for one in unplaced if one.verdict is Verdict.PASS]
    wrong = [*line.looks.wrong, *lost, *complaints(truth, counted)]
    return wrong + (["a traceback in the log"] if "Traceback" in line.logs else [])


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_killed_processes_lose_no_part(tmp_path: Path) -> None:
    assert run(tmp_path, SEED, 250, FEW, "encoder") == []


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("odometer", ["picture", "encoder"])
def test_ten_thousand_parts(tmp_path: Path, odometer: str) -> None:
    assert run(tmp_path, SEED, PARTS, MANY, odometer) == []
