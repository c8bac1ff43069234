"""Picture files: what is read, how they come to stand upright, and what is said of those that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from stream_inspect.capture.library_output import library_output
from stream_inspect.capture.pictures import PictureError, load_picture
from stream_inspect.picture import UInt8Array


def noise(width: int = 64, height: int = 64) -> UInt8Array:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def encoded(suffix: str) -> bytes:
    return cv2.imencode(suffix, noise())[1].tobytes()


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
    with pytest.raises(ZeroDivisionError), library_output() as lines:
        os.write(2, b"one\none\ntwo\n")
        raise ZeroDivisionError
    os.write(2, b"after")
    assert lines == ["one", "two"]
    assert capfd.readouterr().err == "after"
