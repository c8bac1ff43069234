"""Picture files: what is read, how they come to stand upright, and what is said of those that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from stream_inspect.capture.library_output import library_output
from stream_inspect.capture.pictures import PictureError, load_picture
from stream_inspect.picture import UInt8Array
from tests.capture.videos import picture


def noise(width: int = 64, height: int = 64) -> UInt8Array:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def encoded(suffix: str) -> bytes:
    return cv2.imencode(suffix, noise())[1].tobytes()


# --- upright -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif"])
def test_every_format_that_can_turn_its_picture_is_read_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    """All eight: by Exif, or for AVIF by its boxes, which Pillow writes in its stead."""
    path = tmp_path / f"1.{suffix}"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(picture(5, 64, 48)[:, :, ::-1]).save(path, exif=exif, quality=95)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))[:, :, ::-1]
    shown = load_picture(path)
    assert shown.shape == upright.shape
    assert np.abs(shown.astype(int) - upright).mean() < 6


def test_an_avif_file_that_says_its_turn_twice_is_turned_once(tmp_path: Path) -> None:
    """libavif writes Exif and boxes."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    said = np.frombuffer(exif.tobytes()[6:], np.uint8)
    path, stored = tmp_path / "1.avif", picture(5, 64, 48)
    path.write_bytes(cv2.imencodeWithMetadata(".avif", stored, [cv2.IMAGE_METADATA_EXIF], [said])[1].tobytes())
    shown = load_picture(path)
    assert shown.shape == (64, 48, 3)
    assert np.abs(shown.astype(int) - np.rot90(stored, -1)).mean() < 6


# --- damaged files -----------------------------------------------------------------------------------------------


def test_a_library_s_words_are_in_the_reason_and_not_on_stderr(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    png = bytearray(encoded(".png"))
    png[600] ^= 0xFF
    (tmp_path / "1.png").write_bytes(png)
    with pytest.raises(PictureError, match=r"not a picture \(libpng error: IDAT: CRC error\)"):
        load_picture(tmp_path / "1.png")
    assert capfd.readouterr().err == ""


def test_a_jpeg_that_is_filled_with_gray_is_no_picture(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """libjpeg gives the rest of a picture as gray and says so on stderr alone."""
    (tmp_path / "1.jpg").write_bytes(encoded(".jpg")[:1500] + b"\xff\xd9")
    with pytest.raises(PictureError, match="damaged: Corrupt JPEG data: premature end of data segment"):
        load_picture(tmp_path / "1.jpg")
    assert capfd.readouterr().err == ""


def test_a_jpeg_with_bytes_between_its_parts_is_whole(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    jpeg = encoded(".jpg")
    (tmp_path / "1.jpg").write_bytes(jpeg[:-2] + b"\x01\x02\x03" + jpeg[-2:])
    whole = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(load_picture(tmp_path / "1.jpg"), whole)
    assert capfd.readouterr().err == ""


def test_stderr_is_as_it_was_afterwards(capfd: pytest.CaptureFixture) -> None:
    with library_output() as lines:
        os.write(2, b"one\none\ntwo\n")
    os.write(2, b"after")
    assert lines == ["one", "two"]
    assert capfd.readouterr().err == "after"
