"""A disk that fills up under the record of deliveries, when a test says so."""

from __future__ import annotations

from typing import Any

from stream_inspect.store.database import StoreError
from stream_inspect.store.events import EventStore


class FullDisk:
    """The disk of the record of deliveries, which fills up."""

    def __init__(self, store: EventStore) -> None:
        self.is_full = False
        settle = store.outputs.settle

        def settle_or_fail(*arguments: Any, **named: Any) -> None:
            if self.is_full:
                raise StoreError("disk is full")
            settle(*arguments, **named)

        store.outputs.settle = settle_or_fail  # type: ignore[method-assign]
