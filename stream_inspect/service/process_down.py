"""When a process of the line counts as down: only the supervisor knows, and its log is not read at night."""

from __future__ import annotations

DOWN_AFTER_S = 5.0
"""A process that runs again sooner, at the first attempt, is not an event: judging has hardly stopped."""
DOWN_AFTER_FAILURES = 2


def down_detail(process: str, failures: int, down_s: float) -> str:
    """Why it counts as down, "" where it does not.

    `failures` is how often it failed in a row, `down_s` for how many seconds it has not been working.
    """
    if failures >= DOWN_AFTER_FAILURES:
        return f"{process} has failed {failures} times in a row"
    if failures and down_s > DOWN_AFTER_S:
        return f"{process} has not been running for {down_s:.0f} s"
    return ""


def unresponsive_detail(process: str, silence_s: float, limit_s: float) -> str:
    """The same for one that runs and gives no heartbeat: it is down halfway to being killed for it."""
    if silence_s > max(DOWN_AFTER_S, limit_s / 2):
        return f"{process} has not responded for {silence_s:.0f} s"
    return ""
