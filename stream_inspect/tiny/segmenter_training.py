"""The segmenter's training run: crops with badly guessed boxes in, masks out, resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from transformers import SamModel

from stream_inspect.sim.world import STANDARD, World
from stream_inspect.tiny.crops import SpecimenBank, TrainingCrop, cut_crop
from stream_inspect.tiny.detector_training import TrainingProgress
from stream_inspect.tiny.segmenter_model import MASK_PX

SAM_MEAN = (0.485, 0.456, 0.406)
SAM_STD = (0.229, 0.224, 0.225)
_BATCH = 12
_CONTEXT = (1.35, 2.4)
_BOX_JITTER = 0.09
_STEPS_A_STRIP = (4, 12)
"""Steps for each new strip: while the bank is small, and after."""
_SMALL_BANK = 700
_SAVE_EVERY_S = 60.0
_LOG_EVERY_S = 20.0


def crop_pixels(crops: Sequence[TrainingCrop]) -> Tensor:
    """(B, 3, 128, 128) float32 as SAM's processor gives it; padding is zero after normalising."""
    bgr = torch.from_numpy(np.stack([crop.bgr for crop in crops]))
    rgb = bgr.flip(-1).permute(0, 3, 1, 2).float() / 255
    pixels = (rgb - torch.tensor(SAM_MEAN)[:, None, None]) / torch.tensor(SAM_STD)[:, None, None]
    for number, crop in enumerate(crops):
        pixels[number, :, crop.size[1] :] = 0
        pixels[number, :, :, crop.size[0] :] = 0
    return pixels


def segmenter_loss(logits: Tensor, quality: Tensor, masks: Tensor) -> Tensor:
    """Of (B, N, m, m) mask logits and (B, N) predicted IoU against (B, m, m) masks; the best of N counts."""
    wanted = masks[:, None].expand_as(logits)
    share = torch.sigmoid(logits)
    hard = 0.25 + (share.detach() - wanted).abs()
    entropy = (functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * hard).mean((2, 3))
    both = (share * wanted).sum((2, 3))
    dice = 1 - (2 * both + 1) / (share.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    with torch.no_grad():
        got, truth = logits > 0, wanted > 0.5
        iou = (got & truth).sum((2, 3)) / (got | truth).sum((2, 3)).clamp(min=1)
    each = 8 * entropy + dice
    return each.min(dim=1).values.mean() + 0.5 * (quality - iou).square().mean()


class SegmenterTraining:
    """Trains for some minutes; `run` yields a row of the learning curve now and then."""

    def __init__(
        self, model: SamModel, minutes: float, folder: Path, world: World = STANDARD, peak_rate: float = 1e-3
    ) -> None:
        self.model, self.minutes, self.folder, self.peak_rate = model, minutes, folder, peak_rate
        self.progress = TrainingProgress()
        learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(learned, lr=peak_rate, betas=(0.9, 0.98), weight_decay=0.05)
        self.bank = SpecimenBank(world, 20_000_000)

    @property
    def checkpoint(self) -> Path:
        """The run's checkpoint file."""
        return self.folder / "segmenter.pt"

    def save(self) -> None:
        """Write a checkpoint from which `resume` continues."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": asdict(self.progress),
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def resume(self) -> bool:
        """Continue from the checkpoint, if there is one."""
        if not self.checkpoint.exists():
            return False
        state = torch.load(self.checkpoint, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.progress = TrainingProgress(**state["progress"])
        return True

    def run(self, clock: Callable[[], float] = time.monotonic) -> Iterator[dict[str, float]]:
        """Train until the minutes are over."""
        logged_s = saved_s = self.progress.seconds
        losses: list[float] = []
        self.model.train()
        self.bank.grow(25)
        while self.progress.seconds < 60 * self.minutes:
            start = clock()
            losses.append(self._step())
            self.progress.seconds += clock() - start
            if self.progress.seconds - logged_s > _LOG_EVERY_S:
                row = {"seconds": self.progress.seconds, "pictures": float(self.progress.pictures)}
                yield row | {"strips": float(self.bank.strips), "loss": float(np.mean(losses))}
                losses, logged_s = [], self.progress.seconds
            if self.progress.seconds - saved_s > _SAVE_EVERY_S:
                self.save()
                saved_s = self.progress.seconds
        self.save()

    def _step(self) -> float:
        rng = np.random.default_rng([20_000_000, self.progress.steps])
        if self.progress.steps % _STEPS_A_STRIP[len(self.bank.specimens) > _SMALL_BANK] == 0:
            self.bank.grow(1)
        chosen = rng.integers(len(self.bank.specimens), size=_BATCH)
        crops = [cut_crop(self.bank.specimens[int(n)], rng, _CONTEXT, _BOX_JITTER) for n in chosen]
        several = self.progress.steps % 4 == 3
        logits, quality = segment(self.model, crop_pixels(crops), crop_boxes(crops), several, bf16=True)
        masks = torch.from_numpy(np.stack([crop.mask for crop in crops]))
        small = functional.interpolate(masks[:, None], (MASK_PX, MASK_PX), mode="area")[:, 0]
        loss = segmenter_loss(logits, quality, small)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        left = 1 - self.progress.seconds / (60 * self.minutes)
        rate = self.peak_rate * min(1.0, (self.progress.steps + 1) / 100) * min(1.0, max(0.0, left / 0.5))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.progress.steps += 1
        self.progress.pictures += _BATCH
        return loss.item()


def crop_boxes(crops: Sequence[TrainingCrop]) -> Tensor:
    """(B, 1, 4) float32 box prompts."""
    return torch.tensor([crop.box for crop in crops])[:, None]


def segment(model: SamModel, pixels: Tensor, boxes: Tensor, several: bool, bf16: bool = False) -> tuple[Tensor, Tensor]:
    """Mask logits (B, N, m, m) and predicted IoU (B, N) of one box a picture; N is 3 where several are asked for."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        embeddings = model.vision_encoder(pixels)[0]
    output = model(image_embeddings=embeddings.float(), input_boxes=boxes, multimask_output=several)
    return output.pred_masks[:, 0].float(), output.iou_scores[:, 0].float()
