"""The detector's training run: windows first, whole pictures last, resumable at any time."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer, Owlv2ForObjectDetection

from stream_inspect.sim.world import STANDARD, World
from stream_inspect.tiny.detector_loss import assign, detector_loss
from stream_inspect.tiny.detector_model import HIDDEN, build_detector, detect, encode_text, normalise
from stream_inspect.tiny.geometry import GRID, PATCH_PX, WINDOW_TOKENS
from stream_inspect.tiny.strips import StripPool
from stream_inspect.tiny.vocabulary import CLASS_NAMES, draw_prompts
from stream_inspect.tiny.windows import MILD, Photometry, Window, WindowCutter

_CELLS = 16
_SAVE_EVERY_S = 60.0
_LOG_EVERY_S = 20.0


@dataclass(frozen=True, slots=True)
class Phase:
    """One warm-started run with its own learning-rate decay."""

    name: str
    minutes: float
    photometry: Photometry
    peak_rate: float = 1.5e-3
    decay_share: float = 0.5
    """Last share of the phase in which the rate falls to zero."""
    full_share: float = 0.12
    """Last share of the phase that looks at whole pictures."""
    window_batch: int = 32
    full_batch: int = 10
    world: World = STANDARD
    first_seed: int = 10_000_000
    """Seeds of the strips; validation and test seeds are far below."""
    fine_share: float = 0.0
    """Share of strips drawn at the camera's own resolution."""


@dataclass(slots=True)
class TrainingProgress:
    """Progress within a phase."""

    steps: int = 0
    seconds: float = 0.0
    pictures: int = 0


class DetectorTraining:
    """Trains one phase; `run` yields a row of the learning curve now and then."""

    def __init__(
        self,
        phase: Phase,
        model: Owlv2ForObjectDetection,
        tokenizer: CLIPTokenizer,
        folder: Path,
        pool_capacity: int = 2000,
    ) -> None:
        self.phase, self.model, self.tokenizer, self.folder = phase, model, tokenizer, folder
        self.progress = TrainingProgress()
        # At these sizes plain attention learns a quarter faster on a CPU than the fused kernel.
        model.set_attn_implementation("eager")
        self.cell_head = nn.Linear(HIDDEN, _CELLS * (len(CLASS_NAMES) + 1))
        parameters = [*model.parameters(), *self.cell_head.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, lr=phase.peak_rate, betas=(0.9, 0.98), weight_decay=0.05)
        self.pool = StripPool(phase.world, phase.first_seed, pool_capacity, phase.fine_share)
        self.cutter = WindowCutter(phase.world, phase.photometry, phase.first_seed)

    def load_cells(self, checkpoint: Path) -> None:
        """Take the auxiliary head from another phase's checkpoint."""
        state = torch.load(checkpoint, weights_only=True)
        self.cell_head.load_state_dict(state["cells"])

    def save(self) -> None:
        """Write a checkpoint from which `resume` continues."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "cells": self.cell_head.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": asdict(self.progress),
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    @property
    def checkpoint(self) -> Path:
        """The phase's checkpoint file."""
        return self.folder / f"{self.phase.name}.pt"

    def resume(self) -> bool:
        """Continue from the phase's checkpoint, if there is one."""
        if not self.checkpoint.exists():
            return False
        state = torch.load(self.checkpoint, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.cell_head.load_state_dict(state["cells"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.progress = TrainingProgress(**state["progress"])
        return True

    @property
    def done(self) -> float:
        """Share of the phase's time that is over."""
        return self.progress.seconds / (60 * self.phase.minutes)

    def run(self, clock: Callable[[], float] = time.monotonic) -> Iterator[dict[str, float]]:
        """Train until the phase's minutes are over; time spent while not running does not count."""
        saved_s = logged_s = self.progress.seconds
        sums: dict[str, float] = {}
        steps = 0
        self.model.train()
        self.pool.grow(60)
        while self.done < 1.0:
            start = clock()
            for name, value in self._step().items():
                sums[name] = sums.get(name, 0.0) + value
            steps += 1
            self.progress.seconds += clock() - start
            if self.progress.seconds - logged_s > _LOG_EVERY_S:
                row = {"seconds": self.progress.seconds, "pictures": float(self.progress.pictures)}
                row |= {"strips": float(self.pool.drawn)} | {name: total / steps for name, total in sums.items()}
                yield row
                sums, steps, logged_s = {}, 0, self.progress.seconds
            if self.progress.seconds - saved_s > _SAVE_EVERY_S:
                self.save()
                saved_s = self.progress.seconds
        self.save()

    def _rate(self) -> float:
        warm = min(1.0, (self.progress.steps + 1) / 100)
        fall = min(1.0, max(0.0, (1.0 - self.done) / self.phase.decay_share))
        return self.phase.peak_rate * warm * fall

    def _step(self) -> dict[str, float]:
        phase = self.phase
        whole = self.done > 1.0 - phase.full_share
        tokens, batch = (GRID, phase.full_batch) if whole else (WINDOW_TOKENS, phase.window_batch)
        rng = np.random.default_rng([phase.first_seed, self.progress.steps])
        self.pool.grow(1 - self.progress.steps % 2)
        windows = [self.cutter.cut(self.pool.draw(rng), rng, tokens) for _ in range(batch)]
        prompts = draw_prompts(rng)
        pixels = normalise(torch.from_numpy(np.stack([window.bgr for window in windows])))
        text = encode_text(self.model, self.tokenizer, prompts.texts)
        outputs = detect(self.model, pixels, token_places(windows, tokens), text, bf16=True)
        cells = self.cell_head(outputs.features).unflatten(-1, (_CELLS, len(CLASS_NAMES) + 1))
        losses = detector_loss(outputs, cells, assign(windows, tokens), prompts)
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.optimiser.step()
        self.progress.steps += 1
        self.progress.pictures += batch
        return {"loss": total.item(), "norm": float(norm)} | {name: part.item() for name, part in losses.items()}


def token_places(windows: list[Window], tokens: int) -> Tensor:
    """(B, tokens * tokens) int64: where each token of each window lies in the full square."""
    y, x = np.divmod(np.arange(tokens * tokens), tokens)
    places = [(y + window.token_y) * GRID + x + window.token_x for window in windows]
    return torch.from_numpy(np.stack(places))


def fresh_detector(vocabulary_size: int, seed: int, world: World = STANDARD) -> Owlv2ForObjectDetection:
    """A detector whose patch embedding starts from the line's own patches."""
    pool = StripPool(world, 5_000_000 + seed, 40)
    pool.grow(40)
    cutter = WindowCutter(world, MILD, seed)
    rng = np.random.default_rng(seed)
    windows = [cutter.cut(pool.draw(rng), rng, WINDOW_TOKENS) for _ in range(160)]
    pixels = normalise(torch.from_numpy(np.stack([window.bgr for window in windows])))
    patches = nn.functional.unfold(pixels, PATCH_PX, stride=PATCH_PX).transpose(1, 2).flatten(0, 1)
    return build_detector(vocabulary_size, patches.numpy(), seed)


def append_rows(path: Path, rows: list[dict[str, float]]) -> None:
    """Add rows to a CSV file, with its header when it is new."""
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        if fresh:
            writer.writeheader()
        writer.writerows(rows)
