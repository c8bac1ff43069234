"""Whether a camera's due frames come faster than they can be judged, by the ledger alone.

Judging works then (what has stopped is `service/judging.py`'s), but with fewer looks at each part than were asked for.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from stream_inspect.service.window import keep
from stream_inspect.transport.ledger import DropCause, Totals

WINDOW_S = 10.0
_INTERVALS = 24
"""The window of a slow rate is as long as this many due frames, so that one of them is not a share to speak of."""
_PARTS = 3
"""Of the window; frames are dropped in each of them. A hiccup of up to a third of the window (a disk, a batch with many
finds, a camera that reconnects) touches two at most."""
_RAISED_ABOVE, _CLEARED_BELOW = 0.05, 0.02
"""Share of the due frames that is dropped. A defect in view for just the three looks that a rule needs is missed with
14 % at 5 %, and with 6 % at 2 %."""
_EXPECTED = 5
"""A part without a drop in which this many were to be expected shows that the overload is over: by chance it happens
once in 150 times."""
_CAUSES = (DropCause.CAPTURE_SUPERSEDED, DropCause.TRANSPORT_MAILBOX_FULL, DropCause.INSPECT_OVERWRITTEN)
"""How a due frame that comes too fast ends, or else it is judged too late to be used. What a dead process or a failed
model drops is reported as that."""


@dataclass(frozen=True, slots=True)
class _Account:
    at_s: float
    judged: int
    dropped: int

    def since(self, before: _Account) -> float:
        """Share of the due frames that were dropped since then."""
        dropped, judged = self.dropped - before.dropped, self.judged - before.judged
        return dropped / (dropped + judged) if dropped else 0.0


class OverloadWatch:
    """One camera's share of dropped frames; give it the totals every time they are collected."""

    def __init__(self, rate_hz: float, *, lossless: bool = False) -> None:
        """`lossless`: the source waits for the judging, and never has a frame too many."""
        self._lossless = lossless
        self._window_s = max(WINDOW_S, _INTERVALS / rate_hz)
        self._accounts: deque[_Account] = deque()
        self._since_s: float | None = None

    def update(self, totals: Totals, now_s: float, *, judging: bool) -> str:
        """The share and since when, in words; "" while there is no overload.

        `judging`: due frames are being judged; while they are not, that is what is reported, and the window starts over
        with the first one that is. A whole window must have passed since, which leaves a model its slow first batches.
        """
        if self._lossless or not judging or not totals.judged:
            self._accounts.clear()
            self._since_s = None
            return ""
        dropped = sum(totals.dropped.get(cause.value, 0) for cause in _CAUSES) + totals.late
        account = _Account(now_s, totals.judged - totals.late, dropped)
        keep(self._accounts, account, self._window_s)
        first = self._accounts[0]
        if account.at_s - first.at_s < self._window_s:
            return ""
        if self._since_s is None and min(self._shares()) > _RAISED_ABOVE:
            self._since_s = first.at_s
        elif self._since_s is not None and (account.since(first) < _CLEARED_BELOW or self._is_over(account)):
            self._since_s = None
        if self._since_s is None:
            return ""
        dropped, judged = account.dropped - first.dropped, account.judged - first.judged
        return (
            f"{account.since(first):.0%} of the due frames of the last {self._window_s:.0f} s were dropped "
            f"({dropped} of {dropped + judged}), for {now_s - self._since_s:.0f} s"
        )

    def _is_over(self, account: _Account) -> bool:
        """Whether nothing has been dropped for a part of the window, where before it was; what was before is forgotten.

        The share of the whole window stays above the limit until the last drop has left it.
        """
        since = next(one for one in self._accounts if one.dropped == account.dropped)
        expected = since.since(self._accounts[0]) * (account.judged - since.judged)
        if expected < _EXPECTED or account.at_s - since.at_s < self._window_s / _PARTS:
            return False
        while self._accounts[0].dropped != account.dropped:
            self._accounts.popleft()
        return True

    def _shares(self) -> list[float]:
        """The share of each part of the window."""
        last = self._accounts[-1]
        ends = [self._window_s * part / _PARTS for part in range(1, _PARTS)]
        inner = [next(one for one in reversed(self._accounts) if last.at_s - one.at_s >= age_s) for age_s in ends]
        bounds = [last, *inner, self._accounts[0]]
        return [later.since(earlier) for later, earlier in pairwise(bounds)]
