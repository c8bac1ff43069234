"""Every due frame has a number, and each that is not judged is reported once, whatever dropped it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.capture.due_frames import DueFrames
from stream_inspect.config.models import CameraConfig
from stream_inspect.messages import Missed, Output
from stream_inspect.transport.ledger import CameraLedger, DropCause, Ledger, LedgerKeeper
from tests.capture.harness import CAPTURE_OWNER, WORKER_OWNER, StageHarness
from tests.transport.frames import header

CAMERA = {
    "name": "c1",
    "source": {"kind": "synthetic", "width_px": 320, "height_px": 240},
    "sampling": {"rate_hz": 25},
}


def missed(due: DueFrames) -> list[tuple[int | None, str, str]]:
    found = []
    for output in due.missed():
        assert isinstance(output, Output)
        assert output.topic == "missed"
        assert isinstance(output.message, Missed)
        found.append((output.message.frame.due, output.message.stage, output.message.cause))
    return found


def judge(ledger: CameraLedger, index: int) -> None:
    ledger.sent(index, WORKER_OWNER)
    ledger.taken(index, WORKER_OWNER)
    ledger.judged(index)


def lose(cause: DropCause) -> Callable[[CameraLedger, int], None]:
    def drop(ledger: CameraLedger, index: int) -> None:
        if cause.stage != "capture":
            ledger.sent(index, WORKER_OWNER)
        if cause.stage == "inspect":
            ledger.taken(index, WORKER_OWNER)
        assert ledger.drop(index, cause)

    return drop


CAUSES = [cause for cause in DropCause if cause is not DropCause.CAPTURE_LEDGER_FULL]


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: f"{cause.stage} {cause.cause}")
def test_a_dropped_frame_is_missed_once_and_its_cause_is_the_ledgers(tmp_path: Path, cause: DropCause) -> None:
    ledger = Ledger.create(tmp_path / "ledger", ["c1"], cells=16).camera("c1")
    due = DueFrames(ledger)
    numbered = due.add(header(5, ledger_index=ledger.captured(CAPTURE_OWNER)))
    assert missed(due) == []
    lose(cause)(ledger, numbered.ledger_index)
    assert missed(due) == [(0, cause.stage, cause.cause)]
    assert missed(due) == []


def test_a_frame_that_finds_the_ledger_full_is_missed(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "ledger", ["c1"], cells=2).camera("c1")
    due = DueFrames(ledger)
    for _ in range(3):
        due.add(header(0, ledger_index=ledger.captured(CAPTURE_OWNER)))
    assert missed(due) == [(2, "capture", "ledger_full")]


def test_what_a_dead_worker_had_is_missed_as_soon_as_the_supervisor_has_swept_it(tmp_path: Path) -> None:
    whole = Ledger.create(tmp_path / "ledger", ["c1"], cells=16)
    ledger = whole.camera("c1")
    due = DueFrames(ledger)
    index = due.add(header(0, ledger_index=ledger.captured(CAPTURE_OWNER))).ledger_index
    ledger.sent(index, WORKER_OWNER)
    ledger.taken(index, WORKER_OWNER)
    LedgerKeeper(whole).sweep_owner(WORKER_OWNER)
    assert missed(due) == [(0, "inspect", "died")]


@given(st.lists(st.sampled_from([judge, *map(lose, CAUSES)]), max_size=60), st.randoms())
def test_the_numbers_have_no_gap_and_every_frame_is_judged_or_missed(
    tmp_path_factory: pytest.TempPathFactory, ends: list[Callable[[CameraLedger, int], None]], rng
) -> None:
    """Sessions and runs of the capture process come and go; frames end in any order."""
    ledger = Ledger.create(tmp_path_factory.mktemp("due") / "ledger", ["c1"]).camera("c1")
    due, numbers, lost, open_frames = DueFrames(ledger), [], [], []
    for end in ends:
        numbered = due.add(header(0, ledger_index=ledger.captured(CAPTURE_OWNER)))
        numbers.append(numbered.due)
        open_frames.append((end, numbered))
        rng.shuffle(open_frames)
        while rng.random() < 0.5 and open_frames:
            finish, one = open_frames.pop()
            finish(ledger, one.ledger_index)
            if finish is not judge:
                lost.append(one.due)
        if not open_frames and rng.random() < 0.3:
            assert sorted(number for number, _, _ in missed(due)) == sorted(lost)
            due, lost = DueFrames(ledger), []  # a restarted process
    for finish, one in open_frames:
        finish(ledger, one.ledger_index)
        if finish is not judge:
            lost.append(one.due)
    assert numbers == list(range(len(ends)))
    assert sorted(number for number, _, _ in missed(due)) == sorted(lost)


def test_the_stage_reports_what_its_workers_and_itself_have_dropped(tmp_path: Path) -> None:
    """Superseded here, refused by a full mailbox, overwritten at the worker; one is judged."""
    with StageHarness(CameraConfig.model_validate(CAMERA), tmp_path) as harness:
        harness.run(lambda: len(harness.missed) >= 2)
        assert {(one.stage, one.cause) for one in harness.missed} == {("capture", "superseded")}
        assert [one.frame.due for one in harness.missed] == list(range(len(harness.missed)))

        harness.run(lambda: harness.waiting)
        harness.full_mailboxes.add("due")
        harness.credit()
        harness.full_mailboxes.clear()
        harness.run(lambda: any(one.cause == "mailbox_full" for one in harness.missed))

        harness.run(lambda: harness.waiting)
        harness.credit()
        overwritten = harness.due[-1].header
        harness.account.taken(overwritten.ledger_index, WORKER_OWNER)
        harness.account.drop(overwritten.ledger_index, DropCause.INSPECT_OVERWRITTEN)
        harness.run(lambda: any(one.frame == overwritten for one in harness.missed))

        harness.run(lambda: harness.waiting)
        harness.credit()
        judge(harness.account, harness.due[-1].header.ledger_index)
        harness.run(lambda: len(harness.frames) >= 20)
        ended = sorted([*(one.frame.due for one in harness.missed), harness.due[-1].header.due])
        assert ended == list(range(len(ended)))
        assert [one.due for one in harness.frames if one.due is not None] == list(range(len(harness.frames)))
