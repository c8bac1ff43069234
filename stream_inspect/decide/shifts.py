"""Which shift a time belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


class Shifts:
    """The shifts of a line: each begins at its time of the day, by the local clock, and lasts until the next."""

    def __init__(self, starts: Sequence[str], time_zone: str) -> None:
        """`starts`, at least one, as "06:00"."""
        self._zone = ZoneInfo(time_zone)
        self._starts = [time.fromisoformat(start) for start in starts]
        self._known: tuple[float, float, datetime] | None = None

    def start_of(self, utc_s: float) -> datetime:
        """When the shift of this time began, by the local clock."""
        if self._known is None or not self._known[0] <= utc_s < self._known[1]:
            self._known = self._find(utc_s)
        return self._known[2]

    def _find(self, utc_s: float) -> tuple[float, float, datetime]:
        today = datetime.fromtimestamp(utc_s, self._zone).date()
        # Compared as times of UTC: by the local clock an hour may be missing, or come twice.
        near = sorted(
            datetime.combine(today + timedelta(days), start, self._zone).astimezone(UTC)
            for days in (-1, 0, 1)
            for start in self._starts
        )
        began = max(start for start in near if start.timestamp() <= utc_s)
        ends = min(start for start in near if start.timestamp() > utc_s)
        return began.timestamp(), ends.timestamp(), began.astimezone(self._zone)
