"""What a container says of its pictures' shape is done to them, or it is said that it was not."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
import pytest
import structlog.testing
from av.filter import Graph

from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import CameraError, CameraInfo, CapturedFrame, EndOfMediaError, PictureNotes
from stream_inspect.capture.memory_sink import FreshArrays
from stream_inspect.capture.stated_crop import Crop
from stream_inspect.capture.video_stream import video_stream
from stream_inspect.config.models import CameraConfig
from stream_inspect.picture import UInt8Array
from stream_inspect.rotation import file_metadata
from tests.capture.harness import StageHarness
from tests.capture.videos import DISPLAY_MATRICES, picture, set_display_matrix, write_video


def config_of(path: Path) -> CameraConfig:
    return CameraConfig.model_validate({"name": "c1", "source": {"kind": "file", "path": str(path), "pace": "fast"}})


def everything(path: Path) -> tuple[CameraInfo, list[CapturedFrame]]:
    """What the file says and shows; every frame has the size that was said."""
    camera = make_camera(config_of(path))
    info = camera.open()
    frames: list[CapturedFrame] = []
    try:
        while True:
            frame = camera.read(FreshArrays())
            assert frame is not None
            assert (frame.picture.width_px, frame.picture.height_px) == (info.width_px, info.height_px)
            frames.append(frame)
    except EndOfMediaError:
        return info, frames
    finally:
        camera.close()


# --- the display matrix --------------------------------------------------------------------------------------------


def shown_by(matrix: Sequence[int], stored: UInt8Array) -> UInt8Array:
    """Each pixel of (H, W, 3) moved to where the matrix puts it."""
    a, b, c, d = (round(value / 65536) for value in matrix)
    y, x = np.mgrid[0 : stored.shape[0], 0 : stored.shape[1]]
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    shown = np.zeros((to_y.max() + 1, to_x.max() + 1, 3), np.uint8)
    shown[to_y, to_x] = stored
    return shown


@pytest.mark.parametrize("name", sorted(DISPLAY_MATRICES.keys() - {"slanted", "empty"}))
def test_pictures_are_turned_and_mirrored_as_the_display_matrix_says(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / "clip.mp4", count=3)
    stored = [frame.picture.to_bgr() for frame in everything(path)[1]]
    set_display_matrix(path, name)
    info, frames = everything(path)
    assert info.notes.ignored == ()
    assert ("mirrored" in info.notes.honoured[0]) == (name not in ("90", "180", "270"))
    for before, after in zip(stored, frames, strict=True):
        assert np.array_equal(after.picture.to_bgr(), shown_by(DISPLAY_MATRICES[name], before))


@pytest.mark.parametrize(("name", "ignored"), [("slanted", r"not a quarter turn \(30 degrees\)"), ("empty", None)])
def test_pictures_that_cannot_be_turned_so_are_taken_as_they_are_stored(
    tmp_path: Path, name: str, ignored: str | None
) -> None:
    path = write_video(tmp_path / "clip.mp4", count=3)
    stored = [frame.picture.i420 for frame in everything(path)[1]]
    set_display_matrix(path, name)
    info, frames = everything(path)
    assert all(np.array_equal(frame.picture.i420, before) for frame, before in zip(frames, stored, strict=True))
    if ignored is None:
        assert info.notes == PictureNotes()
    else:
        (note,) = info.notes.ignored
        assert "not a quarter turn (30 degrees)" in note


def test_a_clip_of_ours_is_turned_back_after_its_matrix(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as output:
        output.metadata.update(file_metadata(90))
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(0, 160, 120), format="bgr24")))
        output.mux(stream.encode())
    back = everything(path)[1][0].picture.to_bgr()
    set_display_matrix(path, "mirrored")
    mirrored = everything(path)[1][0].picture.to_bgr()
    assert np.array_equal(np.rot90(mirrored, -1), np.rot90(back, -1)[:, ::-1])


# --- the shape of a pixel ------------------------------------------------------------------------------------------


def write_with_aspect(path: Path, size: tuple[int, int], aspect: Fraction, shown: tuple[int, int]) -> UInt8Array:
    """A video of `size` whose pixels have this aspect; returns the picture as it is meant, of size `shown`."""
    meant = picture(7, *shown)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        stored = np.asarray(cv2.resize(meant, size, interpolation=cv2.INTER_AREA), np.uint8)
        for _ in range(3):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="bgr24")))
        output.mux(stream.encode())
    return meant


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi", "h264"])
@pytest.mark.parametrize(
    ("size", "aspect", "shown"),
    [
        ((160, 240), Fraction(2), (320, 240)),
        ((320, 120), Fraction(1, 2), (320, 240)),
        ((352, 288), Fraction(12, 11), (384, 288)),
        ((180, 120), Fraction(10, 11), (180, 132)),
        ((240, 270), Fraction(4, 3), (320, 270)),
    ],
)
def test_pixels_become_square_and_no_detail_is_lost(
    tmp_path: Path, size: tuple[int, int], aspect: Fraction, shown: tuple[int, int], suffix: str
) -> None:
    path = tmp_path / f"clip.{suffix}"
    meant = write_with_aspect(path, size, aspect, shown)
    info, frames = everything(path)
    assert (info.width_px, info.height_px) == shown
    (note,) = info.notes.honoured
    stored = f"{size[0]}x{size[1]}"
    assert (
        note == f"pixels of {aspect.numerator}:{aspect.denominator} made square: {stored} to {shown[0]}x{shown[1]} px"
    )
    assert len(frames) == 3
    assert np.abs(frames[0].picture.to_bgr().astype(int) - meant).mean() < 6


@pytest.mark.parametrize(
    ("aspect", "ignored"), [(Fraction(1), False), (Fraction(4319, 4320), False), (Fraction(1, 100), True)]
)
def test_pixels_that_are_nearly_square_or_not_believable_stay_as_they_are(
    tmp_path: Path, aspect: Fraction, ignored: bool
) -> None:
    path = tmp_path / "clip.mkv"
    write_with_aspect(path, (160, 120), aspect, (160, 120))
    info, _ = everything(path)
    assert (info.width_px, info.height_px) == (160, 120)
    assert info.notes.honoured == ()
    assert info.notes.ignored == (("pixels of 1:100 are taken as square",) if ignored else ())


def test_a_lying_picture_of_wide_pixels_is_made_square_before_it_is_turned(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    meant = write_with_aspect(path, (160, 240), Fraction(2), (320, 240))
    set_display_matrix(path, "90")
    info, frames = everything(path)
    assert (info.width_px, info.height_px) == (240, 320)
    assert len(info.notes.honoured) == 2
    assert np.abs(frames[0].picture.to_bgr().astype(int) - np.rot90(meant, -1)).mean() < 6


# --- the crop ------------------------------------------------------------------------------------------------------


def set_crop(mp4: Path, crop: Crop, size: tuple[int, int]) -> None:
    """Write a clean aperture into an MP4's track (ISO 14496-12, 12.1.4): a size, and how far its centre is moved."""
    data = bytearray(mp4.read_bytes())
    at = data.index(b"avcC") - 4
    width, height = size[0] - crop.left_px - crop.right_px, size[1] - crop.top_px - crop.bottom_px
    right, down = crop.left_px - crop.right_px, crop.top_px - crop.bottom_px
    aperture = struct.pack(">I4sIIIIiIiI", 40, b"clap", width, 1, height, 1, right, 2, down, 2)
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        place = data.rindex(name, 0, at) - 4
        (box_bytes,) = struct.unpack_from(">I", data, place)
        struct.pack_into(">I", data, place, box_bytes + len(aperture))
    data[at:at] = aperture
    mp4.write_bytes(data)


@pytest.mark.parametrize("crop", [Crop(6, 14, 12, 8), Crop(0, 0, 20, 0), Crop(5, 6, 3, 4)])
def test_what_the_container_crops_is_not_judged(tmp_path: Path, crop: Crop) -> None:
    path = write_video(tmp_path / "clip.mp4", count=3)
    stored = [frame.picture for frame in everything(path)[1]]
    set_crop(path, crop, (160, 120))
    info, frames = everything(path)
    inside = np.s_[crop.top_px : 120 - crop.bottom_px, crop.left_px : 160 - crop.right_px]
    for before, after in zip(stored, frames, strict=True):
        assert np.array_equal(after.picture.luma, before.luma[inside])
        odd = crop.left_px % 2 or crop.top_px % 2
        difference = np.abs(after.picture.to_bgr().astype(int) - before.to_bgr()[inside])
        assert np.percentile(difference, 95) <= (12 if odd else 0)
    assert info.notes.honoured == (f"cropped from 160x120 to {info.width_px}x{info.height_px} px",)


def test_a_crop_comes_before_the_turn(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", count=3)
    (first, *_) = (frame.picture.luma for frame in everything(path)[1])
    set_display_matrix(path, "90")
    set_crop(path, Crop(40, 0, 0, 0), (160, 120))
    info, frames = everything(path)
    assert (info.width_px, info.height_px) == (120, 120)
    assert np.array_equal(frames[0].picture.luma, np.rot90(first[:, 40:], -1))


# --- interlaced pictures -------------------------------------------------------------------------------------------


def write_interlaced(
    path: Path,
    codec: str,
    options: dict[str, str],
    pixel_format: str,
    top_first: bool,
    size: tuple[int, int] = (320, 240),
) -> None:
    """Frames of two moments, 0 and 1, 2 and 3..., each in every second line, the earlier one first."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        stream.codec_context.field_order = 2 if top_first else 3  # AV_FIELD_TT, AV_FIELD_BB
        marked = Graph()  # PyAV cannot mark a frame itself
        source = marked.add_buffer(width=size[0], height=size[1], format=pixel_format, time_base=Fraction(1, 25))
        field = marked.add("setfield", "tff" if top_first else "bff")
        marked.link_nodes(source, field, marked.add("buffersink")).configure()
        for index in range(4):
            earlier, later = picture(4 * index, *size), picture(4 * index + 2, *size)
            frame = earlier.copy()
            frame[1::2] = later[1::2]
            if not top_first:
                frame[:] = later
                frame[1::2] = earlier[1::2]
            marked.push(av.VideoFrame.from_ndarray(frame, format="bgr24").reformat(format=pixel_format))
            output.mux(stream.encode(cast(av.VideoFrame, marked.pull())))
        output.mux(stream.encode())


@pytest.mark.parametrize("top_first", [True, False], ids=["top first", "bottom first"])
@pytest.mark.parametrize(
    ("codec", "options", "pixel_format", "suffix"),
    [
        ("libx264", {"crf": "8"}, "yuv420p", "mp4"),
        ("libx264", {"crf": "8"}, "yuv422p", "mkv"),
        ("libx264", {"crf": "8"}, "yuv422p10le", "mkv"),
        ("libx264", {"crf": "8"}, "gray", "mkv"),
        ("mpeg2video", {"flags": "+ilme+ildct", "b": "20M"}, "yuv420p", "mpg"),
        ("mpeg2video", {"flags": "+ilme+ildct", "b": "20M"}, "yuv420p", "ts"),
        ("ffv1", {}, "yuv420p", "mkv"),
        ("prores_ks", {"flags": "+ildct"}, "yuv422p10le", "mov"),
    ],
)
def test_of_interlaced_pictures_the_earlier_moment_is_judged(
    tmp_path: Path, codec: str, options: dict[str, str], pixel_format: str, suffix: str, top_first: bool
) -> None:
    path = tmp_path / f"clip.{suffix}"
    order = {"x264-params": "tff=1" if top_first else "bff=1"} if codec == "libx264" else {}
    write_interlaced(path, codec, options | order, pixel_format, top_first)
    info, frames = everything(path)
    assert (info.width_px, info.height_px) == (320, 240)
    first = "top" if top_first else "bottom"
    assert info.notes.honoured[0].startswith(f"interlaced, {first} field first: of each picture one field, the earlier")
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    assert len(frames) == len(decoded) == 4
    for index, (frame, raw) in enumerate(zip(frames, decoded, strict=True)):
        plane = raw.reformat(format="yuv422p" if "422" in pixel_format else "yuv420p").to_ndarray()
        if pixel_format != "gray":
            lines = np.s_[0:240:2] if top_first else np.s_[1:240:2]
            assert np.abs(frame.picture.luma[lines].astype(int) - plane[lines]).max() <= 1, "the lines of that field"
        moment = picture(4 * index, 320, 240)
        expected = cv2.cvtColor(moment, cv2.COLOR_BGR2GRAY)
        shown = cv2.cvtColor(frame.picture.to_bgr(), cv2.COLOR_BGR2GRAY)
        off = np.abs(shown.astype(int) - expected)
        assert (off > 60).sum() <= 2 * 16 * 2, "only the square's upper and lower edge may differ"


@pytest.mark.parametrize(("size", "pixel_format"), [((720, 576), "yuv420p"), ((720, 480), "yuv411p")])
@pytest.mark.parametrize("suffix", ["avi", "dv", "mov"])
def test_of_dv_the_bottom_field_is_the_earlier_moment(
    tmp_path: Path, size: tuple[int, int], pixel_format: str, suffix: str
) -> None:
    path = tmp_path / f"clip.{suffix}"
    rate = {"flags": "+ildct"}
    write_interlaced(path, "dvvideo", rate, pixel_format, top_first=False, size=size)
    info, frames = everything(path)
    assert info.notes.honoured[0].startswith("interlaced, bottom field first")
    for index, frame in enumerate(frames):
        shown = cv2.resize(cv2.cvtColor(frame.picture.to_bgr(), cv2.COLOR_BGR2GRAY), size).astype(int)
        off = [
            (np.abs(shown - cv2.cvtColor(picture(4 * index + later, *size), cv2.COLOR_BGR2GRAY)) > 80).sum()
            for later in (0, 2)
        ]
        assert off[0] < 40 < 16 * 16 < off[1]


def test_interlaced_h265_is_said(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    order = {"x265-params": "log-level=none:interlace=tff"}
    write_video(path, count=5, codec="libx265", options=order)
    info, frames = everything(path)
    assert len(frames) == 5
    with av.open(str(path)) as container:
        if not next(container.decode(video=0)).interlaced_frame:
            pytest.skip("this libx265 writes no interlaced pictures")
    assert "set the camera to progressive" in info.notes.ignored[0]


# --- which stream, and what else is said ---------------------------------------------------------------------------


def write_with_cover(path: Path, *, film: bool) -> None:
    """An MP4 of film or sound whose cover is its first stream: FFmpeg counts them in the order of the index."""
    with av.open(str(path), "w", format="mp4") as output:
        cover = output.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 320, 240, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = output.add_stream("libx264", rate=25) if film else output.add_stream("aac", rate=8000)
        if film:
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for packet in [
            *cover.encode(av.VideoFrame.from_ndarray(picture(1, 320, 240), format="bgr24")),
            *cover.encode(),
        ]:
            packet.pts = packet.dts = 0
            output.mux(packet)
        for index in range(10):
            if film:
                output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index, 160, 120), format="bgr24")))
                continue
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate = 8000
            output.mux(stream.encode(sound))
        output.mux(stream.encode())
    data = path.read_bytes()
    index, cover_box, tracks = data.index(b"moov") - 4, data.index(b"udta") - 4, data.index(b"trak") - 4
    (cover_bytes,) = struct.unpack_from(">I", data, cover_box)
    assert data.index(b"mdat") < index, "no track's place in the file changes"
    udta = data[cover_box : cover_box + cover_bytes]
    path.write_bytes(data[:tracks] + udta + data[tracks:cover_box] + data[cover_box + cover_bytes :])


def test_the_film_is_read_and_not_its_cover(tmp_path: Path) -> None:
    write_with_cover(tmp_path / "clip.mp4", film=True)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.streams.video[0].width == 320, "the cover is the first stream"
    info, frames = everything(tmp_path / "clip.mp4")
    assert (info.width_px, info.height_px, len(frames)) == (160, 120, 10)


def test_the_film_is_read_and_not_its_preview(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as output:
        streams = [output.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, (width, height) in zip(streams, ((160, 120), (320, 240)), strict=True):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(5):
            for stream in streams:
                shown = picture(index, stream.width, stream.height)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="bgr24")))
        for stream in streams:
            output.mux(stream.encode())
    info, frames = everything(path)
    assert (info.width_px, info.height_px, len(frames)) == (320, 240, 5)


def write_with_still(path: Path, *, film: int = 10) -> Path:
    """A large picture that is not marked as a cover, before a small film of so many frames."""
    with av.open(str(path), "w") as output:
        still = output.add_stream("mjpeg", rate=25)
        still.width, still.height, still.pix_fmt = 320, 240, "yuvj420p"
        moving = output.add_stream("mpeg4", rate=25)
        moving.width, moving.height, moving.pix_fmt = 160, 120, "yuv420p"
        for stream, count in ((still, 1), (moving, film)):
            for index in range(count):
                shown = av.VideoFrame.from_ndarray(picture(index, stream.width, stream.height), format="bgr24")
                output.mux(stream.encode(shown.reformat(format=stream.pix_fmt)))
            output.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov", "clip.mkv", "clip.avi"])
def test_the_film_is_read_and_not_a_still(tmp_path: Path, name: str) -> None:
    info, frames = everything(write_with_still(tmp_path / name))
    assert (info.width_px, info.height_px, len(frames)) == (160, 120, 10)
    assert info.notes.honoured == ("video stream 1 (mpeg4 160x120) is read; not read: 0 (mjpeg 320x240, one picture)",)


def test_what_is_marked_as_a_still_is_none_of_the_films(tmp_path: Path) -> None:
    path = write_with_still(tmp_path / "clip.mkv")
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"DURATI__"))
    with av.open(str(path)) as container:
        assert video_stream(container).width == 320, "nothing says that it is one picture"
        container.streams.video[0].disposition = av.stream.Disposition.still_image
        assert video_stream(container).width == 160


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_of_stills_alone_the_largest_is_read(tmp_path: Path, name: str) -> None:
    info, frames = everything(write_with_still(tmp_path / name, film=1))
    assert (info.width_px, info.height_px, len(frames)) == (320, 240, 1)


def test_sound_with_a_cover_has_no_video(tmp_path: Path) -> None:
    write_with_cover(tmp_path / "sound.m4a", film=False)
    with pytest.raises(CameraError, match="there is no video in it, only a cover picture"):
        make_camera(config_of(tmp_path / "sound.m4a")).open()


def test_two_views_in_one_picture_are_said_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.metadata["stereo_mode"] = "left_right"
        for index in range(10):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index, 160, 120), format="bgr24")))
        output.mux(stream.encode())
    with structlog.testing.capture_logs() as logs, StageHarness(config_of(path), tmp_path) as harness:
        harness.judging = True
        harness.run(lambda: harness.stage.ended)
    said = [entry for entry in logs if "as they are meant" in entry["event"]]
    assert [entry["pictures"] for entry in said] == ["stereo: both views of a pair are judged as one picture"]
