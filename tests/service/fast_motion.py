"""One camera in fast motion, with a real ledger: what the watches say while due frames are judged or dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from stream_inspect.service.judging import JudgingWatch
from stream_inspect.service.overload import OverloadWatch
from stream_inspect.transport.ledger import CameraLedger, DropCause, Ledger, LedgerKeeper

FPS = 25
CAPTURE, WORKER, OTHER_WORKER = 1, 2, 3
BATCH_S = 0.1

Judge = Callable[[CameraLedger, int], None]
"""What becomes of a due frame."""


def judged(ledger: CameraLedger, frame: int) -> None:
    assert ledger.sent(frame, WORKER)
    assert ledger.taken(frame, WORKER)
    assert ledger.judged(frame)


def dropped(cause: DropCause) -> Judge:
    def drop(ledger: CameraLedger, frame: int) -> None:
        if cause.stage != "capture":
            assert ledger.sent(frame, WORKER)
        assert ledger.drop(frame, cause)

    return drop


class Line:
    """A camera of 25 frames a second with a ledger of its own, and what one of the watches `reports` of it."""

    def __init__(
        self,
        folder: Path,
        rate_hz: float = 8.0,
        *,
        lossless: bool = False,
        reports: Literal["not_judged", "overload"] = "not_judged",
    ) -> None:
        ledger = Ledger.create(folder / "ledger", ["top"])
        self.camera = ledger.camera("top")
        self.keeper = LedgerKeeper(ledger)
        self._judging = JudgingWatch(rate_hz, lossless=lossless)
        self._overload = OverloadWatch(rate_hz, lossless=lossless)
        self._reports = reports
        self.rate_hz = rate_hz
        self.frame = 0
        self.periods = 0
        self.now_s = 1000.0
        self.batch_s = BATCH_S
        self.detail = ""

    def run(self, seconds: float, judge: Judge, *, captures: bool = True, due: bool = True) -> float | None:
        """Seconds after which the condition changed first, None where it did not."""
        before, began_s = bool(self.detail), self.now_s
        changed: float | None = None
        for _ in range(round(seconds * FPS)):
            self.now_s += 1 / FPS
            if captures:
                self._capture(judge, due)
            self._look()
            if changed is None and bool(self.detail) is not before:
                changed = self.now_s - began_s
        return changed

    def _look(self) -> None:
        totals = self.keeper.collect()["top"]
        self.detail = not_judged = self._judging.update(totals, self.now_s, self.batch_s)
        overload = self._overload.update(totals, self.now_s, judging=not not_judged)
        if self._reports == "overload":
            self.detail = overload

    def _capture(self, judge: Judge, due: bool) -> None:
        index = self.camera.captured(CAPTURE)
        self.frame += 1
        period = int(self.frame / FPS * self.rate_hz)
        if due and period != self.periods:
            self.periods = period
            judge(self.camera, index)
        else:
            self.camera.not_due(index)
