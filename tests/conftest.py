"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of real clips and pictures; tests that need it skip where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("STREAM_INSPECT_DATA", default))
    if not (folder / "videos").is_dir():
        pytest.skip(f"no sample material in {folder} (set STREAM_INSPECT_DATA)")
    return folder
