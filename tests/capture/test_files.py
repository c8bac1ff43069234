"""Video files and folders of pictures, of every odd sort."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stream_inspect.capture.av_reader import AvReader
from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import CameraError, CapturedFrame, EndOfMediaError
from stream_inspect.capture.pace import Pacer
from stream_inspect.config.models import CameraConfig
from tests.capture.harness import ArraySink
from tests.capture.videos import picture, write_video


def config_of(path: Path, **more: object) -> CameraConfig:
    kind = "images" if path.is_dir() else "file"
    return CameraConfig.model_validate(
        {"name": "c1", "source": {"kind": kind, "path": str(path), "pace": "fast", **more}}
    )


def read_all(path: Path, **more: object) -> list[CapturedFrame | None]:
    camera = make_camera(config_of(path, **more))
    camera.open()
    frames: list[CapturedFrame | None] = []
    try:
        while True:
            frames.append(camera.read(ArraySink()))
    except EndOfMediaError:
        return frames
    finally:
        camera.close()


def close_to(frame: CapturedFrame | None, index: int, tolerance: float = 12) -> bool:
    assert frame is not None
    shown = frame.picture
    expected = picture(index, shown.width_px, shown.height_px)
    return float(np.abs(shown.to_bgr().astype(int) - expected).mean()) < tolerance


@pytest.mark.parametrize(
    ("codec", "pixel_format", "suffix"),
    [
        ("libx264", "yuv420p", "mp4"),
        ("libx264", "yuv422p", "mkv"),
        ("libx264", "yuv444p10le", "mkv"),
        ("libx265", "yuv420p10le", "mkv"),
        ("mjpeg", "yuvj422p", "avi"),
        ("ffv1", "gray", "mkv"),
        ("ffv1", "bgr0", "mkv"),
        ("mpeg4", "yuv420p", "avi"),
        ("libvpx-vp9", "yuv420p", "webm"),
    ],
)
def test_codecs_and_pixel_formats(tmp_path: Path, codec: str, pixel_format: str, suffix: str) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = write_video(tmp_path / f"clip.{suffix}", count=8, codec=codec, pixel_format=pixel_format, options=options)
    frames = read_all(path)
    assert len(frames) == 8
    if pixel_format == "gray":
        for index, frame in enumerate(frames):
            assert frame is not None
            expected = cv2.cvtColor(picture(index, 160, 120), cv2.COLOR_BGR2GRAY)
            assert np.abs(frame.picture.luma.astype(int) - expected).mean() < 3
    else:
        assert all(close_to(frame, index) for index, frame in enumerate(frames))


def test_what_is_black_in_a_mono_cameras_h265_is_black(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx265", rate=25, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "gray"
        stream.codec_context.color_range = 1  # limited, as cameras send it: black is 16, white 235
        levels = np.full((120, 160), 16, np.uint8)
        levels[:, 80:] = 235
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(levels, format="gray")
            frame.color_range = 1
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    shown = [frame.picture.to_bgr() for frame in read_all(path) if frame]
    assert len(shown) == 3
    assert shown[0][:, :72].max() <= 2
    assert shown[0][:, 88:].min() >= 253


def test_odd_sizes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mkv", count=3, size=(161, 121), codec="ffv1", pixel_format="yuv444p")
    frames = read_all(path)
    assert all(close_to(frame, index) for index, frame in enumerate(frames))


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times_s = [0.0, 0.04, 0.05, 0.3, 0.31, 1.5, 7.0]
    frames = read_all(write_video(tmp_path / "clip.mkv", pts_s=times_s))
    assert [float(frame.pts * frame.time_base) for frame in frames if frame] == pytest.approx(times_s, abs=0.001)


def test_frames_that_were_reordered_come_in_order_of_showing(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", count=20, options={"bf": "3", "preset": "medium"})
    assert all(close_to(frame, index) for index, frame in enumerate(read_all(path)))


def test_real_time_pace_takes_as_long_as_the_recording(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", count=13)
    began_s = time.monotonic()
    read_all(path, pace="real_time")
    assert 0.4 < time.monotonic() - began_s < 1.5


def test_a_gap_of_hours_is_not_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    now = [100.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pacer = Pacer()
    for pts_s in (0.0, 0.04, 7200.0, 7200.04, 0.0, 0.04):
        pacer.wait(pts_s)
    assert slept == pytest.approx([0.04, 2.0, 0.04, 0.04])


X264 = {"preset": "veryfast", "bf": "0"}
X265 = {"x265-params": "log-level=none:bframes=0"}
HIT = {13, 27, 44}


def damage(source_path: Path, damaged_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    """Copy a video with the packets of `HIT` spoiled; those that become empty are left out."""
    with av.open(str(source_path)) as source, av.open(str(damaged_path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(p for p in source.demux(video=0) if p.size):
            data = spoil(bytes(packet)) if index in HIT else bytes(packet)
            if data:
                copy = av.Packet(data)
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                output.mux(copy)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def hole(data: bytes) -> bytes:
    return data[: len(data) // 2] + data[len(data) // 2 + 40 :]


def nothing(_: bytes) -> bytes:
    return b""


@pytest.mark.parametrize(
    ("codec", "options", "spoil"),
    [
        pytest.param("libx264", X264, cut, id="h264-cut"),
        pytest.param("libx264", X264, hole, id="h264-hole"),
        pytest.param("libx264", X264, nothing, id="h264-lost"),
        pytest.param("libx265", X265, cut, id="h265-cut"),
        pytest.param("libx265", X265, nothing, id="h265-lost"),
        pytest.param("mjpeg", {}, cut, id="mjpeg-cut"),
        pytest.param("mjpeg", {}, hole, id="mjpeg-hole"),
        pytest.param("mjpeg", {}, nothing, id="mjpeg-lost"),
    ],
)
def test_what_was_lost_on_the_way_never_passes_as_good(
    tmp_path: Path, codec: str, options: dict[str, str], spoil: Callable[[bytes], bytes]
) -> None:
    """As on a network without retransmission; every frame given out is compared with the undamaged one."""
    fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = tmp_path / "clip.mkv"
    write_video(path, count=60, gop=10, size=(320, 240), codec=codec, pixel_format=fmt, options=options)
    clean = [frame.picture.i420 for frame in read_all(path) if frame]
    damage(path, tmp_path / "damaged.mkv", spoil)
    reader = AvReader(av.open(str(tmp_path / "damaged.mkv")), loses_frames=True)
    good = []
    with contextlib.suppress(EndOfMediaError):
        while True:
            frame = reader.read(ArraySink())
            if frame is not None:
                number = round(float(frame.pts * frame.time_base) * 25)
                assert np.array_equal(frame.picture.i420, clean[number]), f"frame {number} is damaged, passed as good"
                good.append(number)
    reader.close()
    assert not HIT & set(good)
    assert {*range(13), *range(20, 27), *range(30, 44), *range(50, 60)} <= set(good), "good again from a key frame on"


@pytest.mark.parametrize("step_s", [0.0, 7.0], ids=["fast host", "slow host"])
def test_damage_without_a_key_frame_lasts_as_long_on_every_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    """Five seconds of the recording's own time after the last damaged frame, 44."""
    path = tmp_path / "clip.mkv"
    write_video(path, count=200, gop=1000, size=(160, 120), codec="libx264", pixel_format="yuv420p", options=X264)
    damage(path, tmp_path / "damaged.mkv", cut)
    now_s = iter(range(10**6))
    monkeypatch.setattr(time, "monotonic", lambda: step_s * next(now_s))
    frames = read_all(tmp_path / "damaged.mkv")
    good = [round(float(frame.pts * frame.time_base) * 25) for frame in frames if frame]
    assert good[:13] == list(range(13))
    assert good[13:] == list(range(44 + 5 * 25 + 1, 200))


def test_a_file_that_is_no_video_says_so(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(np.random.default_rng(1).bytes(20_000))
    with pytest.raises(CameraError, match=r"clip\.mp4 cannot be opened as a video"):
        make_camera(config_of(path)).open()


def test_sound_without_picture_says_so(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
    with pytest.raises(CameraError, match="there is no video in it"):
        make_camera(config_of(path)).open()


def test_key_frames_are_told_from_the_others(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", count=60, gop=20, options={"sc_threshold": "0"})
    assert [index for index, frame in enumerate(read_all(path)) if frame and frame.is_key] == [0, 20, 40]


def test_pictures_come_by_name_with_their_own_sizes_and_broken_ones_are_bad(tmp_path: Path) -> None:
    sizes = [(160, 120), (160, 120), (81, 61)]
    for index, size in enumerate(sizes):
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture(index, *size))
    cv2.imwrite(str(tmp_path / "3.png"), picture(3, 64, 64)[:, :, 0])
    (tmp_path / "4.jpg").write_bytes(b"no picture at all")
    (tmp_path / "notes.txt").write_text("not a picture", encoding="utf-8")
    frames = read_all(tmp_path)
    assert len(frames) == 5
    for index, size in enumerate(sizes):
        frame = frames[index]
        assert frame is not None
        assert (frame.picture.width_px, frame.picture.height_px) == size
        assert close_to(frame, index, tolerance=6)
    assert frames[3] is not None
    assert np.array_equal(frames[3].picture.luma, picture(3, 64, 64)[:, :, 0])
    assert frames[4] is None
    assert [frame.pts for frame in frames if frame] == [0, 1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "videos/bolt_conveyor.mp4",
        "videos/bottles_a.mp4",
        "videos/palletising_robot.mp4",
        "virtual_conveyor_cookies/clip.mp4",
    ],
)
def test_real_clips_are_read_to_their_end(sample_data: Path, name: str) -> None:
    path = sample_data / name
    with av.open(str(path)) as source:
        expected = sum(1 for packet in source.demux(video=0) if packet.size)
    frames = read_all(path)
    assert len(frames) == expected
    assert None not in frames


@pytest.mark.parametrize(
    "name", [b"10:22:33.mp4", b"2026-11-28T10:22:33+01:00.mp4", b"Pr\xfcfung.mp4", b"top #2 100%.mp4"]
)
def test_a_file_is_read_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    write_video(tmp_path / "clip.mp4", count=3).rename(path)
    assert len(read_all(path)) == 3


def interrupted(path: Path) -> None:
    """An MP4 without its index, as a recorder leaves it that was switched off."""
    write_video(path, count=25)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])


def unknown_codec(path: Path) -> None:
    write_video(path, count=5)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"xyz1"))


@pytest.mark.parametrize(
    ("make", "reported"),
    [
        (interrupted, r"its index \(moov\) was never written: the recording was interrupted"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_bytes(bytes(500_000)), "it begins with zeros"),
        (lambda path: path.mkdir(), "is a folder, not a video file: for a folder of pictures write kind: images"),
        (unknown_codec, "encrypted, or in a codec without a decoder here"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, make: Callable[[Path], object], reported: str) -> None:
    path = tmp_path / "clip.mp4"
    make(path)
    source = {"kind": "file", "path": str(path), "pace": "fast"}
    with pytest.raises(CameraError, match=reported) as refused:
        make_camera(CameraConfig.model_validate({"name": "c1", "source": source})).open()
    assert str(path) in str(refused.value)
