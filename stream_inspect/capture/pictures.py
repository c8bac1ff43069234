"""Pictures as a camera: those of a folder, or those of a list. Each is a frame that stands alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_inspect.capture.bit_depth import BitDepth
from stream_inspect.capture.camera import (
    CameraError,
    CameraInfo,
    CapturedFrame,
    EndOfMediaError,
    FrameSink,
)
from stream_inspect.capture.library_output import library_output
from stream_inspect.capture.pace import Pacer
from stream_inspect.capture.planes import copy_bgr_to_slot, copy_gray_to_slot
from stream_inspect.capture.sender_clock import arrived_now
from stream_inspect.config.models import CameraConfig, ImagesSource
from stream_inspect.errors import StreamInspectError
from stream_inspect.file_names import in_number_order, printable
from stream_inspect.log import get_logger
from stream_inspect.messages import Clock

cv2.utils.logging.setLogLevel(0)  # it would print on stderr what it cannot decode, which is reported here

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".jp2", ".avif"}
    | {".pbm", ".pgm", ".ppm", ".pnm"}
)
_PICTURE_OR_FILM = frozenset({".gif"})
"""Pictures where they hold one, films where they hold several."""
PICTURE_KINDS = ", ".join(sorted(PICTURE_SUFFIXES | _PICTURE_OR_FILM))
NOT_READ_SUFFIXES = frozenset(
    {".heic", ".heif", ".jxl", ".psd", ".svg", ".tga", ".exr", ".hdr"}
    | {".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".orf", ".rw2"}
)
"""Pictures of which FFmpeg might make a film of one frame, and which are not read here."""
_PNG_DEPTH_AT = 24
_ALWAYS_OF_8_BITS = (b"\xff\xd8", b"BM", b"GIF8", b"RIFF")
"""How JPEG, BMP, GIF and WebP begin."""
_JPEG_DAMAGE, _BETWEEN_PARTS = "Corrupt JPEG data", "extraneous bytes"
"""What libjpeg says of a picture that it fills with gray, and of bytes that it passes over without loss."""
_TURNS: dict[int, tuple[bool, int | None]] = {
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}
"""By Exif's `Orientation`: whether to transpose, and then how to flip, as a code of `cv2.flip`."""
_OF_PAGES = frozenset({".tif", ".tiff", ".webp"}) | _PICTURE_OR_FILM
"""Files that may hold more than one picture."""


class PictureError(StreamInspectError):
    """A picture cannot be read. The text says why, and not which one."""


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture, and the name under which events and tables list it."""

    path: Path
    name: str


def is_picture(path: Path) -> bool:
    """Whether the file is read as a picture: by its name, and a GIF if nothing moves in it."""
    suffix = path.suffix.lower()
    return suffix in PICTURE_SUFFIXES or (suffix in _PICTURE_OR_FILM and pages_in(path) == 1)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, in the order of the numbers in their names."""
    return sorted((path for path in folder.iterdir() if is_picture(path)), key=in_number_order)


def others_in(folder: Path) -> list[str]:
    """What else lies in a folder, by name, but for what is hidden; folders end with a slash."""
    shown = (path for path in folder.iterdir() if not path.name.startswith(".") and not is_picture(path))
    return [printable(f"{path.name}{'/' if path.is_dir() else ''}") for path in sorted(shown)]


def pages_in(path: Path) -> int:
    """How many pictures the file holds, of which the first is read; 1 where that is not known."""
    if path.suffix.lower() not in _OF_PAGES:
        return 1
    from PIL import Image  # here: a film's start does without it

    try:
        with Image.open(path) as picture:
            return int(getattr(picture, "n_frames", 1))
    except Exception:  # the library raises whatever its parsers raise, and decoding will say what is wrong
        return 1


def may_be_deep(path: Path) -> bool:
    """Whether the picture may have 16 bits a value: False where its first bytes say that it has not, or are missing."""
    try:
        with path.open("rb") as file:
            head = file.read(_PNG_DEPTH_AT + 1)
    except OSError:
        return False
    if head.startswith(b"\x89PNG"):
        return head[_PNG_DEPTH_AT:] == b"\x10"
    return not head.startswith(_ALWAYS_OF_8_BITS)


def load_picture(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The picture as (H, W) or (H, W, 3) BGR, uint8 or uint16, upright as its file says. Raises `PictureError`."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from None
    if not data.size:
        raise PictureError("the file is empty")
    picture = _decoded(data)
    if picture.dtype == np.uint16:
        return picture.astype(np.uint16, copy=False)
    if picture.dtype != np.uint8:
        raise PictureError(f"has values of the type {picture.dtype}, not 8 or 16 bits")
    return picture.astype(np.uint8, copy=False)


def _decoded(data: NDArray[np.uint8]) -> NDArray[Any]:
    """OpenCV's picture, upright. Raises `PictureError`, also where libjpeg has made up what is missing."""
    in_boxes = data[4:8].tobytes() == b"ftyp"
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    try:
        with library_output() as said:
            picture = cv2.imdecode(data, flags | cv2.IMREAD_IGNORE_ORIENTATION if in_boxes else flags)
    except cv2.error as error:
        raise PictureError(f"cannot be decoded: {error.err}") from None
    if picture is None:
        words = f" ({'; '.join(said)})" if said else ""
        raise PictureError(f"cannot be decoded: damaged, cut short, or not a picture{words}")
    if damage := [line for line in said if line.startswith(_JPEG_DAMAGE) and _BETWEEN_PARTS not in line]:
        raise PictureError(f"damaged: {'; '.join(damage)}")
    return _upright(picture, _turn_in_boxes(data)) if in_boxes else picture


def _turn_in_boxes(data: NDArray[np.uint8]) -> int:
    """How an AVIF file turns its picture, as a value of Exif's `Orientation`.

    Its boxes `irot` and `imir` say so, and Exif does not count (ISO 23008-12). OpenCV goes by Exif alone. Raises
    `PictureError`.
    """
    from PIL import ExifTags, Image  # here: a film's start does without it

    try:
        with Image.open(BytesIO(data.tobytes())) as picture:
            return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except OSError as error:
        raise PictureError(f"how it is to be turned cannot be read: {error}") from None


def _upright(picture: NDArray[Any], orientation: int) -> NDArray[Any]:
    transposed, flip = _TURNS.get(orientation, (False, None))
    turned = cv2.transpose(picture) if transposed else picture
    return turned if flip is None else cv2.flip(turned, flip)


class PicturesCamera:
    """The pictures of the configured folder, in the order of their names, or `pictures`, in their own order.

    One that cannot be read counts as a bad frame, and `unreadable` gets its name and the reason; without it, both are
    logged. Of a file with several pages the first is read. `open` looks at all that may have 16 bits a value, so that
    the bit depth of none depends on those before it. Sizes may change from picture to picture: capture lays each
    down in a ring of its size.
    """

    def __init__(
        self,
        config: CameraConfig,
        pictures: Sequence[PictureFile] = (),
        unreadable: Callable[[str, str], None] | None = None,
    ) -> None:
        assert isinstance(config.source, ImagesSource)
        self._source = config.source
        self._chosen = pictures
        self._unreadable = unreadable or self._log_unreadable
        self._logs = unreadable is None
        self._time_base = 1 / Fraction(self._source.fps).limit_denominator(1000)
        self._pictures: Sequence[PictureFile] = ()
        self._next = 0
        self._pacer: Pacer | None = None
        self._bit_depth = config.bit_depth
        self._depth = BitDepth(self._bit_depth)
        self._log = get_logger(__name__, camera=config.name)

    def open(self) -> CameraInfo:
        self._pictures = self._chosen or pictures_of_folder(self._source.path)
        self._next = 0
        first = self._first_readable()
        self._depth = BitDepth(self._bit_depth)
        if deep := [one for one in self._pictures if may_be_deep(one.path)]:
            self._log.info("reading the values of pictures that may have 16 bits", pictures=len(deep))
        for one in deep:
            with suppress(PictureError):  # reported when its turn comes
                self._depth.learn(load_picture(one.path), one.name)
        self._pacer = Pacer() if self._source.pace == "real_time" else None
        return CameraInfo(
            width_px=first.shape[1],
            height_px=first.shape[0],
            fps=self._source.fps,
            codec="pictures",
            time_base=self._time_base,
            clock=Clock.ARRIVAL,
            frame_count=len(self._pictures),
            notes=self._depth.notes(),
        )

    def read(self, sink: FrameSink) -> CapturedFrame | None:
        if not self._pictures:
            raise CameraError("the folder is not open")
        if self._next >= len(self._pictures):
            raise EndOfMediaError("end of the folder")
        pts, self._next = self._next, self._next + 1
        chosen = self._pictures[pts]
        try:
            loaded = load_picture(chosen.path)
        except PictureError as error:
            self._unreadable(chosen.name, str(error))
            return None
        if self._logs and (pages := pages_in(chosen.path)) > 1:
            self._log.warning("only the first page of a picture file is judged", file=chosen.name, pages=pages)
        if self._pacer is not None:
            self._pacer.wait(float(pts * self._time_base))
        arrival = arrived_now()
        picture = self._depth.to_eight_bits(loaded)
        lay = copy_gray_to_slot if picture.ndim == 2 else copy_bgr_to_slot
        return CapturedFrame(
            picture=lay(picture, sink),
            pts=pts,
            time_base=self._time_base,
            capture_mono_ns=arrival.mono_ns,
            capture_utc_ns=arrival.utc_ns,
            clock=arrival.clock,
            file=chosen.name,
            taken_as=self._depth.taken_as(loaded),
        )

    def close(self) -> None:
        self._pictures = ()

    def _first_readable(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        why = ""
        for one in self._pictures:
            try:
                return load_picture(one.path)
            except PictureError as error:
                why = why or f"{one.name}: {error}"
        raise CameraError(f"none of the {len(self._pictures)} pictures can be read; {why}")

    def _log_unreadable(self, name: str, reason: str) -> None:
        self._log.warning("picture cannot be read", file=name, error=reason)


def pictures_of_folder(folder: Path) -> list[PictureFile]:
    """The pictures of the folder of a source, as `pictures_in`. Raises `CameraError` where there is none."""
    if folder.is_file():
        raise CameraError(f"{printable(folder)} is a file, not a folder of pictures: write kind: file for a video")
    if not folder.is_dir():
        raise CameraError(f"no such folder: {printable(folder)}")
    try:
        found = pictures_in(folder)
    except OSError as error:
        raise CameraError(f"cannot read the folder {printable(folder)}: {error.strerror}") from None
    if not found:
        raise CameraError(f"{printable(folder)} contains no picture ({PICTURE_KINDS})")
    return [PictureFile(path, printable(path.name)) for path in found]
