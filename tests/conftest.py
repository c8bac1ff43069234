"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.properties import WHOLE_RUN

MakeDisk = Callable[[int], Path]

# No deadline for a single example: one that meets an fsync on a busy disk is not wrong.
settings.register_profile("whole", max_examples=WHOLE_RUN, deadline=None)
settings.register_profile("quick", max_examples=WHOLE_RUN // 4, deadline=None)
settings.load_profile("whole")


def pytest_collection_finish() -> None:
    """Hide from the garbage collector what is imported by now: half a million objects, most of them torch's.

    Looking through them takes 0.3 s, each time that a model is closed or that Python collects by itself.
    """
    gc.collect()
    gc.freeze()


_DATA = Path(os.environ.get("STREAM_INSPECT_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of real clips and pictures; tests that need it skip where it is absent."""
    if not (_DATA / "videos").is_dir():
        pytest.skip(f"no sample material in {_DATA} (set STREAM_INSPECT_DATA)")
    return _DATA


@pytest.fixture(scope="session")
def case() -> Callable[[str], Path]:
    """The path of an input of other people's bug reports, by its name; skips where it is absent."""

    def path_of(name: str) -> Path:
        path = _DATA.parent / "cases" / name
        if not path.exists():
            pytest.skip(f"no {path}")
        return path

    return path_of


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder with a short path: a unix socket's path has at most 107 bytes, and `tmp_path` takes most of them."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """Makes real file systems in memory, of so many KB."""
    points: list[Path] = []

    def make(size_kb: int) -> Path:
        point = tmp_path / f"disk{len(points)}"
        point.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(point)]
        try:
            mounted = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if mounted.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
        points.append(point)
        return point

    yield make
    for point in points:
        subprocess.run(["umount", "--lazy", str(point)], check=True)


@pytest.fixture
def small_disk(make_disk: MakeDisk) -> Path:
    """A real file system of 2 MB."""
    return make_disk(2048)


@pytest.fixture(name="left_in_cycles")
def left_in_cycles_fixture() -> Iterator[list[object]]:
    """What only a collection would free; filled by `gc.collect()`."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()
