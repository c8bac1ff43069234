"""Packets come and no picture: what came is in the account and in the message, with what to change in the camera."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import structlog.testing

from stream_inspect import registry
from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import CameraError, NoPictureError
from stream_inspect.config.models import CameraConfig
from stream_inspect.messages import ConditionKind
from tests.capture.bitstreams import encoded, joined, kind, units, write_for_server, write_in_container
from tests.capture.harness import ArraySink, StageHarness
from tests.capture.processes import UnitsServer, need_rtsp_server
from tests.capture.scripted_camera import ScriptedCamera
from tests.capture.videos import picture

GOP = 10


def config_of(source: dict[str, Any]) -> CameraConfig:
    return CameraConfig.model_validate({"name": "c1", "source": source})


def with_damaged_beginning(folder: Path, codec: str, count: int) -> Path:
    """A recording whose first group of pictures is cut short, as on a disk that was full."""
    packets = encoded(codec, count, gop=GOP)
    damaged = [packet[: len(packet) * 2 // 3] if index < GOP else packet for index, packet in enumerate(packets)]
    return write_in_container(folder / "clip.mkv", codec, damaged, keys=range(0, count, GOP))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_frames_that_fail_before_the_first_good_one_are_in_the_account(codec: str, tmp_path: Path) -> None:
    path = with_damaged_beginning(tmp_path, codec, 3 * GOP)
    with StageHarness(config_of({"kind": "file", "path": str(path), "pace": "fast"}), tmp_path) as harness:
        harness.judging = True
        harness.run(lambda: harness.stage.ended)
        totals = harness.totals()
    assert len(harness.frames) == 2 * GOP
    assert totals.captured == 3 * GOP
    assert totals.dropped[("capture", "bad_frame")] == GOP
    assert totals.residual == 0
    assert not [c for c in harness.conditions if c.kind is ConditionKind.BAD_FRAMES and c.active]


def test_frames_of_a_source_without_any_good_one_are_in_the_account(tmp_path: Path) -> None:
    path = with_damaged_beginning(tmp_path, "h264", GOP)
    with pytest.raises(CameraError, match=r"no picture that can be decoded .*10 packets of h264 received"):
        make_camera(config_of({"kind": "file", "path": str(path)})).open()
    with StageHarness(config_of({"kind": "file", "path": str(path)}), tmp_path) as harness:
        harness.run(lambda: harness.totals().captured >= GOP)
        totals = harness.totals()
    assert totals.captured == totals.dropped[("capture", "bad_frame")]
    assert totals.captured % GOP == 0


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    need_rtsp_server()
    servers: list[UnitsServer] = []

    def start(codec: str, packets: list[bytes], *options: str) -> str:
        sent = write_for_server(tmp_path / f"sent{len(servers)}", packets)
        servers.append(UnitsServer("--codec", "h265" if codec == "hevc" else codec, *options, str(sent)))
        return servers[-1].url()

    yield start
    for server in servers:
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_periodic_intra_refresh_without_key_frames_says_what_to_change(
    codec: str, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_inspect.capture.av_reader._FIRST_FRAME_S", 2.0)
    packets = encoded(codec, 60, gop=25, intra_refresh="1", repeat_headers="1")
    heads = [unit for unit in units(packets[0]) if kind(codec, unit) in (7, 8, 32, 33, 34)]
    recovery = 6 if codec == "h264" else 39  # without recovery points, as x265 sends it
    rest = [joined([unit for unit in units(packet) if kind(codec, unit) != recovery]) for packet in packets[1:]]
    camera = make_camera(config_of({"kind": "rtsp", "url": serve(codec, [joined(heads) + rest[0], *rest[1:]])}))
    with pytest.raises(NoPictureError) as caught:
        camera.open()
    text = str(caught.value)
    assert f"packets of {codec} received" in text
    assert "none of them a key frame" in text
    assert "switch off its periodic intra refresh" in text
    assert caught.value.bad_frames > 20


@pytest.mark.slow
@pytest.mark.parametrize("told", [True, False], ids=["rate told", "rate not told"])
@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_a_picture_every_two_seconds_is_read(codec: str, told: bool, serve: Callable[..., str], tmp_path: Path) -> None:
    pictures = [cv2.imencode(".jpg", picture(index, 320, 240))[1].tobytes() for index in range(20)]
    packets = pictures if codec == "mjpeg" else encoded("h264", 20)
    url = serve(codec, packets, "--fps", "1/2", *(() if told else ("--rate-not-told",)))
    with StageHarness(config_of({"kind": "rtsp", "url": url}), tmp_path) as harness:
        harness.judging = True
        harness.run(lambda: len(harness.frames) >= 2, limit_s=40)
        session, seen = harness.frames[-1].id.session, len(harness.frames)
        harness.run(lambda: len(harness.frames) >= seen + 3, limit_s=20)
        assert harness.frames[-1].id.session == session or not told
        states = [c.active for c in harness.conditions if c.kind is ConditionKind.NO_SIGNAL]
    assert states[-1] is False


def test_a_figure_that_changes_does_not_make_another_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN["camera"], "scripted", "tests.capture.scripted_camera:ScriptedCamera")
    errors = (NoPictureError(f"no picture: {count} packets of h264 received") for count in itertools.count(1))
    ScriptedCamera.scripts = itertools.chain(itertools.islice(errors, 4), [[0, 40]])
    with (
        structlog.testing.capture_logs() as logs,
        StageHarness(config_of({"kind": "plugin", "plugin": "scripted"}), tmp_path) as harness,
    ):
        harness.run(lambda: bool(harness.frames))
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["cannot connect to camera"]


@pytest.mark.slow
def test_mjpeg_that_is_too_wide_for_rtp_says_so(
    tmp_path: Path, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its header has 8 bits for the width in units of 8 px: of 2592 px the receiver sees 544."""
    monkeypatch.setattr("stream_inspect.capture.av_reader._FIRST_FRAME_S", 3.0)
    wide = cv2.imencode(".jpg", picture(0, 2592, 1944))[1].tobytes()
    camera = make_camera(config_of({"kind": "rtsp", "url": serve("mjpeg", [wide], "--fps", "5")}))
    with pytest.raises(NoPictureError, match=r"packets of mjpeg received .* at most 2040x2040 px"):
        camera.open()


@pytest.mark.slow
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["wide one second", "wide one first"])
def test_of_several_video_streams_the_larger_one_is_read_and_named(order: tuple[int, int], tmp_path: Path) -> None:
    need_rtsp_server()
    streams = [encoded("h264", 50), encoded("h264", 50, size=(640, 480))]
    sent = [str(write_for_server(tmp_path / f"stream{at}", streams[at])) for at in order]
    server = UnitsServer("--codec", "h264", *sent)
    camera = make_camera(config_of({"kind": "rtsp", "url": server.url()}))
    try:
        info = camera.open()
        frames = [camera.read(ArraySink()) for _ in range(20)]
    finally:
        camera.close()
        server.stop()
    assert (info.width_px, info.height_px) == (640, 480)
    wide, narrow = order.index(1), order.index(0)
    assert f"video stream {wide} (h264 640x480) is read; not read: {narrow} (h264 320x240)" in info.notes.honoured
    assert all(frame is not None and frame.picture.width_px == 640 for frame in frames)
