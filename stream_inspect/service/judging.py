"""Whether the due frames of a camera are being judged, by the ledger alone: whatever stops the judging, it shows here.

A frame is due when the sampler picked it: captured, less not_due and less the frames that came corrupt. It then ends as
judged or as dropped; the rest are in flight. One whose result came too late to be used counts as not judged.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from stream_inspect.service.window import keep
from stream_inspect.transport.ledger import DropCause, Totals

WITHIN_S = 3.0
"""Judging that stops is reported within this long, or within `_INTERVALS` due frames where these are farther apart."""
_INTERVALS = 3
_RAISED_BELOW, _CLEARED_FROM = 0.5, 0.7
"""Share of the due frames that is judged. Below the first, a rule of 2 in 4 misses what passes; the gap between the two
keeps a camera that is about there from raising the condition again and again."""
_BATCHES = 3
"""A due frame that is in flight for this many of the worker's longest batches waits for something else."""
_FIRST_S = 10.0
"""A model's first batch takes longer than any later one: until it is known, a due frame may take this long."""
_NONE_DUE_INTERVALS = 5
_STUCK_INTERVALS = 5
_NOT_TO_JUDGE = (DropCause.CAPTURE_BAD_FRAME, DropCause.CAPTURE_LEDGER_FULL)
"""Drops of frames that the sampler has not seen."""


@dataclass(frozen=True, slots=True)
class _Account:
    """The totals at one time."""

    at_s: float
    judged: int
    unjudged: int
    """Due frames that were dropped, or judged too late."""
    captured: int
    """Without the corrupt ones."""
    due: int


class JudgingWatch:
    """One camera's judgement; give it the totals every time they are collected.

    `lossless`: the source waits for the judging, so that its frames are as far apart as judging makes them.
    """

    def __init__(self, rate_hz: float, *, lossless: bool = False) -> None:
        self._lossless = lossless
        self._window_s = max(WITHIN_S, _INTERVALS / rate_hz)
        self._none_due_s = max(WITHIN_S, _NONE_DUE_INTERVALS / rate_hz)
        self._accounts: deque[_Account] = deque()
        self._oldest: int | None = None
        self._oldest_since_s = 0.0
        self._due_since_s: float | None = None
        """Since when due frames come without a gap as long as the window."""
        self._due_at_s = 0.0
        self._captured_at_s = 0.0
        self._none_due_since_s = 0.0
        """Since the last due frame, or since frames came again."""
        self._captured_then = 0
        self._judged_at_s: float | None = None
        self._active = False

    def update(self, totals: Totals, now_s: float, longest_batch_s: float) -> str:
        """What is wrong, in words; "" while due frames are judged. `longest_batch_s` is 0 where it is not known."""
        account = _account(totals, now_s)
        before = self._accounts[-1] if self._accounts else _Account(now_s, 0, 0, 0, 0)
        self._note(before, account, totals)
        detail = self._few_judged(account) or self._stuck(now_s, longest_batch_s) or self._none_due(account)
        self._active = bool(detail)
        return detail

    def _note(self, before: _Account, account: _Account, totals: Totals) -> None:
        now_s = account.at_s
        if account.due != before.due or self._due_since_s is None:
            if self._due_since_s is None or now_s - self._due_at_s > self._window_s:
                self._due_since_s = now_s
            self._due_at_s = self._none_due_since_s = now_s
            self._captured_then = account.captured
        if account.captured != before.captured:
            if now_s - self._captured_at_s > self._none_due_s / 2:
                self._none_due_since_s, self._captured_then = now_s, before.captured
            self._captured_at_s = now_s
        if account.judged != before.judged:
            if self._judged_at_s is None:
                self._due_since_s = now_s  # the first batch of a model is not held against it
            self._judged_at_s = now_s
        if totals.oldest_in_flight != self._oldest:
            self._oldest, self._oldest_since_s = totals.oldest_in_flight, now_s
        keep(self._accounts, account, self._window_s)

    def _few_judged(self, account: _Account) -> str:
        """Of the due frames of the last window too few were judged. None is missing before a first window is full."""
        first = self._accounts[0]
        judged, unjudged = account.judged - first.judged, account.unjudged - first.unjudged
        enough = _CLEARED_FROM if self._active else _RAISED_BELOW
        flows = account.at_s - self._due_at_s <= self._window_s
        if not flows or not unjudged or judged >= enough * (judged + unjudged) or self._resumed(account):
            return ""
        since_s = account.at_s - self._due_since_s if self._due_since_s is not None else 0.0
        first_limit_s = self._window_s if self._judged_at_s is not None else max(_FIRST_S, self._window_s)
        if since_s < first_limit_s and not self._active:
            return ""
        last = f"the last one {account.at_s - self._judged_at_s:.0f} s ago" if self._judged_at_s else "none so far"
        return f"{judged} of {judged + unjudged} due frames of the last {self._window_s:g} s were judged; {last}"

    def _resumed(self, account: _Account) -> bool:
        """Whether all due frames of half a window were judged, three at least: what was before is over, and forgotten.

        The share of a whole window would stay low for as long as the window, where all its frames count.
        """
        since = next(one for one in self._accounts if one.unjudged == account.unjudged)
        if account.judged - since.judged < _INTERVALS or account.at_s - since.at_s < self._window_s / 2:
            return False
        while self._accounts[0].unjudged != account.unjudged:
            self._accounts.popleft()
        return True

    def _stuck(self, now_s: float, longest_batch_s: float) -> str:
        if self._oldest is None:
            return ""
        waited_s = now_s - self._oldest_since_s
        limit_s = max(WITHIN_S, _BATCHES * longest_batch_s) if longest_batch_s else _FIRST_S
        return f"a due frame has been waiting for {waited_s:.0f} s to be judged" if waited_s >= limit_s else ""

    def _none_due(self, account: _Account) -> str:
        """Frames come and the sampler picks none: their times do not advance."""
        waited_s, captured = account.at_s - self._none_due_since_s, account.captured - self._captured_then
        captures = account.at_s - self._captured_at_s < self._none_due_s / 2
        if self._lossless or not captures or not captured or waited_s < self._none_due_s:
            return ""
        return f"none of the {captured} frames captured in the last {waited_s:.0f} s was due"


def stuck_after_s(expected_hz: float, no_signal_after_s: float, longest_batch_s: float) -> float:
    """A camera without a captured or a judged frame for this long is stuck, even if no condition says so.

    `expected_hz` frames a second are to be judged, in batches of up to `longest_batch_s` (0: not known).
    """
    return max(_FIRST_S, no_signal_after_s, _STUCK_INTERVALS / expected_hz, _BATCHES * longest_batch_s)


def seen_and_due(totals: Totals) -> tuple[int, int]:
    """(frames that the sampler has seen, those of them that were due)."""
    seen = totals.captured - _not_to_judge(totals)
    return seen, seen - totals.not_due


def _not_to_judge(totals: Totals) -> int:
    return sum(totals.dropped.get((cause.stage, cause.cause), 0) for cause in _NOT_TO_JUDGE)


def _account(totals: Totals, now_s: float) -> _Account:
    unjudged = sum(totals.dropped.values()) - _not_to_judge(totals) + totals.late
    return _Account(now_s, totals.judged - totals.late, unjudged, *seen_and_due(totals))
