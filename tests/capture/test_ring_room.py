"""A camera that begins again or changes its size where the memory does not hold the old ring and the new one."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_inspect import registry
from stream_inspect.capture.camera import CameraError
from stream_inspect.config.models import CameraConfig, TransportConfig
from tests.capture.harness import StageHarness
from tests.capture.scripted_camera import ScriptedCamera, Step
from tests.conftest import MakeDisk

pytestmark = pytest.mark.slow

TRANSPORT = TransportConfig(ring_s=1.0)
DISK_KB = 18 * 1024
"""A ring of 25 frames of 640x480 px takes 11 MB, one of 656x480 px as well; the ledger lies here too."""


def frames(first: int, count: int) -> list[Step]:
    return [step for n in range(first, first + count) for step in (n * 40, lambda: time.sleep(0.04))]


@pytest.fixture
def harness(make_disk: MakeDisk, monkeypatch: pytest.MonkeyPatch) -> Iterator[StageHarness]:
    """A stage whose camera changes its size after 10 frames."""
    monkeypatch.setitem(registry.BUILT_IN["camera"], "scripted", "tests.capture.scripted_camera:ScriptedCamera")
    monkeypatch.setattr(ScriptedCamera, "size", (640, 480))

    def grow() -> None:
        ScriptedCamera.size = (656, 480)

    scripts = [[*frames(0, 10), grow, *frames(10, 1000)], *[frames(0, 1000)] * 30]
    ScriptedCamera.scripts = itertools.chain(scripts, itertools.repeat(CameraError("nothing more")))
    config = {"name": "c1", "source": {"kind": "plugin", "plugin": "scripted"}}
    with StageHarness(CameraConfig.model_validate(config), make_disk(DISK_KB), TRANSPORT) as harness:
        yield harness
        ScriptedCamera.scripts = iter(())


def read_until_the_size_changes(harness: StageHarness) -> None:
    """Read each frame, as a sink does, so that the reader holds the ring."""
    harness.on_frame = lambda header: harness.ring.read(header) if header.width_px == 640 else None
    harness.run(lambda: len(harness.frames) >= 8)
    harness.on_frame = lambda header: None


def readers_unmap_every(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr("stream_inspect.transport.ring.UNMAP_EVERY_S", seconds)


def test_another_size_is_waited_for_until_the_readers_unmap_the_old_ring(
    harness: StageHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers_unmap_every(monkeypatch, 1.5)
    began_s = time.monotonic()
    read_until_the_size_changes(harness)
    harness.run(lambda: harness.frames[-1].width_px == 656)
    assert time.monotonic() - began_s > 1.5, "the disk holds both rings: the test shows nothing"
    assert harness.frames[-1].id.session == 1, "no frame of the source was needed to wait"
    assert harness.ring.read(harness.frames[-1]).width_px == 656


def test_a_reader_that_does_not_unmap_costs_the_session_and_never_the_process(
    harness: StageHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers_unmap_every(monkeypatch, 60.0)
    monkeypatch.setattr("stream_inspect.capture.ring_sink._ROOM_WAIT_S", 0.3)
    read_until_the_size_changes(harness)
    until_s = time.monotonic() + 1.5
    harness.run(lambda: time.monotonic() > until_s)  # raises what would end the process
    assert harness.frames[-1].width_px == 640
    harness.ring.close()
    harness.run(lambda: harness.frames[-1].width_px == 656)
    assert harness.frames[-1].id.session > 1


def test_a_restarted_capture_finds_room_as_soon_as_readers_unmap_the_old_ring(
    make_disk: MakeDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers_unmap_every(monkeypatch, 60.0)
    disk = make_disk(DISK_KB)
    source = {"kind": "synthetic", "width_px": 640, "height_px": 480}
    config = CameraConfig.model_validate({"name": "c1", "source": source})
    with StageHarness(config, disk, TRANSPORT) as first:
        first.run(lambda: bool(first.frames))
        first.ring.read(first.frames[-1])
        first.stage.close()
        first.stage._sink.close()  # what the end of its process does to its own mapping
        (disk / "ledger").unlink()
        with StageHarness(config, disk, TRANSPORT) as second:
            until_s = time.monotonic() + 1.0
            second.run(lambda: time.monotonic() > until_s)
            assert second.frames == [], "the disk holds both rings: the test shows nothing"
            first.ring.close()
            second.run(lambda: bool(second.frames))
