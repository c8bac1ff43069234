"""The plain transformers path, as its documentation shows it: processor, model, post-processing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from transformers import Owlv2ForObjectDetection, Owlv2Processor, SamModel, SamProcessor
from transformers.image_transforms import center_to_corners_format


def picture_of(width_px: int, height_px: int, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 with structure at all scales, and noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
    noise = rng.integers(-40, 40, (height_px, width_px, 3))
    return np.clip(smooth.astype(np.int16) + noise, 0, 255).astype(np.uint8)


class ReferenceOwlv2:
    """Owlv2Processor and Owlv2ForObjectDetection."""

    def __init__(self, folder: Path, model: Any = None) -> None:
        self.processor = Owlv2Processor.from_pretrained(folder)
        self.model = model or Owlv2ForObjectDetection.from_pretrained(folder, dtype=torch.float32).eval()

    def detect(self, picture: np.ndarray, queries: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """All boxes (N, 4) in pixels and their scores (N, Q)."""
        outputs = self._look(picture, queries)
        # As post_process_object_detection, which keeps the best query of each box only.
        boxes = center_to_corners_format(outputs.pred_boxes)[0] * max(picture.shape[:2])
        return boxes.numpy(), outputs.logits.sigmoid()[0].numpy()

    def post_processed(self, picture: np.ndarray, queries: list[str], threshold: float) -> dict[str, np.ndarray]:
        """What post_process_grounded_object_detection gives."""
        outputs = self._look(picture, queries)
        (found,) = self.processor.post_process_grounded_object_detection(
            outputs, threshold=threshold, target_sizes=[picture.shape[:2]]
        )
        return {name: found[name].numpy() for name in ("boxes", "scores", "labels")}

    def _look(self, picture: np.ndarray, queries: list[str]) -> Any:
        """What the model says to the processor's inputs."""
        inputs = self.processor(
            images=Image.fromarray(picture),
            text=[queries],
            return_tensors="pt",
            padding="max_length",
            truncation=True,
            max_length=16,
        )
        with torch.no_grad():
            return self.model(**inputs)


class ReferenceSam:
    """SamProcessor and SamModel."""

    def __init__(self, folder: Path, model: Any = None) -> None:
        self.processor = SamProcessor.from_pretrained(folder)
        self.model = model or SamModel.from_pretrained(folder, dtype=torch.float32).eval()

    def segment(self, picture: np.ndarray, boxes: np.ndarray, *, multimask: bool) -> tuple[np.ndarray, np.ndarray]:
        """(N, H, W) masks and (N,) predicted IoU; of several masks the best by predicted IoU."""
        inputs = self.processor(images=Image.fromarray(picture), input_boxes=[boxes.tolist()], return_tensors="pt")
        with torch.no_grad():
            outputs = self.model(
                pixel_values=inputs["pixel_values"],
                input_boxes=inputs["input_boxes"].float(),
                multimask_output=multimask,
            )
        (masks,) = self.processor.image_processor.post_process_masks(
            outputs.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
        )
        best = outputs.iou_scores[0].argmax(dim=1)
        rows = torch.arange(len(best))
        return masks[rows, best].numpy(), outputs.iou_scores[0][rows, best].numpy()
