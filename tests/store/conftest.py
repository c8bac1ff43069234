"""An event log that tests of it share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_inspect.store.events import EventStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "events.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[EventStore]:
    store = EventStore(path)
    yield store
    store.close()
