"""annotated/ of a replay of pictures: each with its marks, at its own size and under its own name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from stream_inspect.capture.pictures import PictureFile
from stream_inspect.commands.replay.recording import ReplayFrame
from stream_inspect.draw.annotate import draw, marks_at

_KEPT_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
"""Written as they came; what any viewer shows. All others become PNG."""
_JPEG_QUALITY = 92


class AnnotatedPictures:
    """Writes every judged picture into a folder, the same bytes at each run."""

    held_bytes = 0

    def __init__(self, folder: Path, pictures: Sequence[PictureFile]) -> None:
        self._folder = folder
        self._targets = _targets([one.name for one in pictures])

    def put(self, frame: ReplayFrame) -> None:
        """The next picture, judged."""
        target = self._folder / self._targets[frame.header.file]
        target.parent.mkdir(parents=True, exist_ok=True)
        bgr = np.ascontiguousarray(frame.picture.to_bgr())
        draw(bgr, marks_at(frame.header.id.pts_s, frame.tracked))
        is_png = target.suffix.lower() == ".png"
        encoded, data = cv2.imencode(target.suffix, bgr, [] if is_png else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        if not encoded:
            raise ValueError(f"cannot encode a picture of shape {bgr.shape} as {target.suffix}")
        target.write_bytes(data.tobytes())

    def draw(self, *, everything: bool = False) -> None:
        """Nothing waits: no other picture is needed to draw one."""

    def close(self) -> None:
        """Nothing is held open."""


def _targets(names: Sequence[str]) -> dict[str, str]:
    """The file of each picture: its own name where that says JPEG or PNG, else a PNG whose name no other has."""
    taken = {name for name in names if Path(name).suffix.lower() in _KEPT_SUFFIXES}
    targets = {name: name for name in taken}
    for name in names:
        if name not in taken:
            target = f"{name}.png"
            while target in taken:
                target = f"{target}.png"
            taken.add(target)
            targets[name] = target
    return targets
