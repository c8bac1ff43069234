"""OWLv2 through transformers: text encoded once a change of prompts, pictures prepared by `resample`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from stream_inspect.inspect import device as torch_device
from stream_inspect.inspect.detect.detector import ModelError, PromptSet, RawDetections
from stream_inspect.inspect.detect.resample import PixelSettings, to_pixel_values
from stream_inspect.inspect.models import image_settings
from stream_inspect.inspect.prompt_length import too_long
from stream_inspect.inspect.prompts import PromptsError
from stream_inspect.inspect.transformers_model import load_model, load_tokenizer
from stream_inspect.picture import UInt8Array

_MOST_TEXTS = 256
"""Encoded at once."""


class Owlv2Detector:
    """`transformers.Owlv2ForObjectDetection` from a local folder."""

    uses_torch: ClassVar[bool] = True

    def __init__(self, folder: Path, device: str = "cpu", precision: str = "float32") -> None:
        self._folder = folder
        self._device = device
        self._precision = precision
        self._model: Any = None
        self._tokenizer: Any = None
        self._settings = PixelSettings(0, (0, 0, 0), (1, 1, 1))
        self._patches_a_side = 1
        self.useful_batch = 1

    def open(self) -> None:
        from transformers import Owlv2ForObjectDetection

        settings = image_settings(self._folder)
        self._model = load_model(Owlv2ForObjectDetection, self._folder, self._device, self._precision)
        # Boxes are read off by a small head: its numbers rounded to bfloat16 would move a 1080p picture's by pixels.
        self._model.box_head.float()
        grid = self._model.num_patches_height, self._model.num_patches_width
        self._model.box_bias = self._model.compute_box_bias(*grid).to(self._device)
        self._patches_a_side = max(grid)
        self._tokenizer = load_tokenizer(self._folder)
        self._settings = PixelSettings(
            side_px=int(self._model.config.vision_config.image_size),
            mean=tuple(settings["image_mean"]),
            std=tuple(settings["image_std"]),
        )
        # On a CPU a batch takes as long as its pictures one by one (measured: docs/measurements.md), and one by one
        # the numbers do not depend on who else is in the batch.
        self.useful_batch = 1 if self._device == "cpu" else 256

    def encode_prompts(self, queries: Sequence[str]) -> PromptSet:
        limit = int(self._model.config.text_config.max_position_embeddings)
        tokens = self._tokenizer(list(queries), padding="max_length", max_length=limit, truncation=False)
        for query, ids in zip(queries, tokens["input_ids"], strict=True):
            if len(ids) > limit:
                raise PromptsError(too_long(query, len(ids), limit))
        with torch_device.computing("encoding the prompts"):
            ids = torch.tensor(tokens["input_ids"], device=self._device)
            mask = torch.tensor(tokens["attention_mask"], device=self._device)
            # Thousands of prompts at once would not fit into every GPU, and the model would be loaded again and again.
            parts = [
                self._model.owlv2.get_text_features(input_ids=each, attention_mask=seen).pooler_output
                for each, seen in zip(torch.split(ids, _MOST_TEXTS), torch.split(mask, _MOST_TEXTS), strict=True)
            ]
            features = torch.cat(parts)
            embeds = features / torch.linalg.norm(features, ord=2, dim=-1, keepdim=True)
        return PromptSet(tuple(queries), embeds)

    def detect(self, pictures: Sequence[UInt8Array], prompts: PromptSet) -> list[RawDetections]:
        found: list[RawDetections] = []
        for first in range(0, len(pictures), self.useful_batch):
            found.extend(self._detect_batch(pictures[first : first + self.useful_batch], prompts))
        return found

    def _detect_batch(self, pictures: Sequence[UInt8Array], prompts: PromptSet) -> list[RawDetections]:
        if not isinstance(prompts.encoded, torch.Tensor):
            raise TypeError("these prompts were encoded by another detector")
        with torch_device.computing("detecting"):
            values = to_pixel_values(pictures, self._settings, self._device)
            grid, _ = self._model.image_embedder(pixel_values=values)
            tokens = grid.flatten(1, 2)
            queries = prompts.encoded.expand(len(pictures), -1, -1)
            logits, _ = self._model.class_predictor(tokens, queries)
            centred = self._model.box_predictor(tokens.float(), grid)
            scores = torch.sigmoid(logits.float()).cpu().numpy()
            centre, half = centred[..., :2], centred[..., 2:] / 2
            corners = torch.cat((centre - half, centre + half), dim=-1).cpu().numpy()
        results = []
        for index, picture in enumerate(pictures):
            # Boxes are parts of the square that the picture was padded to, not of the picture.
            square_px = np.float32(max(picture.shape[:2]))
            results.append(RawDetections(corners[index] * square_px, scores[index]))
        if not (np.isfinite(scores).all() and np.isfinite(corners).all()):
            raise ModelError("the detector gave boxes or scores that are not finite: the model is corrupt or overflows")
        return results

    def patch_px(self, width_px: int, height_px: int) -> float:
        # The grid covers the square that the picture is padded to.
        return max(width_px, height_px) / self._patches_a_side

    def close(self) -> None:
        self._model = self._tokenizer = None
        torch_device.give_back_memory(self._device)
