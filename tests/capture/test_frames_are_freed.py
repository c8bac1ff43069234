"""A frame that was read is freed at once, not with Python's next collection of reference cycles: it is megabytes."""

from __future__ import annotations

import gc
from contextlib import suppress
from pathlib import Path

from stream_inspect.capture.camera import EndOfMediaError
from stream_inspect.capture.files import FileCamera
from stream_inspect.capture.memory_sink import FreshArrays
from stream_inspect.config.models import CameraConfig, FileSource
from tests.capture.videos import write_video


def test_no_frame_of_a_session_is_left_in_a_reference_cycle(tmp_path: Path, left_in_cycles: list[object]) -> None:
    clip = write_video(tmp_path / "clip.mp4")
    camera = FileCamera(CameraConfig(name="top", source=FileSource(kind="file", path=clip)))
    camera.open()
    with suppress(EndOfMediaError):
        while True:
            camera.read(FreshArrays())
    camera.close()
    gc.collect()
    assert [type(each) for each in left_in_cycles if type(each).__module__.startswith("av.")] == []
