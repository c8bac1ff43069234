"""How each signal stood when it was last seen, over connections: what a change is, and after when it took place."""

from __future__ import annotations

from stream_inspect.plant.input import Level, Text

Value = bool | int | str


class LastSeen:
    """Makes the readings of levels and texts by what was seen before. Times are monotonic ns."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Value, int]] = {}
        self._on_this_connection: set[str] = set()
        self._alive_ns = self._alive_before_ns = 0
        """When the sender was connected last, on any connection and on the one before this."""

    def connected(self) -> None:
        """A new connection: each value is handed over once, though it may be the one before."""
        self._on_this_connection.clear()
        self._alive_before_ns = self._alive_ns

    def alive(self, mono_ns: int) -> None:
        """The sender of each change was connected at this time: what it sent last still stood."""
        self._alive_ns = mono_ns

    def polled(self, name: str, value: Value, mono_ns: int) -> Level | Text | None:
        """The reading of a value that was asked for; None where it is handed over already."""
        before = self._seen.get(name)
        if before is not None and before[0] == value and name in self._on_this_connection:
            self._seen[name] = value, mono_ns
            return None
        return self.stands(name, value, mono_ns)

    def stands(self, name: str, value: Value, mono_ns: int) -> Level | Text:
        """The reading of how it stands now, where it is not known when it changed, or whether it did."""
        before = self._seen.get(name)
        if before is None:
            return self.changed(name, value, mono_ns, None)
        read_ns = max(before[1], self._alive_before_ns if self.is_first(name) else self._alive_ns)
        if before[0] != value:
            return self.changed(name, value, mono_ns, read_ns)
        return self.changed(name, value, mono_ns, None, read_ns)

    def changed(
        self, name: str, value: Value, mono_ns: int, after_ns: int | None, unread_from_ns: int | None = None
    ) -> Level | Text:
        """The reading of a change that was sent; it took place after `after_ns`."""
        self._seen[name] = value, mono_ns
        self._on_this_connection.add(name)
        if isinstance(value, str):
            return Text(name, value, mono_ns)
        return Level(name, value, mono_ns, after_ns, unread_from_ns)

    def is_first(self, name: str) -> bool:
        """Whether nothing of it was handed over on this connection."""
        return name not in self._on_this_connection
