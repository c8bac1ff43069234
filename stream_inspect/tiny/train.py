"""Train the embedded models again, or further: `python -m stream_inspect.tiny.train`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import torch
from transformers import CLIPTokenizer, Owlv2ForObjectDetection, SamModel

from stream_inspect.sim.world import STANDARD
from stream_inspect.tiny.detector_model import detector_config
from stream_inspect.tiny.detector_training import DetectorTraining, Phase, append_rows, fresh_detector
from stream_inspect.tiny.export import DETECTOR_FOLDER, SEGMENTER_FOLDER, export_detector, export_segmenter
from stream_inspect.tiny.segmenter_model import build_segmenter
from stream_inspect.tiny.segmenter_training import SegmenterTraining
from stream_inspect.tiny.text import teach_wordings
from stream_inspect.tiny.tokenizer import build_tokenizer
from stream_inspect.tiny.vocabulary import corpus
from stream_inspect.tiny.windows import MILD, WIDE

SEED = 1
DENSE = replace(STANDARD, defect_share=0.75, further_defect_share=0.6)
"""The standard line with far more defects: a picture costs the same and teaches more."""
LESS_DENSE = replace(STANDARD, defect_share=0.7, further_defect_share=0.5)
LEAST_DENSE = replace(STANDARD, defect_share=0.6, further_defect_share=0.45)
PHASES = (
    Phase("dense", 35.0, MILD, world=DENSE, first_seed=11_000_000),
    Phase(
        "wide",
        31.0,
        WIDE,
        peak_rate=1.2e-3,
        decay_share=0.65,
        full_share=0.15,
        world=LESS_DENSE,
        first_seed=12_000_000,
        fine_share=0.1,
    ),
    Phase(
        "long",
        60.0,
        WIDE,
        peak_rate=1.2e-3,
        decay_share=0.7,
        world=LESS_DENSE,
        first_seed=14_000_000,
        fine_share=0.15,
    ),
    Phase(
        "last",
        20.0,
        WIDE,
        peak_rate=0.8e-3,
        decay_share=0.85,
        full_share=0.7,
        world=LEAST_DENSE,
        first_seed=15_000_000,
        fine_share=0.25,
    ),
)
"""The detector's phases; each starts from the one before."""
WARM_PHASES = ("long", "last")
"""Those run by a detector that starts from trained weights."""
SEGMENTER_MINUTES = 60.0
WORDING_STEPS = 700
STAGES = ("detector", "text", "segmenter")

_HELP = """\
Draw the synthetic line, train the small OWLv2 and SAM on it and write OUT/owlv2 and OUT/sam, two ordinary transformers
folders. All seeds are fixed; the time is limited, so the result depends on the speed of the processor.

stages, in this order:
  detector   learns to see: windows of the belt first, whole pictures at the end of each phase
  text       only the text tower: any wording around a known word gets that word's embedding (under a minute)
  segmenter  SAM on crops around defects

Checkpoints are written every minute to OUT/checkpoints; --resume continues from them. It uses one core.
--start begins with trained weights, by default the embedded ones; only the detector's later phases are then run.

examples:
  python -m stream_inspect.tiny.train                                  the shipped recipe, about three and a half hours
  python -m stream_inspect.tiny.train --resume                         continue after an interruption
  python -m stream_inspect.tiny.train --out /tmp/look --minutes 10     a quick try: everything scaled down
  python -m stream_inspect.tiny.train --start                          train the embedded models further
  python -m stream_inspect.tiny.evaluate --models tiny-out             measure the result
"""


def main() -> None:
    """Train the stages asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m stream_inspect.tiny.train",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("tiny-out"),
        metavar="DIR",
        help="folder for models and checkpoints (default: %(default)s)",
    )
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="train for M minutes in total instead of the recipe's time"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoints in DIR")
    parser.add_argument(
        "--start",
        type=Path,
        nargs="?",
        const=Path(__file__).parent,
        metavar="DIR",
        help="start from the models in DIR (default: the embedded ones) instead of from scratch",
    )
    parser.add_argument("--stage", choices=[*STAGES, "all"], default="all", help="run only this stage (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    phases = PHASES if options.start is None else tuple(p for p in PHASES if p.name in WARM_PHASES)
    stages = STAGES if options.stage == "all" else (options.stage,)
    whole = sum(phase.minutes for phase in phases) * ("detector" in stages)
    whole += SEGMENTER_MINUTES * ("segmenter" in stages)
    share = options.minutes / whole if options.minutes and whole else 1.0
    folder: Path = options.out / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    if "detector" in stages:
        train_detector(options.out, folder, phases, share, options.resume, options.start)
    if "text" in stages:
        teach_and_export(options.out, folder)
    if "segmenter" in stages:
        train_segmenter(options.out, folder, share, options.resume, options.start)


def train_detector(
    out: Path, folder: Path, phases: Sequence[Phase], share: float, resume: bool, start: Path | None
) -> None:
    """The detector's phases in turn; a finished phase is not run again on resuming."""
    tokenizer = build_tokenizer(corpus())
    model: Owlv2ForObjectDetection | None = None
    if start is not None:
        model = Owlv2ForObjectDetection.from_pretrained(start / DETECTOR_FOLDER, dtype=torch.float32)
    before: Path | None = None
    for phase in phases:
        shorter = replace(phase, minutes=phase.minutes * share)
        if model is None:
            model = fresh_detector(len(tokenizer), SEED, shorter.world)
        training = DetectorTraining(shorter, model, tokenizer, folder)
        resumed = resume and training.resume()
        if not resumed and before is not None:
            training.load_cells(before)
        for row in training.run():
            _show(f"detector, {phase.name}", training.done, row)
            append_rows(out / f"curve_{phase.name}.csv", [row])
        before = training.checkpoint


def teach_and_export(out: Path, folder: Path) -> None:
    """Teach the last phase's detector its wordings and write OUT/owlv2."""
    tokenizer = build_tokenizer(corpus())
    model = load_detector(folder / f"{PHASES[-1].name}.pt", tokenizer)
    for distance in teach_wordings(model, tokenizer, WORDING_STEPS, SEED):
        print(f"text: distance to the taught words {distance:.4f}", flush=True)
    export_detector(model, tokenizer, out)


def load_detector(checkpoint: Path, tokenizer: CLIPTokenizer) -> Owlv2ForObjectDetection:
    """The detector of a checkpoint."""
    model = Owlv2ForObjectDetection(detector_config(len(tokenizer)))
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["model"])
    return model


def train_segmenter(out: Path, folder: Path, share: float, resume: bool, start: Path | None) -> None:
    """Train SAM and write OUT/sam."""
    model: SamModel = build_segmenter(SEED)
    if start is not None:
        trained = SamModel.from_pretrained(start / SEGMENTER_FOLDER, dtype=torch.float32)
        model.load_state_dict(trained.state_dict())
    training = SegmenterTraining(model, SEGMENTER_MINUTES * share, folder)
    if resume:
        training.resume()
    for row in training.run():
        _show("segmenter", training.progress.seconds / (60 * training.minutes), row)
        append_rows(out / "curve_segmenter.csv", [row])
    export_segmenter(model, out)


def _show(what: str, done: float, row: dict[str, float]) -> None:
    numbers = _rounded(row)
    print(f"{what} {100 * done:5.1f} %  " + "  ".join(numbers), flush=True)


def _rounded(row: dict[str, float]) -> Iterator[str]:
    return (f"{name} {value:.0f}" if value >= 100 else f"{name} {value:.3f}" for name, value in row.items())


if __name__ == "__main__":
    main()
