"""Writes the trained models as ordinary transformers folders: float16 weights, processor, tokenizer, checksums.

`python -m stream_inspect.tiny.export [FOLDER]...` rewrites only the checksums, by default of the embedded models.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer, Owlv2ForObjectDetection, Owlv2Processor, SamModel, SamProcessor
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from stream_inspect.inspect.models import write_sums
from stream_inspect.tiny.geometry import CROP_CONTEXT, CROP_MIN_SIDE_PX, CROP_PX, IMAGE_PX
from stream_inspect.tiny.segmenter_model import MASK_PX

DETECTOR_FOLDER = "owlv2"
SEGMENTER_FOLDER = "sam"


def export_detector(model: Owlv2ForObjectDetection, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write `folder`/owlv2."""
    target = folder / DETECTOR_FOLDER
    images = Owlv2ImageProcessorPil(size={"height": IMAGE_PX, "width": IMAGE_PX})
    _write_half(model, target)
    processor = Owlv2Processor(image_processor=images, tokenizer=tokenizer)  # type: ignore[no-untyped-call]
    processor.save_pretrained(target)
    write_sums(target)


def export_segmenter(model: SamModel, folder: Path) -> None:
    """Write `folder`/sam; its config says that it needs crops."""
    target = folder / SEGMENTER_FOLDER
    images = SamImageProcessorPil(
        size={"longest_edge": CROP_PX},
        pad_size={"height": CROP_PX, "width": CROP_PX},
        mask_size={"longest_edge": MASK_PX},
        mask_pad_size={"height": MASK_PX, "width": MASK_PX},
    )
    _write_half(model, target)
    SamProcessor(image_processor=images).save_pretrained(target)  # type: ignore[no-untyped-call]
    path = target / "config.json"
    config = json.loads(path.read_text())
    config["stream_inspect"] = {
        "wants_crops": True,
        "crop_context": CROP_CONTEXT,
        "crop_min_side_px": CROP_MIN_SIDE_PX,
        "multimask": False,
    }
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    write_sums(target)


def _write_half(model: Owlv2ForObjectDetection | SamModel, target: Path) -> None:
    """Save as float16 and leave the model as it was."""
    halved: Any = copy.deepcopy(model)
    halved.half().save_pretrained(target)


if __name__ == "__main__":
    embedded = [Path(__file__).parent / name for name in (DETECTOR_FOLDER, SEGMENTER_FOLDER)]
    for named in [Path(argument) for argument in sys.argv[1:]] or embedded:
        write_sums(named)
