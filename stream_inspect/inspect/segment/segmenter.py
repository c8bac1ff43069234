"""The segmenter contract: boxes of one picture in, masks out, with one image embedding a picture or crop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_inspect.picture import UInt8Array

BoolMask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CropPreference:
    """A segmenter that wants crops: `context` is the crop's side over the longer side of the hit's box."""

    context: float
    min_side_px: int


class Segmenter(Protocol):
    """Turns boxes into masks."""

    uses_torch: ClassVar[bool]
    """Whether torch is to be set up, and `auto` resolved to a device, before one is made."""
    crops: CropPreference | None
    """None: wants the whole picture, embedded once. Known after `open`."""

    def __init__(self, folder: Path, device: str, precision: str) -> None:
        """Does no work. `device` is the worker's: cpu, cuda or cuda:N; without torch as configured, `auto` too."""

    def open(self) -> None:
        """Load the model. Raises `ModelError`."""

    def embed(self, picture: UInt8Array) -> object:
        """The image embedding of an (H, W, 3) uint8 RGB picture or crop: made once, decoded for many boxes."""

    def segment(
        self, embedding: object, boxes_xyxy_px: NDArray[np.float32]
    ) -> tuple[list[BoolMask], NDArray[np.float32]]:
        """A (H, W) bool mask for each of the (N, 4) boxes in pixels of the embedded picture, and (N,) predicted IoU."""

    def close(self) -> None:
        """Release the model's memory. Never raises."""
