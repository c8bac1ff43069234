"""What is replayed: one video, or pictures, each with the name that the results list it under."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_inspect.capture.build import make_camera, turned
from stream_inspect.capture.camera import Camera
from stream_inspect.capture.pictures import (
    NOT_READ_SUFFIXES,
    PICTURE_KINDS,
    PictureFile,
    PicturesCamera,
    is_picture,
    others_in,
    pages_in,
    pictures_in,
)
from stream_inspect.config.models import CameraConfig, FileSource, ImagesSource
from stream_inspect.errors import UsageError
from stream_inspect.file_names import listed, printable
from stream_inspect.inspect.models import sha256_of


@dataclass(frozen=True, slots=True)
class Material:
    """What is replayed. `pictures` is empty where it is a video."""

    paths: Sequence[Path]
    """The video or the pictures, as files."""
    name: str
    pictures: Sequence[PictureFile] = ()
    left_out: Sequence[str] = ()
    """What lies in the folders and is not a picture, and pages of pictures after the first."""

    @property
    def source(self) -> FileSource | ImagesSource:
        """As the source of a camera, read as fast as it is judged."""
        path = self.paths[0]
        if self.pictures:
            return ImagesSource(kind="images", path=path.parent, pace="fast")
        return FileSource(kind="file", path=path, pace="fast")

    def camera(self, config: CameraConfig, unreadable: Callable[[str, str], None]) -> Camera:
        """The camera that reads it; `unreadable` gets the name of each picture that cannot be read, and why."""
        if not self.pictures:
            return make_camera(config)
        return turned(PicturesCamera(config, self.pictures, unreadable), config)

    def sha256(self) -> str:
        """Of the video's bytes; of the pictures' names and bytes, in their order."""
        if not self.pictures:
            return sha256_of(self.paths[0])
        everything = hashlib.sha256()
        for one in self.pictures:
            everything.update(f"{one.name}\0{_hash_or_none(one.path)}\n".encode())
        return everything.hexdigest()


def find_material(paths: Sequence[Path]) -> Material:
    """The video, the pictures, or the pictures of the folders at these paths.

    Pictures keep the order of the paths, and within a folder that of the numbers in their names; folders in a folder
    are left out. Raises `UsageError` where a folder holds no picture, and for a video next to anything else.
    """
    found: list[Path] = []
    left_out: list[str] = []
    for path in paths:
        if path.is_dir():
            found += _pictures_of(path, left_out, alone=len(paths) == 1)
        elif path.suffix.lower() in NOT_READ_SUFFIXES:
            raise UsageError(f"{path}: pictures of the kind {path.suffix} are not read: save it as PNG, TIFF or JPEG")
        elif is_picture(path):
            found.append(path)
        elif len(paths) > 1:
            raise UsageError(f"{path} is not a picture ({PICTURE_KINDS}): replay pictures together, a video by itself")
        else:
            return Material([path], path.name)
    files = list(dict.fromkeys(Path(os.path.abspath(path)) for path in found))
    folder = os.path.commonpath([file.parent for file in files])
    pictures = [PictureFile(file, printable(file.relative_to(folder).as_posix())) for file in files]
    counted = [(one.name, pages_in(one.path)) for one in pictures]
    left_out += [f"{name}: pages 2 to {pages}" for name, pages in counted if pages > 1]
    name = pictures[0].name if len(pictures) == 1 else printable(Path(folder).name)
    return Material(files, name, pictures, left_out)


def _pictures_of(folder: Path, left_out: list[str], *, alone: bool) -> list[Path]:
    try:
        found, others = pictures_in(folder), others_in(folder)
    except OSError as error:
        raise UsageError(f"cannot read the folder {folder}: {error.strerror}") from None
    if not found:
        inside = [printable(folder / name.rstrip("/")) for name in others if name.endswith("/")]
        hint = f"; name the folders in it instead: {listed(inside)}" if inside else ""
        raise UsageError(f"{folder} contains no picture ({PICTURE_KINDS}){hint}")
    prefix = "" if alone else f"{folder.name}/"
    left_out += [printable(prefix) + name for name in others]
    return found


def _hash_or_none(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return "cannot be read"
