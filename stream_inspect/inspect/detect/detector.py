"""The detector contract: words and pictures in, scored boxes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_inspect.errors import StreamInspectError

if TYPE_CHECKING:  # a picture brings OpenCV along, which the supervisor does without
    from stream_inspect.picture import UInt8Array


class ModelError(StreamInspectError):
    """A model is missing, corrupt or failed while running. The text says what to do."""


class OutOfMemoryError(ModelError):
    """The device ran out of memory for this batch; a smaller one may pass."""


@dataclass(frozen=True, slots=True)
class PromptSet:
    """The queries of one change of prompts, encoded once. `queries` are the texts; `encoded` is the detector's own."""

    queries: tuple[str, ...]
    encoded: object


@dataclass(frozen=True, slots=True)
class RawDetections:
    """What a detector finds in one picture, before thresholds and fusing.

    `boxes_xyxy_px` is (N, 4) float32 in pixels of the judged picture, right and bottom exclusive, not clipped;
    `scores` is (N, Q) float32 in 0..1, a column for each query of the prompt set.
    """

    boxes_xyxy_px: NDArray[np.float32]
    scores: NDArray[np.float32]


class Detector(Protocol):
    """Finds what the prompts describe."""

    uses_torch: ClassVar[bool]
    """Whether torch is to be set up, and `auto` resolved to a device, before one is made."""
    useful_batch: int
    """Pictures in one call beyond which nothing is gained. Known after `open`; 1 where a batch only costs delay."""

    def __init__(self, folder: Path, device: str, precision: str) -> None:
        """Does no work. `device` is the worker's: cpu, cuda or cuda:N; without torch as configured, `auto` too."""

    def open(self) -> None:
        """Load the model. Raises `ModelError`."""

    def encode_prompts(self, queries: Sequence[str]) -> PromptSet:
        """Encode texts once; the result is good for as long as the model is open.

        Raises `prompts.PromptsError` for a text that the model cannot read whole.
        """

    def detect(self, pictures: Sequence[UInt8Array], prompts: PromptSet) -> list[RawDetections]:
        """One result a picture, in order. Pictures are (H, W, 3) uint8 RGB, sizes may differ.

        Raises `OutOfMemoryError` when a smaller batch may pass, `ModelError` when the model has failed.
        """

    def patch_px(self, width_px: int, height_px: int) -> float:
        """Pitch of the detector's patches, in pixels of a picture of this size. Known after `open`.

        Each patch gives a box, so two boxes of one defect lie about as far apart as that.
        """

    def close(self) -> None:
        """Release the model's memory. Never raises."""
