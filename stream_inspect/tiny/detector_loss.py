"""The detector's target for each token, and its loss.

One token of each object is positive: the one at its middle. Its neighbours are excluded from the class loss; all others
are negative. With every covered token positive, each object keeps several partial boxes, and precision drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from stream_inspect.tiny.detector_model import Outputs
from stream_inspect.tiny.geometry import IMAGE_PX, PATCH_PX
from stream_inspect.tiny.vocabulary import CLASS_NAMES, DEFECT_CLASSES, TrainingPrompts
from stream_inspect.tiny.windows import Window, WindowObject

_NEAR_PX = 12.0
"""Tokens this near to an object's middle are neither positive nor negative."""
_NEAR_BOX_WEIGHT = 0.4
_PART_BOX_WEIGHT = 0.5
_POSITIVE_FROM = 0.5
"""Objects of which less is visible are ignored."""
_NOTHING_BELOW = 0.08


@dataclass(frozen=True, slots=True)
class Targets:
    """For a batch of B windows of T tokens."""

    positive: Tensor
    """(B, T) int64 class number, or -1"""
    ignored: Tensor
    """(B, T, classes) bool: this token is excluded from the loss of this class"""
    boxes: Tensor
    """(B, T, 4) centre x, centre y, width, height as shares of the square"""
    box_weight: Tensor
    """(B, T)"""
    cells: Tensor
    """(B, T, 16) int64"""


def assign(windows: Sequence[Window], tokens: int) -> Targets:
    """Turn the windows' truth into one target a token."""
    batch, count = len(windows), tokens * tokens
    positive = np.full((batch, count), -1, np.int64)
    ignored = np.zeros((batch, count, len(CLASS_NAMES)), np.bool_)
    boxes = np.full((batch, count, 4), 0.5, np.float32)
    weight = np.zeros((batch, count), np.float32)
    for b, window in enumerate(windows):
        y, x = np.divmod(np.arange(count), tokens)
        centres = np.stack([(x + window.token_x + 0.5) * PATCH_PX, (y + window.token_y + 0.5) * PATCH_PX], axis=1)
        for item in sorted(window.objects, key=_small_defects_first):
            _assign_object(item, centres, positive[b], ignored[b], boxes[b], weight[b])
    cells = np.stack([window.cells for window in windows]).astype(np.int64)
    per_token = cells.reshape(batch, tokens, 4, tokens, 4).transpose(0, 1, 3, 2, 4).reshape(batch, count, 16)
    return Targets(*(torch.from_numpy(array) for array in (positive, ignored, boxes, weight, per_token)))


def _small_defects_first(item: WindowObject) -> tuple[bool, float]:
    x0, y0, x1, y1 = item.box_xyxy_px
    return item.class_number not in DEFECT_CLASSES, (x1 - x0) * (y1 - y0)


def _assign_object(
    item: WindowObject,
    centres: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    positive: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    ignored: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    boxes: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    weight: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> None:
    if item.visible_fraction < _NOTHING_BELOW:
        return
    x0, y0, x1, y1 = item.box_xyxy_px
    if item.visible_fraction < _POSITIVE_FROM:
        margin = PATCH_PX / 2
        inside = (centres[:, 0] > x0 - margin) & (centres[:, 0] < x1 + margin)
        inside &= (centres[:, 1] > y0 - margin) & (centres[:, 1] < y1 + margin)
        ignored[inside, item.class_number] = True
        return
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    distance = np.hypot(*(centres - middle).T)
    # Two objects may share a middle: the second takes the nearest token that is free.
    free = np.where(positive >= 0, np.inf, distance)
    token = int(np.argmin(free))
    near = distance < _NEAR_PX
    ignored[near, item.class_number] = True
    target = np.array([middle[0], middle[1], x1 - x0, y1 - y0]) / IMAGE_PX
    scale = 1.0 if item.class_number in DEFECT_CLASSES else _PART_BOX_WEIGHT
    for other in np.flatnonzero(near):
        if weight[other] == 0:
            boxes[other], weight[other] = target, _NEAR_BOX_WEIGHT * scale
    if free[token] < 2 * PATCH_PX:
        positive[token] = item.class_number
        boxes[token], weight[token] = target, scale


def detector_loss(
    outputs: Outputs, cell_logits: Tensor, targets: Targets, prompts: TrainingPrompts
) -> dict[str, Tensor]:
    """Parts of the loss by name, weighted; their sum is minimised."""
    meaning = torch.zeros(len(prompts.texts), len(CLASS_NAMES))
    for number, meant in enumerate(prompts.meanings):
        meaning[number, list(meant)] = 1.0
    found = targets.positive >= 0
    one_hot = functional.one_hot(targets.positive.clamp(min=0), len(CLASS_NAMES)).float() * found[..., None]
    wanted = (one_hot @ meaning.T).clamp(max=1)
    ignored = (targets.ignored.float() @ meaning.T > 0) & (wanted == 0)
    weight = (torch.sigmoid(outputs.logits.detach()) - wanted).square() * ~ignored
    classes = functional.binary_cross_entropy_with_logits(outputs.logits, wanted, weight, reduction="sum")
    count = wanted.sum().clamp(min=1)
    seen = found.float()
    certainty = (torch.sigmoid(outputs.objectness.detach()) - seen).square()
    objects = functional.binary_cross_entropy_with_logits(outputs.objectness, seen, certainty, reduction="sum")
    picked = targets.box_weight > 0
    size, giou, raw = _box_losses(outputs, targets, picked)
    cells = functional.cross_entropy(cell_logits.flatten(0, 2), targets.cells.flatten())
    return {
        "class": 2.0 * classes / count,
        "object": 0.5 * objects / seen.sum().clamp(min=1),
        "l1": 3.0 * size,
        "giou": 2.0 * giou,
        "raw": 2.0 * raw,
        "cells": 0.7 * cells,
    }


def _box_losses(outputs: Outputs, targets: Targets, picked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    weight = targets.box_weight[picked]
    total = weight.sum().clamp(min=1e-3)
    wanted, got = targets.boxes[picked], outputs.boxes[picked]
    sizes = wanted[:, 2:].repeat(1, 2)
    size = ((got - wanted).abs() / sizes).mean(dim=1)
    # At the square's edge the bias saturates the sigmoid and its gradient vanishes; before the sigmoid it does not.
    bounded = wanted.clamp(1e-4, 1 - 1e-4)
    before = torch.logit(bounded) - outputs.box_bias[picked]
    raw = functional.smooth_l1_loss(outputs.box_raw[picked], before, reduction="none", beta=0.5).mean(dim=1)
    giou = 1 - _generalised_iou(got, wanted)
    return (size * weight).sum() / total, (giou * weight).sum() / total, (raw * weight).sum() / total


def _generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """Of pairs of boxes given as (n, 4) centre and size."""
    a0, a1 = a[:, :2] - a[:, 2:] / 2, a[:, :2] + a[:, 2:] / 2
    b0, b1 = b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2
    common = (torch.minimum(a1, b1) - torch.maximum(a0, b0)).clamp(min=0).prod(dim=1)
    union = a[:, 2:].prod(dim=1) + b[:, 2:].prod(dim=1) - common
    hull = (torch.maximum(a1, b1) - torch.minimum(a0, b0)).prod(dim=1)
    return common / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)
