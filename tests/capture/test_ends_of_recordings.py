"""A recording that ends before its container says is told; one that is whole, however it was written, is not."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import structlog.testing

from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import CameraError, CameraInfo, CapturedFrame, EndOfMediaError
from stream_inspect.capture.memory_sink import ScratchArray
from stream_inspect.config.models import CameraConfig
from tests.capture.harness import StageHarness
from tests.capture.videos import picture, write_video

COUNT, GOP = 75, 25
HELD_S = [*(index / 25 for index in range(20)), 1.5, 4.0, 9.0]
"""Times of a variable rate: the last frames are shown for seconds."""


def config_of(path: Path) -> CameraConfig:
    return CameraConfig.model_validate({"name": "c1", "source": {"kind": "file", "path": str(path), "pace": "fast"}})


def read_to_end(path: Path) -> tuple[CameraInfo, list[CapturedFrame | None], str]:
    """What is known at first, the frames, and what the end says of those that are missing."""
    camera = make_camera(config_of(path))
    info = camera.open()
    frames: list[CapturedFrame | None] = []
    try:
        while True:
            frames.append(camera.read(ScratchArray()))
    except EndOfMediaError as end:
        return info, frames, end.shortfall
    finally:
        camera.close()


# --- whole recordings ----------------------------------------------------------------------------------------------


class Pipe(io.RawIOBase):
    """A file that cannot be gone back in, as a recorder sees it that writes into a pipe."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()


def copied(
    source_path: Path,
    path: Path,
    *,
    muxer: str | None = None,
    options: dict[str, str] | None = None,
    skip: int = 0,
    begin_s: float = 0.0,
    piped: bool = False,
) -> Path:
    """The packets of a video from number `skip` on, in another container; its first time is `begin_s`."""
    target = Pipe(path) if piped else str(path)
    with av.open(str(source_path)) as source, av.open(target, "w", format=muxer, options=options or {}) as output:
        before = source.streams.video[0]
        stream = output.add_stream_from_template(before)
        packets = [packet for packet in source.demux(before) if packet.size][skip:]
        shift = round(begin_s / before.time_base) - packets[0].pts
        for packet in packets:
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = stream
            output.mux(packet)
    if isinstance(target, Pipe):
        target.close()
    return path


def plain(folder: Path) -> Path:
    return write_video(folder / "plain.mp4", count=COUNT, gop=GOP)


def with_sound(path: Path, sound_s: int) -> Path:
    """Three seconds of pictures, and of sound so many."""
    with av.open(str(path), "w") as output:
        film = output.add_stream("mpeg4" if path.suffix != ".flv" else "flv1", rate=25)
        film.width, film.height, film.pix_fmt = 160, 120, "yuv420p"
        track = output.add_stream("aac" if path.suffix != ".flv" else "pcm_u8", rate=11025)
        for index in range(COUNT):
            output.mux(film.encode(av.VideoFrame.from_ndarray(picture(index, 160, 120), format="bgr24")))
        for index in range(sound_s * 11025 // 1024):
            layout = "fltp" if path.suffix != ".flv" else "u8"
            samples = np.zeros((1, 1024), np.float32 if layout == "fltp" else np.uint8)
            sound = av.AudioFrame.from_ndarray(samples, format=layout, layout="mono")
            sound.sample_rate, sound.pts = 11025, 1024 * index
            output.mux(track.encode(sound))
        output.mux(film.encode())
        output.mux(track.encode())
    return path


def without_tags(path: Path) -> Path:
    """A Matroska file that says how long the whole is, and not how long each stream is."""
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"DURATI__"))
    return path


def shown_until(path: Path, seconds: int) -> Path:
    """An MP4 of which its edit list shows only so much."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4
    assert struct.unpack_from(">II", data, at) == (0, 1)
    struct.pack_into(">I", data, at + 8, 1000 * seconds)
    path.write_bytes(data)
    return path


WHOLE: dict[str, tuple[Callable[[Path], Path], int]] = {
    "mp4": (plain, COUNT),
    "mp4, index first": (
        lambda folder: copied(plain(folder), folder / "clip.mp4", options={"movflags": "faststart"}),
        COUNT,
    ),
    "mp4, fragments": (
        lambda folder: copied(
            plain(folder), folder / "clip.mp4", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
        ),
        COUNT,
    ),
    "mp4, from a moment inside a group on": (
        lambda folder: copied(plain(folder), folder / "clip.mp4", skip=GOP, begin_s=-0.8),
        2 * GOP - 20,
    ),
    "mp4, until a moment": (lambda folder: shown_until(plain(folder), 1), GOP),
    "mp4, a late beginning": (lambda folder: copied(plain(folder), folder / "clip.mp4", begin_s=40.0), COUNT),
    "mp4, longer sound": (lambda folder: with_sound(folder / "clip.mp4", 8), COUNT),
    "mp4, variable": (lambda folder: write_video(folder / "clip.mp4", pts_s=HELD_S), len(HELD_S)),
    "mov": (lambda folder: copied(plain(folder), folder / "clip.mov"), COUNT),
    "mkv": (lambda folder: copied(plain(folder), folder / "clip.mkv"), COUNT),
    "mkv, live": (lambda folder: copied(plain(folder), folder / "clip.mkv", options={"live": "1"}), COUNT),
    "mkv, into a pipe": (
        lambda folder: copied(plain(folder), folder / "clip.mkv", muxer="matroska", piped=True),
        COUNT,
    ),
    "mkv, a late beginning": (lambda folder: copied(plain(folder), folder / "clip.mkv", begin_s=40.0), COUNT),
    "mkv, longer sound": (lambda folder: with_sound(folder / "clip.mkv", 8), COUNT),
    "mkv, longer sound, no tags": (lambda folder: without_tags(with_sound(folder / "clip.mkv", 8)), COUNT),
    "mkv, variable": (lambda folder: write_video(folder / "clip.mkv", pts_s=HELD_S), len(HELD_S)),
    "mkv, variable, no tags": (
        lambda folder: without_tags(write_video(folder / "clip.mkv", pts_s=HELD_S)),
        len(HELD_S),
    ),
    "webm": (lambda folder: write_video(folder / "clip.webm", count=COUNT, codec="libvpx-vp9"), COUNT),
    "avi": (
        lambda folder: write_video(folder / "clip.avi", count=COUNT, codec="mjpeg", pixel_format="yuvj420p"),
        COUNT,
    ),
    "avi, variable": (
        lambda folder: write_video(folder / "clip.avi", codec="mjpeg", pixel_format="yuvj420p", pts_s=HELD_S),
        len(HELD_S),
    ),
    "avi, into a pipe": (
        lambda folder: copied(
            write_video(folder / "p.avi", count=COUNT, codec="mjpeg", pixel_format="yuvj420p"),
            folder / "clip.avi",
            muxer="avi",
            piped=True,
        ),
        COUNT,
    ),
    "flv": (lambda folder: copied(plain(folder), folder / "clip.flv"), COUNT),
    "flv, a late beginning": (lambda folder: copied(plain(folder), folder / "clip.flv", begin_s=40.0), COUNT),
    "ts": (lambda folder: copied(plain(folder), folder / "clip.ts"), COUNT),
    "asf": (lambda folder: write_video(folder / "clip.wmv", count=COUNT, codec="wmv2"), COUNT),
    "raw": (lambda folder: copied(plain(folder), folder / "clip.h264"), COUNT),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_recording_lacks_nothing(tmp_path: Path, name: str) -> None:
    make, count = WHOLE[name]
    info, frames, shortfall = read_to_end(make(tmp_path))
    assert (info.shortfall, shortfall) == ("", "")
    assert info.bad_frames == 0
    assert None not in frames
    assert len(frames) == count


# --- and others ----------------------------------------------------------------------------------------------------


def halved(path: Path, share: float = 0.5) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: round(share * len(data))])
    return path


def zeroed(path: Path, share: float = 0.5) -> Path:
    """With zeros in the place of its end, as where a disk had no time to write it."""
    data = path.read_bytes()
    kept = round(share * len(data))
    path.write_bytes(data[:kept] + bytes(len(data) - kept))
    return path


BYTES = r"the file was cut: [\d,]+ of its [\d,]+ bytes are missing"
SHORT: dict[str, tuple[Callable[[Path], Path], str]] = {
    "mp4": (
        lambda folder: halved(WHOLE["mp4, index first"][0](folder)),
        rf"it ends after \d\d of 75 frames \([\d.]+ of 3 s\); {BYTES}",
    ),
    "mp4, fragments": (lambda folder: halved(WHOLE["mp4, fragments"][0](folder), 0.9), BYTES),
    "mkv": (lambda folder: halved(WHOLE["mkv"][0](folder)), rf"it ends after [\d.]+ of 3 s; {BYTES}"),
    "mkv, zeros": (lambda folder: zeroed(WHOLE["mkv"][0](folder)), r"it ends after [\d.]+ of 3 s"),
    "mkv, longer sound, no tags": (
        lambda folder: halved(WHOLE["mkv, longer sound, no tags"][0](folder), 0.4),
        rf"it ends after [\d.]+ of 8.08 s; {BYTES}",
    ),
    "avi": (lambda folder: halved(WHOLE["avi"][0](folder), 0.4), rf"it ends after [\d.]+ of 3 s; {BYTES}"),
    "flv": (lambda folder: halved(WHOLE["flv"][0](folder)), r"it ends after [\d.]+ of 3.08 s"),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_recording_that_ends_too_soon_says_by_how_much(tmp_path: Path, name: str) -> None:
    make, expected = SHORT[name]
    info, frames, shortfall = read_to_end(make(tmp_path))
    assert re.fullmatch(expected, shortfall), shortfall
    assert bool(info.shortfall) == ("bytes" in shortfall), "bytes that are missing are known at once"
    assert 0 < len(frames) < COUNT


def test_the_service_says_it_at_the_end_of_the_file(tmp_path: Path) -> None:
    path = SHORT["mp4"][0](tmp_path)
    with structlog.testing.capture_logs() as logs, StageHarness(config_of(path), tmp_path) as harness:
        harness.judging = True
        harness.run(lambda: harness.stage.ended)
        totals = harness.totals()
    (end,) = [entry for entry in logs if entry["event"] == "end of file"]
    assert end["log_level"] == "warning"
    assert end["frames"] + end["bad_frames"] == totals.captured
    assert end["bad_frames"] == totals.dropped[("capture", "bad_frame")] > 0
    assert re.match(r"it ends after \d\d of 75 frames", end["shortfall"])


def test_a_file_of_which_no_picture_is_left_says_that_it_was_cut(tmp_path: Path) -> None:
    path = copied(plain(tmp_path), tmp_path / "clip.mkv")
    start = path.read_bytes().index(b"\x1f\x43\xb6\x75")  # its first cluster
    path.write_bytes(path.read_bytes()[: start + 60])
    with pytest.raises(CameraError, match=BYTES):
        make_camera(config_of(path)).open()


@pytest.mark.parametrize(
    ("name", "last", "place"),
    [
        ("mp4", b"stts", "inside its index"),
        ("mp4", b"mdia", "inside its index"),
        ("mp4, index first", b"stts", "inside its index"),
        ("mp4", b"x264", "before its index"),
    ],
)
def test_an_mp4_cut_before_the_end_of_its_index_says_so(tmp_path: Path, name: str, last: bytes, place: str) -> None:
    path = WHOLE[name][0](tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(last)])
    with pytest.raises(CameraError, match=rf"{BYTES}, {place} \(moov\): copy it again"):
        make_camera(config_of(path)).open()
