"""Pictures in, detections out. The stage, the replay and the training's evaluation share it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from stream_inspect import metrics, registry
from stream_inspect.belt.geometry import Scale, scale_of
from stream_inspect.boxes import as_box, share_in_polygon
from stream_inspect.config.models import (
    CameraConfig,
    DefectConfig,
    InspectConfig,
    LineConfig,
    PromptParts,
    WorkerConfig,
)
from stream_inspect.config.region import Point
from stream_inspect.inspect import masks
from stream_inspect.inspect.candidate import Candidate, RefusedFor
from stream_inspect.inspect.candidates import Explained, explain
from stream_inspect.inspect.counting import in_order, refusal
from stream_inspect.inspect.crowding import Crowding
from stream_inspect.inspect.detect.detector import Detector, PromptSet, RawDetections
from stream_inspect.inspect.fuse import Boxes, fuse
from stream_inspect.inspect.models import ModelFiles, resolve
from stream_inspect.inspect.part_sights import part_sights
from stream_inspect.inspect.prompts import MAX_CANDIDATES, CompiledPrompts, compile_prompts
from stream_inspect.inspect.segment.crops import Crop, plan_crops
from stream_inspect.inspect.segment.segmenter import Segmenter
from stream_inspect.messages import Detection, PartSight
from stream_inspect.picture import UInt8Array

MERGE_OVERLAP = 0.3
"""Two hits of one defect whose masks share more than this, of the smaller, are fragments of one defect."""
MERGE_SCORE_RATIO = 0.5
"""A fragment has at least this share of the best fragment's score."""
DUPLICATE_MASK_IOU = 0.5
"""Two hits of one severity whose masks have a higher IoU than this are one thing: the better name wins."""

SMALLEST_SIDE_PX = 0.5
"""A box with less than this inside the picture does not count."""


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """What judging a picture depends on in the camera that it comes from."""

    region_px: Sequence[Point] | None = None
    """Corners in px of this picture; None where all of it counts."""
    scale: Scale = None
    parts: PromptParts | None = None
    """The parts that the detector looks for; None where they are found in another way, or are not accounted for."""

    @classmethod
    def of(cls, camera: CameraConfig, width_px: int, height_px: int, line: LineConfig | None = None) -> CameraSettings:
        """The settings of a configured camera, for a picture of this size; `line` is its, if parts are counted."""
        parts = line.parts if line is not None and isinstance(line.parts, PromptParts) else None
        return cls(camera.region_in(width_px, height_px), scale_of(camera, width_px, height_px), parts)


@dataclass(frozen=True, slots=True)
class Found:
    """What is in one picture: the defects, and the parts where they are looked for, both best first."""

    detections: list[Detection]
    parts: list[PartSight] | None


class Inspector:
    """A detector, perhaps a segmenter, and the defects they look for.

    Scores are rounded to 1e-4 and boxes to 0.01 px before anything is reported, so that the last bits, which may
    depend on the composition of a batch, do not show, and a replay gives the same bytes.
    """

    def __init__(
        self,
        detector: Detector,
        segmenter: Segmenter | None,
        *,
        model_hash: str,
        fuse_overlap: float = 0.3,
        max_detections: int = 50,
    ) -> None:
        self.model_hash = model_hash
        self._detector = detector
        self._segmenter = segmenter
        self._fuse_overlap = fuse_overlap
        self._max_detections = max_detections
        self._crowding = Crowding()
        self._prompts: CompiledPrompts | None = None
        self._encoded: PromptSet | None = None

    def open(self) -> None:
        """Load the models. Raises `ModelError`."""
        self._detector.open()
        if self._segmenter is not None:
            self._segmenter.open()

    def close(self) -> None:
        """Release the models' memory. Never raises."""
        self._detector.close()
        if self._segmenter is not None:
            self._segmenter.close()

    @property
    def useful_batch(self) -> int:
        """Pictures in one call beyond which nothing is gained."""
        return self._detector.useful_batch

    @property
    def prompts_hash(self) -> str:
        """The hash of the defects in use."""
        return self._prompts.prompts_hash if self._prompts else ""

    def set_defects(self, defects: Sequence[DefectConfig], parts: Sequence[PromptParts] = ()) -> None:
        """Use these defects from the next picture on; `parts` are those that cameras may have in their settings.

        Raises `PromptsError` (or `ModelError`) and keeps the earlier ones whole. Texts are encoded only if they differ.
        """
        compiled = compile_prompts(defects, parts)
        if self._encoded is None or self._encoded.queries != compiled.queries:
            with _timed("encode_prompts"):
                self._encoded = self._detector.encode_prompts(compiled.queries)
        self._prompts = compiled

    def set_limits(self, *, fuse_overlap: float, max_detections: int) -> None:
        """Change what may change while running, from the next picture on."""
        self._fuse_overlap = fuse_overlap
        self._max_detections = max_detections

    def judge(self, pictures: Sequence[UInt8Array], cameras: Sequence[CameraSettings]) -> list[list[Detection]]:
        """The defects alone, as `find` has them."""
        return [self._finish(*one) for one in self._raw(pictures, cameras)]

    def find(self, pictures: Sequence[UInt8Array], cameras: Sequence[CameraSettings]) -> list[Found]:
        """The defects in each (H, W, 3) uint8 RGB picture, and its parts, best first. Sizes may differ.

        Raises `OutOfMemoryError` when fewer pictures at once may pass, `ModelError` when a model has failed.
        """
        return [Found(self._finish(*one), self._parts(*one)) for one in self._raw(pictures, cameras)]

    def explain(self, pictures: Sequence[UInt8Array], cameras: Sequence[CameraSettings]) -> list[Explained]:
        """As `judge`, with the wording behind each detection and with what did not count. Takes a little longer."""
        explained = []
        for picture, camera, raw, prompts in self._raw(pictures, cameras):
            refused: list[Candidate] = []
            found = self._finish(picture, camera, raw, prompts, refused)
            height_px, width_px = picture.shape[:2]
            fuse_these = partial(
                fuse,
                severities=prompts.severities[:1],
                patch_px=self._detector.patch_px(width_px, height_px),
                overlap=self._fuse_overlap,
            )
            one = explain(found, refused, raw, prompts, (width_px, height_px), fuse_these)
            explained.append(replace(one, parts=self._parts(picture, camera, raw, prompts)))
        return explained

    def _raw(self, pictures: Sequence[UInt8Array], cameras: Sequence[CameraSettings]) -> Iterator[_Raw]:
        """What the detector finds in each picture, with all that belongs to it."""
        if self._prompts is None or self._encoded is None:
            raise RuntimeError("call set_defects() before judge()")
        if len(pictures) != len(cameras):
            raise ValueError(f"{len(pictures)} pictures, but settings of {len(cameras)} cameras")
        with _timed("detect"):
            raw = self._detector.detect(pictures, self._encoded)
        if len(raw) != len(pictures):
            raise RuntimeError(f"the detector gave {len(raw)} results for {len(pictures)} pictures")
        for picture, camera, found in zip(pictures, cameras, raw, strict=True):
            yield picture, camera, found, self._prompts

    def _finish(
        self,
        picture: UInt8Array,
        camera: CameraSettings,
        raw: RawDetections,
        prompts: CompiledPrompts,
        refused: list[Candidate] | None = None,
    ) -> list[Detection]:
        """The detections of one picture; `refused` gets what reached its threshold and does not count, best first."""
        with _timed("fuse"):
            hits = self._hits(picture, camera, raw, prompts, refused)
        if not len(hits):
            return []
        placed: list[masks.CroppedMask | None] = [None] * len(hits)
        if self._segmenter is not None:
            with _timed("segment"):
                placed = self._masks(self._segmenter, picture, hits)
        with _timed("measure"):
            return self._report(picture, camera, hits, placed, prompts, refused)

    def _parts(
        self, picture: UInt8Array, camera: CameraSettings, raw: RawDetections, prompts: CompiledPrompts
    ) -> list[PartSight] | None:
        """The parts of one picture."""
        if camera.parts is None:
            return None
        height_px, width_px = picture.shape[:2]
        return part_sights(
            picture,
            raw,
            prompts.columns_of(camera.parts.prompts),
            threshold=camera.parts.threshold,
            patch_px=self._detector.patch_px(width_px, height_px),
            overlap=self._fuse_overlap,
        )

    def _hits(
        self,
        picture: UInt8Array,
        camera: CameraSettings,
        raw: RawDetections,
        prompts: CompiledPrompts,
        refused: list[Candidate] | None,
    ) -> Boxes:
        """Fused boxes above threshold, inside the picture and not outside the region, at most `max_detections`."""
        found = prompts.candidates(raw, max(MAX_CANDIDATES, 4 * self._max_detections))
        self._crowding.judged(None if found.crowding is None else prompts.defects[found.crowding].name)
        height, width = picture.shape[:2]
        # Cut first: a box in the padding must not pull one in the picture towards itself.
        cut = np.clip(found.boxes_xyxy_px, 0, np.array((width, height, width, height), dtype=np.float32))
        seen = ((cut[:, 2:] - cut[:, :2]) >= SMALLEST_SIDE_PX).all(axis=1)
        boxes = fuse(
            cut[seen],
            found.scores[seen],
            found.defects[seen],
            severities=prompts.severities,
            patch_px=self._detector.patch_px(width, height),
            overlap=self._fuse_overlap,
        )
        if camera.region_px is not None:
            shares = (share_in_polygon(as_box(box), camera.region_px) for box in boxes.boxes_xyxy)
            touching = np.fromiter((share > 0 for share in shares), np.bool_, len(boxes))
            if refused is not None:
                refused += _refused(boxes.take(~touching), "region", prompts)
            boxes = boxes.take(touching)
        if refused is not None:
            refused += _refused(boxes.take(slice(self._max_detections, None)), "limit", prompts)
        return boxes.take(slice(self._max_detections))

    def _masks(self, segmenter: Segmenter, picture: UInt8Array, hits: Boxes) -> list[masks.CroppedMask | None]:
        height, width = picture.shape[:2]
        everything = Crop(0, 0, width, height, list(range(len(hits))))
        crops = plan_crops(hits.boxes_xyxy, segmenter.crops, width, height) if segmenter.crops else [everything]
        placed: list[masks.CroppedMask | None] = [None] * len(hits)
        for crop in crops:
            pixels = picture[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
            corner = np.array((crop.left, crop.top, crop.left, crop.top))
            boxes = hits.boxes_xyxy[crop.hits]
            found, _ = segmenter.segment(segmenter.embed(pixels), (boxes - corner).astype(np.float32))
            for index, box, mask in zip(crop.hits, boxes, found, strict=True):
                whole = masks.crop_to_content(mask, crop.left, crop.top)
                placed[index] = masks.keep_touching(whole, box) if whole else None
        return placed

    def _report(
        self,
        picture: UInt8Array,
        camera: CameraSettings,
        hits: Boxes,
        placed: list[masks.CroppedMask | None],
        prompts: CompiledPrompts,
        refused: list[Candidate] | None,
    ) -> list[Detection]:
        """Boxes become the masks' tight boxes; then what is double, too small or outside the region goes."""
        height, width = picture.shape[:2]
        detections = []
        for index, mask in _merge_by_mask(hits, placed, prompts.severities):
            box = mask.box_xyxy_px if mask else as_box(hits.boxes_xyxy[index].round(2))
            defect = prompts.defects[hits.classes[index]]
            extent = masks.extent_of_mask(mask, camera.scale) if mask else masks.extent_of_box(box, camera.scale)
            score = round(float(hits.scores[index]), 4)
            if reason := refusal(defect, camera.region_px, box, extent):
                if refused is not None:
                    refused.append(Candidate(defect.name, score, box, reason, extent=extent))
                continue
            detections.append(
                Detection(
                    defect=defect.name,
                    score=score,
                    box_xyxy_px=box,
                    severity=defect.severity,
                    mask_rle=masks.to_rle(mask, width, height) if mask else None,
                    outline_px=masks.outline(mask) if mask else [],
                    extent=extent,
                )
            )
        return in_order(detections)


_Raw = tuple[UInt8Array, CameraSettings, RawDetections, CompiledPrompts]
_Hit = tuple[int, masks.CroppedMask | None]
"""A hit's index, and its mask."""


def _merge_by_mask(hits: Boxes, placed: Sequence[masks.CroppedMask | None], severities: Sequence[str]) -> list[_Hit]:
    """Merge hits whose masks show one defect: the best hit's index, and its mask or the union of the fragments'.

    Partial boxes too far apart to be fused often grow into masks that overlap: pixels are better evidence than boxes.
    A much weaker hit adds nothing to the better one it overlaps: it may be a mask that leaked over the whole part.
    Repeated until nothing changes: a fragment that bridges two others makes them one as well.
    """
    merged = list(enumerate(placed))
    while True:
        before = len(merged)
        merged = _merged_once(hits, merged, severities)
        if len(merged) == before:
            return merged


def _merged_once(hits: Boxes, candidates: Sequence[_Hit], severities: Sequence[str]) -> list[_Hit]:
    merged: list[_Hit] = []
    for candidate, new in candidates:
        for place, (index, mask) in enumerate(merged):
            if new is None or mask is None:
                continue
            shared_px = masks.shared_px(mask, new)
            if hits.classes[index] == hits.classes[candidate]:
                if shared_px > MERGE_OVERLAP * min(mask.area_px, new.area_px):
                    if hits.scores[candidate] >= MERGE_SCORE_RATIO * hits.scores[index]:
                        merged[place] = (index, masks.union(mask, new))
                    break
            elif severities[hits.classes[index]] != severities[hits.classes[candidate]]:
                continue  # the better name must not take a critical defect's place
            elif shared_px > DUPLICATE_MASK_IOU * (mask.area_px + new.area_px - shared_px):
                break
        else:
            merged.append((candidate, new))
    return merged


def build_inspector(inspect: InspectConfig, worker: WorkerConfig) -> Inspector:
    """The configured inspector, not opened yet. Raises `ModelError` when a model or the device is missing."""
    detector_class: type[Detector] = registry.load("detector", inspect.detector.kind)
    segmenter_class: type[Segmenter] | None = (
        registry.load("segmenter", inspect.segmenter.kind) if inspect.segmenter else None
    )
    device = worker.device
    if detector_class.uses_torch or (segmenter_class is not None and segmenter_class.uses_torch):
        from stream_inspect.inspect import device as torch_device

        torch_device.set_up(worker.threads)
        device = torch_device.choose_device(device)
    detector_files = resolve(
        "detector", inspect.detector.model, inspect.detector.revision, plugin=inspect.detector.kind
    )
    detector = detector_class(detector_files.folder, device, inspect.detector.precision)
    segmenter, segmenter_files = None, None
    if inspect.segmenter is not None and segmenter_class is not None:
        segmenter_files = resolve(
            "segmenter", inspect.segmenter.model, inspect.segmenter.revision, plugin=inspect.segmenter.kind
        )
        segmenter = segmenter_class(segmenter_files.folder, device, inspect.segmenter.precision)
    return Inspector(
        detector,
        segmenter,
        model_hash=inspector_hash(inspect, detector_files, segmenter_files),
        fuse_overlap=inspect.fuse_overlap,
        max_detections=inspect.max_detections,
    )


def inspector_hash(inspect: InspectConfig, detector: ModelFiles, segmenter: ModelFiles | None) -> str:
    """SHA-256 of the models' files and of how they are run: what a verdict depends on besides prompts and pictures."""
    ingredients = {
        "detector": [inspect.detector.kind, inspect.detector.precision, detector.model_hash],
        "segmenter": inspect.segmenter
        and segmenter
        and [inspect.segmenter.kind, inspect.segmenter.precision, segmenter.model_hash],
    }
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()


def _refused(boxes: Boxes, reason: RefusedFor, prompts: CompiledPrompts) -> Iterator[Candidate]:
    for box, score, index in zip(boxes.boxes_xyxy, boxes.scores, boxes.classes, strict=True):
        yield Candidate(prompts.defects[index].name, round(float(score), 4), as_box(box.round(2)), reason)


@contextmanager
def _timed(step: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        metrics.INSPECT_SECONDS.labels(step).observe(time.perf_counter() - began)
