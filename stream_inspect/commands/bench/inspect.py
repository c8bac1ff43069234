"""Measures judging a picture: our path against the plain transformers path, on the same weights, pictures and core.

The plain path follows the models' documentation: processor, model, post-processing; the texts are encoded with every
picture, and a segmenter that wants crops runs once for each hit. Ours encodes texts once and shares crops. The two take
turns, and CPU time of one thread is measured, so that other load on the computer changes little. Their results are
compared too: a ratio of two paths that disagree would mean nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from transformers import Owlv2ForObjectDetection, Owlv2Processor, SamModel, SamProcessor

from stream_inspect.inspect import device as torch_device
from stream_inspect.inspect.detect.owlv2 import Owlv2Detector
from stream_inspect.inspect.models import ModelFiles, resolve
from stream_inspect.inspect.segment.crops import Crop, plan_crops
from stream_inspect.inspect.segment.sam import SamSegmenter
from stream_inspect.picture import UInt8Array
from stream_inspect.sim import SyntheticLine
from stream_inspect.tiny.defaults import DEFECT_PROMPTS

LINE_SEED = 51_000
FRAME_STEP = 31
PICTURES = 8
LARGE_BYTES = 100_000_000
"""A larger model takes seconds for each picture: one picture is then enough."""
THRESHOLD = 0.1

_Boxes = NDArray[np.float32]
_Pair = tuple[Callable[[], object], Callable[[], object]]
"""The work on one picture, by our path and by the plain one."""


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One step: CPU time per picture of both paths in each round, in milliseconds, and how well their results agree."""

    step: str
    ours_ms: list[float]
    plain_ms: list[float]
    agreement: str

    @property
    def ratios(self) -> list[float]:
        """How many times longer the plain path took, in each round."""
        return [plain / ours for ours, plain in zip(self.ours_ms, self.plain_ms, strict=True)]


@dataclass(frozen=True, slots=True)
class InspectReport:
    """The measurements, and what was measured."""

    rows: list[BenchRow]
    about: str

    def to_text(self) -> str:
        """A Markdown table."""
        lines = [
            self.about,
            "",
            "| step | ours, ms | plain, ms | plain / ours: min | median | max | the two agree |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            ours, plain = statistics.median(row.ours_ms), statistics.median(row.plain_ms)
            low, middle, high = min(row.ratios), statistics.median(row.ratios), max(row.ratios)
            lines.append(
                f"| {row.step} | {ours:.1f} | {plain:.1f} | {low:.2f} | {middle:.2f} | {high:.2f} | {row.agreement} |"
            )
        return "\n".join(lines)


def run(rounds: int = 5, detector: str = "tiny", segmenter: str = "tiny") -> InspectReport:
    """Measure both paths in turn, on one CPU thread. Raises `ModelError` when a model is missing."""
    torch_device.set_up(threads=1)
    detector_files, segmenter_files = resolve("detector", detector), resolve("segmenter", segmenter)
    large = max(detector_files.size_bytes, segmenter_files.size_bytes) > LARGE_BYTES
    scenes = _scenes(1 if large else PICTURES)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=2 * (rounds + 1))
        rows = [
            _detector_row(detector_files, scenes, rounds, lambda: progress.advance(task)),
            _segmenter_row(segmenter_files, scenes, rounds, lambda: progress.advance(task)),
        ]
    hits = sum(len(boxes) for _, boxes in scenes)
    height, width = scenes[0][0].shape[:2]
    about = (
        f"{len(scenes)} pictures of {width}x{height} px with {hits} defects, {rounds} rounds, CPU time of one thread, "
        f"float32; detector {detector}, {len(DEFECT_PROMPTS)} prompts; segmenter {segmenter}."
    )
    return InspectReport(rows, about)


def _scenes(count: int) -> list[tuple[UInt8Array, _Boxes]]:
    """Pictures of the synthetic line as RGB, with the true boxes of the defects that are fully visible."""
    line = SyntheticLine(LINE_SEED)
    scenes: list[tuple[UInt8Array, _Boxes]] = []
    index = 0
    while len(scenes) < count:
        index += FRAME_STEP
        frame = line.frame(index)
        boxes = [defect.box_xyxy_px for defect in frame.truth.defects if defect.visible_fraction > 0.99]
        if boxes:
            scenes.append((np.ascontiguousarray(frame.image_bgr[..., ::-1]), np.array(boxes, dtype=np.float32)))
    return scenes


def _detector_row(
    files: ModelFiles, scenes: list[tuple[UInt8Array, _Boxes]], rounds: int, done: Callable[[], None]
) -> BenchRow:
    queries = [prompts[0] for prompts in DEFECT_PROMPTS.values()]
    ours = Owlv2Detector(files.folder)
    ours.open()
    prompts = ours.encode_prompts(queries)
    processor = Owlv2Processor.from_pretrained(files.folder)
    model: Any = Owlv2ForObjectDetection.from_pretrained(files.folder, dtype=torch.float32)
    model.eval()
    limit = model.config.text_config.max_position_embeddings

    def plain(picture: UInt8Array) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        texts = {"padding": "max_length", "truncation": True, "max_length": limit}
        with torch.no_grad():
            inputs = processor(images=Image.fromarray(picture), text=[queries], return_tensors="pt", **texts)
            outputs = model(**inputs)
            (found,) = processor.post_process_grounded_object_detection(
                outputs, threshold=THRESHOLD, target_sizes=[picture.shape[:2]]
            )
        return found["boxes"].numpy(), found["scores"].numpy()

    def own(picture: UInt8Array) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        (found,) = ours.detect([picture], prompts)
        best = found.scores.max(axis=1)
        keep = best > THRESHOLD
        return found.boxes_xyxy_px[keep], best[keep]

    def agreement() -> str:
        box_px = score = 0.0
        for picture, _ in scenes:
            (our_boxes, our_scores), (boxes, scores) = own(picture), plain(picture)
            if len(boxes) != len(our_boxes):
                return f"no: {len(our_boxes)} and {len(boxes)} boxes above {THRESHOLD}"
            if len(boxes):
                box_px = max(box_px, float(np.abs(boxes - our_boxes).max()))
                score = max(score, float(np.abs(scores - our_scores).max()))
        return f"boxes within {box_px:.4f} px, scores within {score:.1e}"

    steps: list[_Pair] = [(partial(own, picture), partial(plain, picture)) for picture, _ in scenes]
    return _measure("detect", steps, rounds, done, agreement)


def _segmenter_row(
    files: ModelFiles, scenes: list[tuple[UInt8Array, _Boxes]], rounds: int, done: Callable[[], None]
) -> BenchRow:
    ours = SamSegmenter(files.folder)
    ours.open()
    processor = SamProcessor.from_pretrained(files.folder)
    model: Any = SamModel.from_pretrained(files.folder, dtype=torch.float32)
    model.eval()

    def crops(picture: UInt8Array, boxes: _Boxes, *, shared: bool) -> list[Crop]:
        height, width = picture.shape[:2]
        if ours.crops is None:
            return [Crop(0, 0, width, height, list(range(len(boxes))))]
        if shared:
            return plan_crops(boxes, ours.crops, width, height)
        alone = []
        for index in range(len(boxes)):
            (crop,) = plan_crops(boxes[index : index + 1], ours.crops, width, height)
            crop.hits = [index]
            alone.append(crop)
        return alone

    def segment(picture: UInt8Array, boxes: _Boxes, *, shared: bool, decode: Callable[..., Any]) -> list[UInt8Array]:
        """Whole-picture masks in the boxes' order."""
        masks: list[UInt8Array] = [np.zeros(0, np.uint8)] * len(boxes)
        for crop in crops(picture, boxes, shared=shared):
            rows, columns = slice(crop.top, crop.top + crop.height), slice(crop.left, crop.left + crop.width)
            corner = np.array((crop.left, crop.top) * 2, dtype=np.float32)
            for index, mask in zip(crop.hits, decode(picture[rows, columns], boxes[crop.hits] - corner), strict=True):
                masks[index] = np.zeros(picture.shape[:2], np.uint8)
                masks[index][rows, columns] = mask
        return masks

    def decode_plain(pixels: UInt8Array, boxes: _Boxes) -> Any:
        with torch.no_grad():
            inputs = processor(images=Image.fromarray(pixels), input_boxes=[boxes.tolist()], return_tensors="pt")
            outputs = model(
                pixel_values=inputs["pixel_values"], input_boxes=inputs["input_boxes"].float(), multimask_output=False
            )
            (masks,) = processor.image_processor.post_process_masks(
                outputs.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
            )
        return masks[:, 0].numpy()

    def decode_own(pixels: UInt8Array, boxes: _Boxes) -> Any:
        return ours.segment(ours.embed(pixels), boxes)[0]

    def agreement() -> str:
        """On the same crops: a shared crop shows a hit at another scale, and so yields another mask."""
        worst = 1.0
        for picture, boxes in scenes:
            pairs = zip(
                segment(picture, boxes, shared=False, decode=decode_own),
                segment(picture, boxes, shared=False, decode=decode_plain),
                strict=True,
            )
            for one, other in pairs:
                union = (one | other).sum()
                worst = min(worst, float((one & other).sum() / union) if union else 1.0)
        return f"masks' IoU at least {worst:.4f}"

    own, plain = partial(segment, shared=True, decode=decode_own), partial(segment, shared=False, decode=decode_plain)
    steps: list[_Pair] = [(partial(own, *scene), partial(plain, *scene)) for scene in scenes]
    return _measure("segment the hits", steps, rounds, done, agreement)


def _measure(
    name: str,
    steps: list[_Pair],
    rounds: int,
    done: Callable[[], None],
    agreement: Callable[[], str],
) -> BenchRow:
    """Both paths in turn, picture by picture, after one comparison that also warms both up."""
    agrees = agreement()
    done()
    ours_ms, plain_ms = [], []
    for _ in range(rounds):
        ours_s = plain_s = 0.0
        for own, plain in steps:
            ours_s += _seconds(own)
            plain_s += _seconds(plain)
        ours_ms.append(1000 * ours_s / len(steps))
        plain_ms.append(1000 * plain_s / len(steps))
        done()
    return BenchRow(name, ours_ms, plain_ms, agrees)


def _seconds(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began
