"""Whether the event log takes the events that wait for it, by the vitals of the process that writes it.

That process may be killed and restarted while the log cannot be written. Its events wait in the journal meanwhile, and
what was known of the log holds until the next process knows better.
"""

from __future__ import annotations

STUCK_AFTER_S = 1.0
"""The log has taken nothing for this long while events wait: an outage, not a hiccup. An fsync takes up to 0.2 s on a
disk that is merely busy."""


class EventLogWatch:
    """The event log as one process writes it, across its restarts. Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._waiting = 0
        self._since_s = 0.0

    def update(self, waiting: int, since_s: float, now_s: float, running_s: float | None) -> str:
        """Why the log counts as stuck; "" where it does not.

        `waiting` events have waited and the log has taken none of them since `since_s` (0: none wait), as the process
        reports, which has been running for `running_s` (None: it is down, or starting, and reports nothing).
        """
        # What the previous process left has waited for longer than one that has just started can know.
        if running_s is not None and not (running_s <= STUCK_AFTER_S and since_s and self._since_s):
            self._waiting, self._since_s = waiting, since_s
        stuck_s = now_s - self._since_s
        if not self._since_s or stuck_s < STUCK_AFTER_S:
            return ""
        events = "1 event waits" if self._waiting == 1 else f"{self._waiting} events wait"
        return f"the event log has not been writable for {stuck_s:.0f} s; {events}, and no alert is sent"
