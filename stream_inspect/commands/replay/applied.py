"""The configuration applied to recorded detections: thresholds, region, sizes, scale and limit, from recorded scores.

What new scores would be needed for is refused: other wordings, and a threshold below what was recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stream_inspect.belt.geometry import Scale, scale_of
from stream_inspect.boxes import area, intersection
from stream_inspect.commands.replay.frames import FoundDefect, FoundParts, Judged, JudgedFrame, LookedFor
from stream_inspect.commands.replay.recorded import FramesError, Line
from stream_inspect.config.models import Config, PromptParts
from stream_inspect.inspect import masks
from stream_inspect.inspect.candidate import Candidate, RefusedFor
from stream_inspect.inspect.counting import best_first, refusal
from stream_inspect.inspect.fuse import LIKE_SIZE, SAME_PLACE
from stream_inspect.inspect.prompts import prompts_hash, wordings_hash
from stream_inspect.messages import Detection, FrameHeader, Inspection

_AGAIN = "replay without --inspections to judge again"
_APPLICABLE: frozenset[RefusedFor] = frozenset({"threshold", "region", "size", "duplicate"})
"""Reasons that another configuration may overrule without new scores."""
_Pooled = tuple[Detection, str, Candidate | None]
"""A detection that may count, the wording that matched it, and the candidate that it was, if it was one."""


class Applied:
    """From a recorded frame to a judged one. Raises `FramesError` where the scores do not suffice for `config`."""

    def __init__(self, config: Config, path: Path, lines: Sequence[Line]) -> None:
        self._camera = config.cameras[0]
        self._defects = {defect.name: defect for defect in config.defects}
        self._most, self._overlap = config.inspect.max_detections, config.inspect.fuse_overlap
        self._prompts_hash = prompts_hash(config.defects)
        self._wordings = {defect.name: wordings_hash(defect) for defect in config.defects}
        line = config.parts_of(config.line_of(self._camera.name))
        self._parts = line.parts if line is not None and isinstance(line.parts, PromptParts) else None
        self.is_ours = any(record.looked_for for _, record in lines)
        """Whether the file says what was looked for, as that of a replay does."""
        for number, record in lines:
            if record.looked_for:
                self._agree(f"{path}, line {number}", record.looked_for)
            if self._parts is not None:
                _agree_on_parts(f"{path}, line {number}", self._parts, record.parts)
        self.refused: Counter[RefusedFor] = Counter()
        """How many recorded detections do not count with this configuration, and why."""
        self.promoted = 0
        """How many candidates count with this configuration."""

    def prompts_hash_of(self, record: JudgedFrame) -> str:
        """Of the defects as they are used: the configuration's, unless the file does not say what was looked for."""
        return self._prompts_hash if record.looked_for else record.prompts_hash

    def judged(self, record: JudgedFrame, header: FrameHeader) -> Judged:
        """The recorded frame under this configuration."""
        scale = scale_of(self._camera, header.width_px, header.height_px)
        pool: list[_Pooled] = [
            (self._detection(found, record, scale), found.prompt or "", None) for found in record.detections
        ]
        candidates: list[Candidate] = []
        for one in record.candidates or ():
            if one.refused_for in _APPLICABLE and one.defect in self._defects:
                pool.append((self._promoted(one, scale), one.prompt, one))
            else:
                candidates.append(one)
        kept: list[_Pooled] = []
        for pooled in sorted(pool, key=lambda item: best_first(item[0])):
            reason = self._refusal(pooled[0], record)
            if reason is None and any(self._is_double(pooled, better) for better in kept):
                reason = "duplicate"
            if reason is None and len(kept) >= self._most:
                reason = "limit"
            if reason is None:
                kept.append(pooled)
            else:
                candidates.append(self._refuse(pooled, reason))
        self.promoted += sum(was is not None for _, _, was in kept)
        return Judged(
            Inspection(
                frame=header,
                detections=[found for found, _, _ in kept],
                parts=record.parts.found if self._parts is not None and record.parts else None,
                model_hash=record.model_hash,
                prompts_hash=self.prompts_hash_of(record),
                judged_mono_ns=header.capture_mono_ns,
            ),
            [prompt for _, prompt, _ in kept],
            sorted(candidates, key=best_first),
            self._looked_for(record),
            record.parts,
        )

    def _agree(self, where: str, looked_for: dict[str, LookedFor]) -> None:
        for name, defect in self._defects.items():
            was = looked_for.get(name)
            if was is None:
                raise FramesError(f"{where}: {name} was not looked for: {_AGAIN}")
            if was.wordings != self._wordings[name]:
                raise FramesError(f"{where}: {name} was looked for with other prompts or counter-prompts: {_AGAIN}")
            if defect.threshold < min(was.threshold, was.floor):
                raise FramesError(
                    f"{where}: the threshold {defect.threshold:g} of {name} is lower than the candidates recorded, "
                    f"which reach down to {was.floor:g}: {_AGAIN}"
                )

    def _looked_for(self, record: JudgedFrame) -> dict[str, LookedFor]:
        """As recorded, with the thresholds that are used now."""
        return {
            name: msgspec.structs.replace(was, threshold=self._defects[name].threshold)
            if name in self._defects
            else was
            for name, was in (record.looked_for or {}).items()
        }

    def _refusal(self, found: Detection, record: JudgedFrame) -> RefusedFor | None:
        defect = self._defects.get(found.defect)
        if defect is None or found.extent is None:
            return None
        if found.score < round(defect.threshold, 4):  # scores are recorded with four decimals
            return "threshold"
        region_px = self._camera.region_in(record.width_px, record.height_px)
        return refusal(defect, region_px, found.box_xyxy_px, found.extent)

    def _is_double(self, pooled: _Pooled, better: _Pooled) -> bool:
        """Whether the two would have been fused, had both reached their threshold: one of them was a candidate."""
        (found, _, was), (other, _, other_was) = pooled, better
        if (was is None and other_was is None) or found.severity != other.severity:
            return False
        one, two = found.box_xyxy_px, other.box_xyxy_px
        smaller, larger = sorted((area(one), area(two)))
        shared = intersection(one, two)
        if found.defect == other.defect and shared > self._overlap * smaller:
            return True
        return shared > SAME_PLACE * smaller and larger <= LIKE_SIZE * smaller

    def _refuse(self, pooled: _Pooled, reason: RefusedFor) -> Candidate:
        found, prompt, was = pooled
        if was is not None:
            extent = was.extent or (found.extent if reason == "size" else None)
            return msgspec.structs.replace(was, refused_for=reason, extent=extent)
        self.refused[reason] += 1
        extent = found.extent if reason in ("size", "region") else None
        return Candidate(found.defect, found.score, found.box_xyxy_px, reason, prompt, extent=extent)

    def _detection(self, found: FoundDefect, record: JudgedFrame, scale: Scale) -> Detection:
        """The detection; what the file leaves out is computed from box and mask."""
        outline, extent = found.outline_px, found.extent
        if outline is None or extent is None:
            placed = masks.crop_to_content(masks.from_rle(found.mask_rle)) if found.mask_rle else None
            if outline is None:
                outline = masks.outline(placed) if placed else []
            if extent is None:
                extent = (
                    masks.extent_of_mask(placed, scale) if placed else masks.extent_of_box(found.box_xyxy_px, scale)
                )
        defect = self._defects.get(found.defect)
        severity = found.severity
        if record.looked_for and defect is not None:
            extent, severity = masks.scaled(extent, scale, found.box_xyxy_px), defect.severity
        return Detection(
            defect=found.defect,
            score=found.score,
            box_xyxy_px=found.box_xyxy_px,
            severity=severity or (defect.severity if defect else "major"),
            mask_rle=found.mask_rle,
            outline_px=outline,
            extent=extent,
        )

    def _promoted(self, one: Candidate, scale: Scale) -> Detection:
        """A candidate as a detection: it has no mask, and unless recorded its size is its box's."""
        box = one.box_xyxy_px
        extent = masks.scaled(one.extent, scale, box) if one.extent else masks.extent_of_box(box, scale)
        return Detection(
            defect=one.defect,
            score=one.score,
            box_xyxy_px=one.box_xyxy_px,
            severity=self._defects[one.defect].severity,
            extent=extent,
        )


def _agree_on_parts(where: str, sought: PromptParts, was: FoundParts | msgspec.UnsetType) -> None:
    """What the file of another detector does not state is not compared. Raises `FramesError`."""
    if not was:
        raise FramesError(f"{where}: no parts were looked for, and lines[].parts has prompts for them: {_AGAIN}")
    if was.wordings and was.wordings != wordings_hash(sought):
        raise FramesError(f"{where}: parts were looked for with other prompts: {_AGAIN}")
    if was.threshold is not None and was.threshold != sought.threshold:
        raise FramesError(
            f"{where}: parts were looked for with the threshold {was.threshold:g}, not {sought.threshold:g}: {_AGAIN}"
        )
