"""The rig of each kind of plant input, and logs that a test does not print."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plant.rigs import Rig, rigs


@pytest.fixture(params=sorted(rigs()))
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """A rig whose server is up and whose reader is open."""
    rig = rigs()[request.param](tmp_path)
    rig.reader.open()
    yield rig
    rig.close()
