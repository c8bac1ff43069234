"""Results on their way out: in order, and kept while the mailbox is full."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from stream_inspect import metrics
from stream_inspect.messages import FrameHeader, Inspection, Output
from stream_inspect.transport.ledger import Ledger


class Results:
    """Inspections that are not sent yet. A frame counts as judged when its result was sent."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._unsent: deque[Inspection] = deque()
        self._undelivered = False

    def __len__(self) -> int:
        return len(self._unsent)

    def send(self, inspection: Inspection) -> Iterable[Output]:
        """Hand a result to the loop, which reports at once, by `undelivered`, when it could not be sent."""
        self._unsent.append(inspection)
        if len(self._unsent) == 1:  # otherwise in order, behind those that could not be sent
            yield from self.send_left_over()

    def send_left_over(self) -> Iterable[Output]:
        """Try again to send those that could not be sent."""
        while self._unsent:
            self._undelivered = False
            yield Output("inspections", self._unsent[0])
            if self._undelivered:
                return
            header = self._unsent.popleft().frame
            self._ledger.camera(header.id.camera).judged(header.ledger_index)
            waited_ns = time.monotonic_ns() - header.capture_mono_ns
            metrics.CAPTURE_TO_JUDGED.labels(header.id.camera).observe(waited_ns / 1e9)

    def undelivered(self) -> None:
        """The result that was handed to the loop last could not be sent."""
        self._undelivered = True

    def drain(self) -> list[FrameHeader]:
        """The frames of all unsent results, which are discarded."""
        headers = [inspection.frame for inspection in self._unsent]
        self._unsent.clear()
        return headers
