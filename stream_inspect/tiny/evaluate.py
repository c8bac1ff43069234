"""Measure the embedded models on lines that training never used: `python -m stream_inspect.tiny.evaluate`.

The service's own inspector judges the frames, with its preprocessing, fusing and crops. Thresholds are chosen on
validation seeds; the figures are those of test seeds; training used neither. Exit code 0: every required figure is
reached, 1: at least one is not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch

from stream_inspect.config.models import DefectConfig
from stream_inspect.inspect.detect.owlv2 import Owlv2Detector
from stream_inspect.inspect.inspector import CameraSettings, Inspector
from stream_inspect.inspect.masks import from_rle
from stream_inspect.inspect.segment.sam import SamSegmenter
from stream_inspect.messages import Detection
from stream_inspect.picture import UInt8Array
from stream_inspect.sim import SyntheticFrame, SyntheticLine
from stream_inspect.sim.truth import ObjectTruth
from stream_inspect.tiny import figures
from stream_inspect.tiny.defaults import ANY_DEFECT_PROMPTS, COUNTER_PROMPTS, DEFECT_PROMPTS, PART_PROMPTS
from stream_inspect.tiny.export import DETECTOR_FOLDER, SEGMENTER_FOLDER
from stream_inspect.tiny.figures import Hit, Judged
from stream_inspect.tiny.vocabulary import OFF_DOMAIN

VALIDATION_SEEDS = range(31_000, 31_030)
TEST_SEEDS = range(41_000, 41_040)
CLEAN_SEEDS = range(42_000, 42_040)
"""Lines of which only frames without any defect are judged: too few frames of the test seeds are clean."""
LINE_SEEDS = range(43_000, 43_020)
_FRAMES_A_SEED = 10
_FIRST_FRAME, _FRAME_STEP = 90, 47
_CLEAN_FRAMES_A_SEED = 10
_CLEAN_FRAME_STEP = 23
_JUDGED_EVERY = 3
_LINE_FRAMES = 750
_LEAST_HITS = 3
_LOWEST_SCORE = 0.05
_SCORED_FROM = 0.15
_WORDING_SEEDS = 10
THRESHOLDS = tuple(round(float(t), 3) for t in np.arange(0.1, 0.9, 0.025))

WORDINGS = (
    "{}",
    "a photo of a {}",
    "a picture showing a {}",
    "find the {}",
    "there is a {} here",
    "detect {} defects in image",
    "locate every {} you notice",
    "inspect it: {} present",
    "{}, anywhere",
    "PHOTO OF A {}!",
)
"""Wordings for the test of synonyms; the last six are not among the templates of the training."""


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One line of the table. A figure with a `bound` is required: at least that much, or at most where `is_ceiling`."""

    name: str
    value: float
    bound: float | None = None
    is_ceiling: bool = False
    remark: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether the figure is within its bound; one without a bound always is."""
        if self.bound is None:
            return True
        return self.value <= self.bound if self.is_ceiling else self.value >= self.bound

    def __str__(self) -> str:
        result, bound = "", ""
        if self.bound is not None:
            result = "reached" if self.is_reached else "MISSED"
            bound = f"{'<=' if self.is_ceiling else '>='} {self.bound:g}"
        return f"{result:8s} {self.name:48s} {self.value:8.3f}  {bound:8s}  {self.remark}".rstrip()


def make_inspector(folder: Path, threshold: float, segment: bool) -> Inspector:
    """The service's inspector with the models in `folder`, looking for the six defects with all their prompts."""
    segmenter = SamSegmenter(folder / SEGMENTER_FOLDER) if segment else None
    inspector = Inspector(Owlv2Detector(folder / DETECTOR_FOLDER), segmenter, model_hash="evaluation")
    inspector.open()
    inspector.set_defects(defects(threshold))
    return inspector


def defects(threshold: float) -> list[DefectConfig]:
    """The six defects as a configuration would give them."""
    counter = list(COUNTER_PROMPTS)
    return [
        DefectConfig(name=name, prompts=list(words), counter_prompts=counter, threshold=threshold)
        for name, words in DEFECT_PROMPTS.items()
    ]


def sample(seeds: Iterable[int]) -> Iterable[tuple[int, int, SyntheticLine]]:
    """(seed, frame, line) of the frames that single-frame figures are measured on."""
    for seed in seeds:
        line = SyntheticLine(seed, moves_right=seed % 2 == 1)
        for n in range(_FRAMES_A_SEED):
            yield seed, _FIRST_FRAME + n * _FRAME_STEP, line


def clean_sample(seeds: Iterable[int]) -> Iterable[tuple[int, int, SyntheticLine]]:
    """(seed, frame, line) of the first frames of each line that show no defect, not even the edge of one."""
    for seed in seeds:
        line = SyntheticLine(seed, moves_right=seed % 2 == 1)
        clean = (index for index in count(_FIRST_FRAME, _CLEAN_FRAME_STEP) if not line.truth(index).defects)
        for index in islice(clean, _CLEAN_FRAMES_A_SEED):
            yield seed, index, line


def judge(inspector: Inspector, seeds: Iterable[int]) -> list[Judged]:
    """Judge the sample of these seeds."""
    return judge_with([inspector], sample(seeds))[0]


def judge_with(inspectors: Sequence[Inspector], chosen: Iterable[tuple[int, int, SyntheticLine]]) -> list[list[Judged]]:
    """Judge these frames with several inspectors: drawing a frame costs more than judging it."""
    judged: list[list[Judged]] = [[] for _ in inspectors]
    for seed, index, line in chosen:
        frame = line.frame(index)
        picture = as_rgb(frame.image_bgr)
        for inspector, results in zip(inspectors, judged, strict=True):
            found = inspector.judge([picture], [CameraSettings()])[0]
            results.append(Judged(seed, index, frame.truth.defects, tuple(_hit(d) for d in found)))
    return judged


def as_rgb(bgr: UInt8Array) -> UInt8Array:
    """The inspector takes RGB."""
    return np.ascontiguousarray(bgr[:, :, ::-1])


def _hit(found: Detection) -> Hit:
    mask = from_rle(found.mask_rle) if found.mask_rle is not None else None
    return Hit(found.defect, found.score, found.box_xyxy_px, mask)


def judge_line(inspector: Inspector, seed: int) -> figures.LineFigures:
    """Run one line for half a minute, judging every third frame."""
    line = SyntheticLine(seed, moves_right=seed % 2 == 1)
    frames: list[tuple[float, Sequence[Hit]]] = []
    truth_box: dict[int, figures.Box] = {}
    last = _LINE_FRAMES
    passed = line.passed_defects(last)
    passed_ids = {p.object_id for p in passed}
    for index in range(0, last, _JUDGED_EVERY):
        frame = line.frame(index)
        left_px = float(line.left_px(index))
        for defect in frame.truth.defects:
            if defect.visible_fraction >= 1.0:
                x0, y0, x1, y1 = defect.box_xyxy_px
                truth_box[defect.defect_id] = (x0 + left_px, y0, x1 + left_px, y1)
        found = inspector.judge([as_rgb(frame.image_bgr)], [CameraSettings()])[0]
        hits = [_hit(d) for d in found]
        staying = [d for d in frame.truth.defects if d.defect_id not in passed_ids]
        frames.append((left_px, [hit for hit in hits if not _on_any(hit, staying)]))
    return figures.line_figures(seed, passed, truth_box, frames, _LEAST_HITS)


def _on_any(hit: Hit, staying: Sequence[ObjectTruth]) -> bool:
    return any(figures.centred(hit.box, defect) for defect in staying)


def wordings_that_fail(detector: Owlv2Detector, frames: Sequence[SyntheticFrame], threshold: float) -> list[str]:
    """Prompts that, alone, miss a twentieth or more of their defect, or find more other things than its plain name.

    Each synonym of each defect, in each of `WORDINGS`, is tried on the same frames. A prompt may do one defect worse
    than the best one does.
    """
    texts = [(name, w.format(word)) for name, words in DEFECT_PROMPTS.items() for word in words for w in WORDINGS]
    prompts = detector.encode_prompts([text for _, text in texts])
    found, missed, wrong = (np.zeros(len(texts), int) for _ in range(3))
    for frame in frames:
        result = detector.detect([as_rgb(frame.image_bgr)], prompts)[0]
        for column, (name, _) in enumerate(texts):
            boxes = [tuple(box) for box in result.boxes_xyxy_px[result.scores[:, column] >= threshold]]
            own = [d for d in frame.truth.defects if d.name == name]
            for defect in own:
                if defect.visible_fraction >= figures.VISIBLE:
                    hit = any(figures.centred(box, defect) for box in boxes)
                    found[column] += hit
                    missed[column] += not hit
            wrong[column] += any(not any(figures.centred(box, defect) for defect in own) for box in boxes)
    failing = []
    for column, (name, text) in enumerate(texts):
        best = max(found[n] for n, (other, _) in enumerate(texts) if other == name)
        plain = wrong[texts.index((name, name))]
        if found[column] < 0.95 * best - 1 or wrong[column] > plain + 0.03 * len(frames) + 1:
            remark = f"wrong in {wrong[column]} of {len(frames)} frames"
            failing.append(f"{text!r}: found {found[column]} of {found[column] + missed[column]}, {remark}")
    return failing


def loudest_absent(detector: Owlv2Detector, frames: Sequence[SyntheticFrame]) -> tuple[float, str]:
    """Highest score that any prompt for an absent thing reaches on the frames, and that prompt."""
    words = [*OFF_DOMAIN, "zeppelin", "wombat", "teacup", "xqzwv", "saxophone", "volcano"]
    texts = [wording.format(word) for word in words for wording in (WORDINGS[1], WORDINGS[4])]
    prompts = detector.encode_prompts(texts)
    loudest = (0.0, "")
    for frame in frames:
        scores = detector.detect([as_rgb(frame.image_bgr)], prompts)[0].scores.max(axis=0)
        best = int(np.argmax(scores))
        loudest = max(loudest, (float(scores[best]), texts[best]))
    return loudest


def parts(threshold: float) -> list[DefectConfig]:
    """The kinds of part, looked for as if they were defects."""
    return [
        DefectConfig(name=n.replace(" ", "_"), prompts=list(words), threshold=threshold)
        for n, words in PART_PROMPTS.items()
    ]


def any_defect(threshold: float) -> list[DefectConfig]:
    """One entry for all defects, in general words."""
    return [DefectConfig(name="defect", prompts=list(ANY_DEFECT_PROMPTS), threshold=threshold)]


def judge_with_parts(inspector: Inspector, seeds: Iterable[int]) -> list[Judged]:
    """Like `judge`, with the parts as the truth."""
    frames = []
    for seed, index, line in sample(seeds):
        frame = line.frame(index)
        found = inspector.judge([as_rgb(frame.image_bgr)], [CameraSettings()])[0]
        hits = tuple(Hit(d.defect.replace("_", " "), d.score, d.box_xyxy_px) for d in found)
        frames.append(Judged(seed, index, frame.truth.parts, hits))
    return frames


def frames_per_second(inspector: Inspector, frames: Sequence[Judged]) -> tuple[float, float]:
    """Judged frames a second on one core: of frames without a hit, and of frames with exactly one.

    By processor time, so that other work on the machine does not count. torch must be set to one thread.
    """
    rates = []
    for hits in (0, 1):
        chosen = [frame for frame in frames if len(frame.hits) == hits][:30]
        seconds = []
        for frame in chosen:
            line = SyntheticLine(frame.seed, moves_right=frame.seed % 2 == 1)
            picture = as_rgb(line.frame(frame.index).image_bgr)
            start_s = time.process_time()
            inspector.judge([picture], [CameraSettings()])
            seconds.append(time.process_time() - start_s)
        rates.append(1 / float(np.median(seconds)))
    return rates[0], rates[1]


def main() -> int:
    """Print the table of required figures; 0 when all are reached."""
    parser = argparse.ArgumentParser(prog="python -m stream_inspect.tiny.evaluate", description=__doc__)
    here = Path(__file__).parent
    parser.add_argument("--models", type=Path, default=here, help="folder with owlv2/ and sam/ (default: embedded)")
    parser.add_argument("--quick", action="store_true", help="use a quarter of the seeds and no lines; takes a minute")
    options = parser.parse_args()
    torch.set_num_threads(1)
    share = 4 if options.quick else 1
    missed = 0
    for row in report(options.models, share, lines=not options.quick):
        print(row, flush=True)
        missed += not row.is_reached
    print(f"{missed} required figures are missed" if missed else "every required figure is reached")
    return 1 if missed else 0


def report(folder: Path, share: int, lines: bool) -> Iterable[FigureRow]:
    """Rows of the table; `share` n uses every n-th seed."""
    loose = make_inspector(folder, _LOWEST_SCORE, segment=False)
    (clean,) = judge_with([loose], clean_sample(VALIDATION_SEEDS[::share]))
    threshold = figures.middle_of_plateau([*judge(loose, VALIDATION_SEEDS[::share]), *clean], THRESHOLDS)
    yield FigureRow("threshold, middle of the plateau on validation seeds", threshold)
    inspector = make_inspector(folder, threshold, segment=True)
    seeds = TEST_SEEDS[::share]
    frames, scored, raw = judge_with(
        [inspector, make_inspector(folder, _SCORED_FROM, segment=True), loose], sample(seeds)
    )
    (more_clean,) = judge_with([make_inspector(folder, threshold, segment=False)], clean_sample(CLEAN_SEEDS[::share]))
    yield from _frame_rows(frames, more_clean, threshold)
    yield from _picture_rows(frames, scored, raw, threshold)
    part_inspector = make_inspector(folder, threshold, segment=False)
    part_inspector.set_defects(parts(threshold))
    found = figures.frame_figures(judge_with_parts(part_inspector, seeds[::2]), threshold)
    yield FigureRow("parts by name: recall", found.recall, remark=f"of {found.defects}")
    yield FigureRow("parts by name: precision", found.precision, remark=f"of {found.hits}")
    yield FigureRow("parts by name: class accuracy", found.class_accuracy)
    yield from _word_rows(folder, [line.frame(index) for _, index, line in sample(seeds[:_WORDING_SEEDS])], threshold)
    without, with_one = frames_per_second(inspector, frames)
    yield FigureRow("judged frames/s on one core: no hit", without, 30)
    yield FigureRow("judged frames/s on one core: one hit", with_one, 20)
    if lines:
        yield from _line_rows(inspector)


def _frame_rows(frames: Sequence[Judged], more_clean: Sequence[Judged], threshold: float) -> Iterable[FigureRow]:
    got = figures.frame_figures(frames, threshold)
    clean = figures.frame_figures([*frames, *more_clean], threshold)
    yield FigureRow("any-defect frames: recall", got.frame_recall, 0.98, remark=f"of {got.defective_frames}")
    alarmed = f"{clean.alarmed_frames} of {clean.clean_frames}"
    yield FigureRow("any-defect frames: false alarms", clean.false_alarms, 0.02, is_ceiling=True, remark=alarmed)
    yield FigureRow("defects per frame: recall", got.recall, 0.95, remark=f"of {got.defects}")
    yield FigureRow("defects per frame: precision", got.precision, 0.95, remark=f"of {got.hits}")
    yield FigureRow("class accuracy", got.class_accuracy, 0.98, remark=f"of {got.found}")


def _picture_rows(
    frames: Sequence[Judged], scored: Sequence[Judged], raw: Sequence[Judged], threshold: float
) -> Iterable[FigureRow]:
    """Boxes and masks. `scored` and `raw` hold the weak hits too, with and without the segmenter."""
    yield FigureRow("SAM-box AP50", figures.average_precision(scored, 0.5), 0.97)
    yield FigureRow("SAM-box AP75", figures.average_precision(scored, 0.75))
    yield FigureRow("detector's own box: AP50", figures.average_precision(raw, 0.5))
    yield FigureRow("detector's own box: AP30", figures.average_precision(raw, 0.3))
    ious = figures.mask_ious(frames, threshold)
    each = ", ".join(f"{name} {np.mean(values):.3f}" for name, values in sorted(ious.items()))
    yield FigureRow("mask IoU", float(np.mean(np.concatenate([*ious.values()]))), 0.93, remark=each)


def _word_rows(folder: Path, frames: Sequence[SyntheticFrame], threshold: float) -> Iterable[FigureRow]:
    detector = Owlv2Detector(folder / DETECTOR_FOLDER)
    detector.open()
    failing = wordings_that_fail(detector, frames, threshold)
    tried = len(WORDINGS) * sum(len(words) for words in DEFECT_PROMPTS.values())
    yield FigureRow(f"wordings that fail, of {tried}", len(failing), 0, is_ceiling=True, remark="; ".join(failing[:20]))
    score, loudest = loudest_absent(detector, frames)
    yield FigureRow(
        "loudest prompt for an absent thing", score, round(threshold, 4), is_ceiling=True, remark=repr(loudest)
    )


def _line_rows(inspector: Inspector) -> Iterable[FigureRow]:
    results = []
    for seed in LINE_SEEDS:
        results.append(line := judge_line(inspector, seed))
        remark = f"recall {line.recall:.3f} of {line.truth}, precision {line.precision:.3f} of {line.tracks}"
        yield FigureRow(f"line {seed}", min(line.recall, line.precision), remark=remark)
    truth, tracks = sum(line.truth for line in results), sum(line.tracks for line in results)
    recall = sum(line.found for line in results) / max(1, truth)
    precision = sum(line.right for line in results) / max(1, tracks)
    worst = min(min(line.recall, line.precision) for line in results)
    yield FigureRow(f"tracks of {len(results)} lines: recall", recall, 0.97, remark=f"of {truth}")
    yield FigureRow(f"tracks of {len(results)} lines: precision", precision, 0.97, remark=f"of {tracks}")
    yield FigureRow("worst line", worst, 0.85)


if __name__ == "__main__":
    sys.exit(main())
