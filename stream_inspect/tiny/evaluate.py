"""Measure the embedded models on lines they have never seen: `python -m stream_inspect.tiny.evaluate`.

The product's own engine judges the frames, with the product's preprocessing, fusing and crops. Thresholds are chosen on
validation seeds; the figures are of test seeds; training used neither.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from stream_inspect.config.models import Defect
from stream_inspect.inspect.detect.owlv2 import Owlv2Detector
from stream_inspect.inspect.engine import CameraSettings, InspectionEngine
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
LINE_SEEDS = range(43_000, 43_020)
_FRAMES_A_SEED = 10
_FIRST_FRAME, _FRAME_STEP = 90, 47
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
"""Wordings for the test of synonyms; the last six are no template of the training."""


def make_engine(folder: Path, threshold: float, segment: bool) -> InspectionEngine:
    """The product's engine on the models in `folder`, looking for the six defects with all their prompts."""
    segmenter = SamSegmenter(folder / SEGMENTER_FOLDER) if segment else None
    engine = InspectionEngine(Owlv2Detector(folder / DETECTOR_FOLDER), segmenter, model_hash="evaluation")
    engine.open()
    engine.look_for(defects(threshold))
    return engine


def defects(threshold: float) -> list[Defect]:
    """The six defects as a configuration would give them."""
    counter = list(COUNTER_PROMPTS)
    return [
        Defect(name=name, prompts=list(words), counter_prompts=counter, threshold=threshold)
        for name, words in DEFECT_PROMPTS.items()
    ]


def sample(seeds: Iterable[int]) -> Iterable[tuple[int, int, SyntheticLine]]:
    """(seed, frame, line) of the frames that single-frame figures are measured on."""
    for seed in seeds:
        line = SyntheticLine(seed, moves_right=seed % 2 == 1)
        for n in range(_FRAMES_A_SEED):
            yield seed, _FIRST_FRAME + n * _FRAME_STEP, line


def judge(engine: InspectionEngine, seeds: Iterable[int]) -> list[Judged]:
    """Judge the sample of these seeds."""
    return judge_with([engine], seeds)[0]


def judge_with(engines: Sequence[InspectionEngine], seeds: Iterable[int]) -> list[list[Judged]]:
    """Judge the sample with several engines: drawing a single frame costs more than judging it."""
    judged: list[list[Judged]] = [[] for _ in engines]
    for seed, index, line in sample(seeds):
        frame = line.frame(index)
        picture = as_rgb(frame.image_bgr)
        for engine, results in zip(engines, judged, strict=True):
            found = engine.judge([picture], [CameraSettings()])[0]
            results.append(Judged(seed, index, frame.truth.defects, tuple(_hit(d) for d in found)))
    return judged


def as_rgb(bgr: UInt8Array) -> UInt8Array:
    """The engine takes red first."""
    return np.ascontiguousarray(bgr[:, :, ::-1])


def _hit(found: Detection) -> Hit:
    mask = from_rle(found.mask_rle) if found.mask_rle is not None else None
    return Hit(found.defect, found.score, found.box_xyxy_px, mask)


def judge_line(engine: InspectionEngine, seed: int) -> figures.LineFigures:
    """Run one line for half a minute, judging every third frame."""
    line = SyntheticLine(seed, moves_right=seed % 2 == 1)
    frames: list[tuple[float, Sequence[Hit]]] = []
    truth_box: dict[int, figures.Box] = {}
    last = _LINE_FRAMES
    passed = line.passed_defects(last)
    alive = {p.object_id for p in passed}
    for index in range(0, last, _JUDGED_EVERY):
        frame = line.frame(index)
        left_px = float(line.left_px(index))
        for defect in frame.truth.defects:
            if defect.visible_fraction >= 1.0:
                x0, y0, x1, y1 = defect.box_xyxy_px
                truth_box[defect.defect_id] = (x0 + left_px, y0, x1 + left_px, y1)
        found = engine.judge([as_rgb(frame.image_bgr)], [CameraSettings()])[0]
        hits = [_hit(d) for d in found]
        staying = [d for d in frame.truth.defects if d.defect_id not in alive]
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


def parts(threshold: float) -> list[Defect]:
    """The kinds of part, looked for as if they were defects."""
    return [
        Defect(name=n.replace(" ", "_"), prompts=list(words), threshold=threshold) for n, words in PART_PROMPTS.items()
    ]


def any_defect(threshold: float) -> list[Defect]:
    """One entry for all defects, in general words."""
    return [Defect(name="defect", prompts=list(ANY_DEFECT_PROMPTS), threshold=threshold)]


def judge_with_parts(engine: InspectionEngine, seeds: Iterable[int]) -> list[Judged]:
    """Like `judge`, with the parts as the truth."""
    frames = []
    for seed, index, line in sample(seeds):
        frame = line.frame(index)
        found = engine.judge([as_rgb(frame.image_bgr)], [CameraSettings()])[0]
        hits = tuple(Hit(d.defect.replace("_", " "), d.score, d.box_xyxy_px) for d in found)
        frames.append(Judged(seed, index, frame.truth.parts, hits))
    return frames


def frames_per_second(engine: InspectionEngine, frames: Sequence[Judged]) -> tuple[float, float]:
    """Judged frames a second on one core: of frames without a hit, and of frames with exactly one."""
    rates = []
    for hits in (0, 1):
        chosen = [frame for frame in frames if len(frame.hits) == hits][:30]
        seconds = []
        for frame in chosen:
            line = SyntheticLine(frame.seed, moves_right=frame.seed % 2 == 1)
            picture = as_rgb(line.frame(frame.index).image_bgr)
            start = time.perf_counter()
            engine.judge([picture], [CameraSettings()])
            seconds.append(time.perf_counter() - start)
        rates.append(1 / float(np.median(seconds)))
    return rates[0], rates[1]


def main() -> None:
    """Print the table of required figures."""
    parser = argparse.ArgumentParser(prog="python -m stream_inspect.tiny.evaluate", description=__doc__)
    here = Path(__file__).parent
    parser.add_argument("--models", type=Path, default=here, help="folder with owlv2/ and sam/ (default: embedded)")
    parser.add_argument("--quick", action="store_true", help="a quarter of the seeds and no lines: a minute")
    options = parser.parse_args()
    torch.set_num_threads(1)
    share = 4 if options.quick else 1
    for row in report(options.models, share, lines=not options.quick):
        print(row, flush=True)


def report(folder: Path, share: int, lines: bool) -> Iterable[str]:
    """Rows of the table; `share` n uses every n-th seed."""
    loose = make_engine(folder, _LOWEST_SCORE, segment=False)
    threshold = figures.middle_of_plateau(judge(loose, VALIDATION_SEEDS[::share]), THRESHOLDS)
    yield _row("threshold, middle of the plateau on validation seeds", f"{threshold:.4f}")
    engine = make_engine(folder, threshold, segment=True)
    seeds = TEST_SEEDS[::share]
    frames, scored, raw = judge_with([engine, make_engine(folder, _SCORED_FROM, segment=True), loose], seeds)
    yield from _frame_rows(frames, scored, raw, threshold)
    part_engine = make_engine(folder, threshold, segment=False)
    part_engine.look_for(parts(threshold))
    found = figures.frame_figures(judge_with_parts(part_engine, seeds[::2]), threshold)
    text = f"{found.recall:.3f}, {found.precision:.3f}, {found.class_accuracy:.3f}"
    yield _row("parts by name: recall, precision, class", text, f"of {found.defects}")
    yield from _word_rows(folder, [line.frame(index) for _, index, line in sample(seeds[:_WORDING_SEEDS])], threshold)
    without, with_one = frames_per_second(engine, frames)
    yield _row("judged frames/s on one core: no hit (>= 30)", f"{without:.1f}")
    yield _row("judged frames/s on one core: one hit (>= 20)", f"{with_one:.1f}")
    if lines:
        yield from _line_rows(engine)


def _frame_rows(
    frames: Sequence[Judged], scored: Sequence[Judged], raw: Sequence[Judged], threshold: float
) -> Iterable[str]:
    got = figures.frame_figures(frames, threshold)
    yield _row("any-defect frames: recall (>= 0.98)", f"{got.frame_recall:.3f}", f"of {got.defective_frames}")
    yield _row("any-defect frames: false alarms (<= 0.02)", f"{got.false_alarms:.3f}", f"of {got.clean_frames}")
    yield _row("defects per frame: recall (>= 0.95)", f"{got.recall:.3f}", f"of {got.defects}")
    yield _row("defects per frame: precision (>= 0.95)", f"{got.precision:.3f}", f"of {got.hits}")
    yield _row("class accuracy (>= 0.98)", f"{got.class_accuracy:.3f}")
    yield _row("SAM-box AP50 (>= 0.97), AP75", _two(scored, 0.5, 0.75))
    yield _row("detector's own box: AP50, AP30", _two(raw, 0.5, 0.3))
    ious = figures.mask_ious(frames, threshold)
    each = ", ".join(f"{name} {np.mean(values):.3f}" for name, values in sorted(ious.items()))
    yield _row("mask IoU (>= 0.93)", f"{np.mean(np.concatenate([*ious.values()])):.3f}", each)


def _word_rows(folder: Path, frames: Sequence[SyntheticFrame], threshold: float) -> Iterable[str]:
    detector = Owlv2Detector(folder / DETECTOR_FOLDER)
    detector.open()
    failing = wordings_that_fail(detector, frames, threshold)
    tried = len(WORDINGS) * sum(len(words) for words in DEFECT_PROMPTS.values())
    yield _row("wordings that work", f"{tried - len(failing)} of {tried}")
    yield from (f"    fails: {text}" for text in failing[:20])
    score, loudest = loudest_absent(detector, frames)
    yield _row("loudest prompt for an absent thing", f"{score:.3f}", repr(loudest))


def _row(name: str, value: str, remark: str = "") -> str:
    return f"{name:54s} {value:14s} {remark}".rstrip()


def _two(frames: Sequence[Judged], first: float, second: float) -> str:
    return f"{figures.average_precision(frames, first):.3f}, {figures.average_precision(frames, second):.3f}"


def _line_rows(engine: InspectionEngine) -> Iterable[str]:
    results = []
    for seed in LINE_SEEDS:
        results.append(line := judge_line(engine, seed))
        yield (
            f"    line {seed}: recall {line.recall:.3f} of {line.truth}, "
            f"precision {line.precision:.3f} of {line.tracks}"
        )
    truth, tracks = sum(line.truth for line in results), sum(line.tracks for line in results)
    recall = sum(line.found for line in results) / max(1, truth)
    precision = sum(line.right for line in results) / max(1, tracks)
    worst = min(min(line.recall, line.precision) for line in results)
    yield _row(f"tracks of {len(results)} lines: recall (>= 0.97)", f"{recall:.3f}", f"of {truth}")
    yield _row(f"tracks of {len(results)} lines: precision (>= 0.97)", f"{precision:.3f}", f"of {tracks}")
    yield _row("worst line (>= 0.85)", f"{worst:.3f}")


if __name__ == "__main__":
    main()
