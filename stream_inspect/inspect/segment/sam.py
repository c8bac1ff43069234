"""SAM through transformers: one embedding of a picture or crop, decoded for all its boxes at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from stream_inspect.inspect import device as torch_device
from stream_inspect.inspect.detect.detector import ModelError
from stream_inspect.inspect.models import image_settings
from stream_inspect.inspect.segment.segmenter import BoolMask, CropPreference
from stream_inspect.inspect.transformers_model import load_model
from stream_inspect.picture import UInt8Array

_MASKS_AT_ONCE = 16
"""Masks upscaled in one step: at 1920x1080 a float32 mask takes 8 MB."""


@dataclass(frozen=True, slots=True)
class _Embedding:
    """SAM's (1, C, h, w) embedding of a picture, the picture's size and its size inside the padded input."""

    features: torch.Tensor
    height_px: int
    width_px: int
    resized_height_px: int
    resized_width_px: int


class SamSegmenter:
    """`transformers.SamModel` from a local folder.

    Its config.json may carry `"stream_inspect": {"wants_crops": bool, "crop_context": float, "crop_min_side_px": int,
    "multimask": bool}`. Without it the whole picture is embedded once, and a box gives the single mask: a box is an
    unambiguous prompt, for which SAM's authors advise against choosing among three.
    """

    uses_torch: ClassVar[bool] = True

    def __init__(self, folder: Path, device: str = "cpu", precision: str = "float32") -> None:
        self._folder = folder
        self._device = device
        self._precision = precision
        self._dtype = torch_device.dtype_of(precision)
        self._model: Any = None
        self._mean = self._std = torch.zeros(3, 1, 1)
        self._longest_px = self._padded_px = 0
        self._multimask = False
        self.crops: CropPreference | None = None

    def open(self) -> None:
        from transformers import SamModel

        settings = image_settings(self._folder)
        self._model = load_model(SamModel, self._folder, self._device, self._precision)
        # Only the vision tower is heavy. Prompts and masks in bfloat16 would move a mask's border by pixels.
        for light in (self._model.shared_image_embedding, self._model.prompt_encoder, self._model.mask_decoder):
            light.float()
        self._mean = torch.tensor(settings["image_mean"], device=self._device).view(3, 1, 1)
        self._std = torch.tensor(settings["image_std"], device=self._device).view(3, 1, 1)
        self._padded_px = int(self._model.config.vision_config.image_size)
        self._longest_px = int((settings.get("size") or {}).get("longest_edge") or self._padded_px)
        ours = getattr(self._model.config, "stream_inspect", None) or {}
        self._multimask = bool(ours.get("multimask", False))
        if ours.get("wants_crops"):
            self.crops = CropPreference(float(ours.get("crop_context", 2.0)), int(ours.get("crop_min_side_px", 24)))

    def embed(self, picture: UInt8Array) -> _Embedding:
        height, width = picture.shape[:2]
        scale = self._longest_px / max(height, width)
        resized = max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
        pixels = picture
        if resized != (height, width):
            # Pillow's resize, not OpenCV's: it is what the reference does, to the grey level.
            image = Image.fromarray(np.ascontiguousarray(picture))
            pixels = np.array(image.resize((resized[1], resized[0]), Image.Resampling.BILINEAR))
        with torch_device.computing("embedding for segmentation"):
            values = torch.zeros((1, 3, self._padded_px, self._padded_px), device=self._device)
            channels_first = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device).permute(2, 0, 1)
            values[0, :, : resized[0], : resized[1]] = (channels_first / 255 - self._mean) / self._std
            features = self._model.get_image_embeddings(values.to(self._dtype)).float()
        return _Embedding(features, height, width, *resized)

    def segment(
        self, embedding: object, boxes_xyxy_px: NDArray[np.float32]
    ) -> tuple[list[BoolMask], NDArray[np.float32]]:
        if not isinstance(embedding, _Embedding):
            raise TypeError("this embedding was made by another segmenter")
        masks: list[BoolMask] = []
        qualities: list[NDArray[np.float32]] = []
        scale = np.array([embedding.resized_width_px / embedding.width_px] * 4)
        scale[1::2] = embedding.resized_height_px / embedding.height_px
        for first in range(0, len(boxes_xyxy_px), _MASKS_AT_ONCE):
            boxes = boxes_xyxy_px[first : first + _MASKS_AT_ONCE].astype(np.float64) * scale
            with torch_device.computing("segmenting"):
                output = self._model(
                    image_embeddings=embedding.features,
                    input_boxes=torch.from_numpy(boxes.astype(np.float32))[None].to(self._device),
                    multimask_output=self._multimask,
                )
                scores = output.iou_scores[0]
                best = scores.argmax(dim=1)
                rows = torch.arange(len(best), device=best.device)
                logits = output.pred_masks[0][rows, best]
                is_sound = bool(torch.isfinite(scores).all() and torch.isfinite(logits).all())
                masks.extend(self._to_picture(logits, embedding))
                qualities.append(scores[rows, best].cpu().numpy())
            if not is_sound:  # its masks would be empty, and look like boxes with nothing in them
                raise ModelError("the segmenter gave masks that are not finite: the model is corrupt or overflows")
        return masks, np.concatenate(qualities) if qualities else np.zeros(0, dtype=np.float32)

    def _to_picture(self, logits: torch.Tensor, embedding: _Embedding) -> list[BoolMask]:
        """(N, h, w) mask logits of the padded input -> masks of the picture, in the reference's two steps."""
        padded = torch.nn.functional.interpolate(
            logits[None], (self._padded_px, self._padded_px), mode="bilinear", align_corners=False
        )
        seen = padded[..., : embedding.resized_height_px, : embedding.resized_width_px]
        size = (embedding.height_px, embedding.width_px)
        full = torch.nn.functional.interpolate(seen, size, mode="bilinear", align_corners=False)
        return list((full[0] > 0).cpu().numpy())

    def close(self) -> None:
        self._model = None
        torch_device.give_back_memory(self._device)
