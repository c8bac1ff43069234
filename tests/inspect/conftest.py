"""A line with one inspect worker, for the tests of the stage and of what it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_inspect import registry
from stream_inspect.inspect import batching
from tests.inspect.worker_line import Line


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setitem(registry.BUILT_IN["detector"], "scripted", "tests.inspect.scripted:ScriptedPlugin")
    line = Line(tmp_path)
    yield line
    line.stage.close()
    for ring in line.rings.values():
        ring.close()


@pytest.fixture
def running(line: Line) -> Line:
    """The stage is open, has sent its first conditions and given its first credit, and waits for no camera any more."""
    line.stage.open()
    outputs = line.tick()
    assert {output.key for output in outputs if output.topic == "credit"} == {"a", "b"}
    line.ahead_ns = batching.MAX_ANSWER_TIMEOUT_NS
    return line
