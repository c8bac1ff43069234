"""A detector and a segmenter that find coloured rectangles: small real plug-ins for tests of what is around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_inspect.inspect.detect.detector import ModelError, OutOfMemoryError, PromptSet, RawDetections
from stream_inspect.inspect.prompts import PromptsError
from stream_inspect.inspect.segment.segmenter import BoolMask, CropPreference
from stream_inspect.picture import UInt8Array

LONGEST = 40
"""Characters of a query that the scripted detector reads."""
COLOURS = {"red": 0, "green": 1, "blue": 2}
"""Queries that the scripted detector understands, and the channel each lights up."""


def rectangle(picture: UInt8Array, colour: str, box: tuple[int, int, int, int], value: int = 255) -> UInt8Array:
    """Paint (in place) what the scripted detector scores with value / 255."""
    left, top, right, bottom = box
    picture[top:bottom, left:right, COLOURS[colour]] = value
    return picture


def black(width_px: int = 160, height_px: int = 120) -> UInt8Array:
    return np.zeros((height_px, width_px, 3), dtype=np.uint8)


@dataclass
class ScriptedDetector:
    """Finds the rectangle of each colour; can run out of memory, and fail."""

    uses_torch: ClassVar[bool] = False
    useful_batch: int = 16
    fits: int = 1000
    """Pictures that fit into its memory."""
    fail: bool = False
    encoded: list[tuple[str, ...]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    is_open: bool = False

    def open(self) -> None:
        if self.fail:
            raise ModelError("the scripted model does not load")
        self.is_open = True

    def encode_prompts(self, queries: Sequence[str]) -> PromptSet:
        if unread := [query for query in queries if len(query) > LONGEST]:
            raise PromptsError(f"the prompt {unread[0]!r} is too long")
        self.encoded.append(tuple(queries))
        return PromptSet(tuple(queries), None)

    def detect(self, pictures: Sequence[UInt8Array], prompts: PromptSet) -> list[RawDetections]:
        if self.fail:
            raise ModelError("the scripted model fails")
        if len(pictures) > self.fits:
            raise OutOfMemoryError(f"{len(pictures)} pictures do not fit")
        self.batches.append(len(pictures))
        return [self._look(picture, prompts.queries) for picture in pictures]

    @staticmethod
    def _look(picture: UInt8Array, queries: tuple[str, ...]) -> RawDetections:
        boxes, scores = [], []
        for channel in range(3):
            rows = np.flatnonzero(picture[..., channel].max(axis=1) > 50)
            columns = np.flatnonzero(picture[..., channel].max(axis=0) > 50)
            if len(rows):
                box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
                strength = picture[rows[0], columns[0], channel] / 255
                boxes.append(box)
                scores.append([strength if COLOURS.get(query) == channel else 0.01 for query in queries])
        return RawDetections(
            np.asarray(boxes, dtype=np.float32).reshape(-1, 4),
            np.asarray(scores, dtype=np.float32).reshape(-1, len(queries)),
        )

    def patch_px(self, width_px: int, height_px: int) -> float:
        return max(width_px, height_px) / 16

    def close(self) -> None:
        self.is_open = False


@dataclass
class ScriptedSegmenter:
    """Everything brighter than black inside the box, grown by a pixel of margin, is the mask."""

    uses_torch: ClassVar[bool] = False
    crops: CropPreference | None = None
    embedded: list[tuple[int, int]] = field(default_factory=list)
    decoded: list[int] = field(default_factory=list)

    def open(self) -> None:
        """Nothing to load."""

    def embed(self, picture: UInt8Array) -> object:
        self.embedded.append(picture.shape[:2])
        return picture.max(axis=2) > 50

    def segment(
        self, embedding: object, boxes_xyxy_px: NDArray[np.float32]
    ) -> tuple[list[BoolMask], NDArray[np.float32]]:
        assert isinstance(embedding, np.ndarray)
        self.decoded.append(len(boxes_xyxy_px))
        masks = []
        for left, top, right, bottom in boxes_xyxy_px:
            inside = np.zeros_like(embedding)
            inside[max(int(top) - 1, 0) : int(bottom) + 1, max(int(left) - 1, 0) : int(right) + 1] = True
            masks.append(embedding & inside)
        return masks, np.ones(len(masks), dtype=np.float32)

    def close(self) -> None:
        """Nothing to release."""


class ScriptedPlugin(ScriptedDetector):
    """The scripted detector as a plug-in. Files in its model folder script it: `fail`, and `fits` with a number."""

    def __init__(self, folder: Path, device: str, precision: str) -> None:
        self._folder = folder
        super().__init__()

    @property
    def fail(self) -> bool:
        return (self._folder / "fail").exists()

    @fail.setter
    def fail(self, value: bool) -> None:
        """Only the file decides."""

    @property
    def fits(self) -> int:
        path = self._folder / "fits"
        return int(path.read_text()) if path.exists() else 1000

    @fits.setter
    def fits(self, value: int) -> None:
        """Only the file decides."""
