"""Tries the pictures of a folder: how many can be read, what the others lack, and what of the folder is left out."""

from __future__ import annotations

import time

from stream_inspect.capture.bit_depth import BitDepth
from stream_inspect.capture.camera import CameraError
from stream_inspect.capture.pictures import PictureError, load_picture, others_in, pages_in, pictures_of_folder
from stream_inspect.config.models import CameraConfig, ImagesSource
from stream_inspect.file_names import listed
from stream_inspect.findings import Finding, fail, ok, warn
from stream_inspect.rotation import rotated_size

TRY_S = 10.0
"""Pictures are tried for this long: some hundreds of a camera's."""


def check_folder(config: CameraConfig) -> tuple[list[Finding], tuple[int, int] | None]:
    """What is found, and the (width, height) in px of the first judged picture; None where there is none."""
    assert isinstance(config.source, ImagesSource)
    item, folder = f"camera {config.name}", config.source.path
    try:
        pictures = pictures_of_folder(folder)
        left_out = others_in(folder)
    except CameraError as error:
        return [fail(item, str(error))], None
    depth, size_px = BitDepth(config.bit_depth), None
    unreadable: list[str] = []
    tried, give_up_s = 0, time.monotonic() + TRY_S
    for one in pictures:
        if tried and time.monotonic() > give_up_s:
            break
        tried += 1
        try:
            picture = load_picture(one.path)
        except PictureError as error:
            unreadable.append(f"{one.name} ({error})")
            continue
        size_px = size_px or rotated_size(picture.shape[1], picture.shape[0], config.rotate_deg)
        depth.learn(picture, one.name)
        if (pages := pages_in(one.path)) > 1:
            left_out.append(f"{one.name}: pages 2 to {pages}")
    of_those = (
        f"{len(pictures)} pictures" if tried == len(pictures) else f"the first {tried} of {len(pictures)} pictures"
    )
    if size_px is None:
        return [fail(item, f"none of {of_those} can be read: {listed(unreadable)}")], None
    found = [ok(item, f"{len(pictures)} pictures, the first {size_px[0]}x{size_px[1]} px; each is judged")]
    if tried < len(pictures):
        found.append(ok(item, f"{of_those} were tried, within {TRY_S:g} s"))
    if unreadable:
        found.append(warn(item, f"{len(unreadable)} of {of_those} cannot be read: {listed(unreadable)}"))
    if left_out:
        found.append(warn(item, f"left out of the folder: {listed(left_out)}"))
    notes = depth.notes()
    return [
        *found,
        *(ok(item, note) for note in notes.honoured),
        *(warn(item, note) for note in notes.ignored),
    ], size_px
