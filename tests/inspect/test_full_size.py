"""The full-size path end to end, slowly: real configurations, real tokenizer, random weights, from local folders."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from transformers import (
    AutoTokenizer,
    Owlv2Config,
    Owlv2ImageProcessorPil,
    Owlv2Processor,
    SamConfig,
    SamImageProcessorPil,
    SamProcessor,
)

from stream_inspect.config.models import (
    Config,
    DefectConfig,
    DetectorConfig,
    InspectConfig,
    SegmenterConfig,
    WorkerConfig,
)
from stream_inspect.inspect.inspector import CameraSettings, build_inspector
from stream_inspect.inspect.masks import from_rle
from tests.inspect.random_models import owlv2_model, sam_model
from tests.inspect.reference import picture_of


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_configuration_with_full_size_models_judges_a_picture(sample_data: Path, tmp_path: Path) -> None:
    detector, segmenter = tmp_path / "owlv2-base-patch16-ensemble", tmp_path / "sam-vit-base"
    owlv2_model(Owlv2Config(vision_config={"image_size": 960})).save_pretrained(detector)
    tokenizer = AutoTokenizer.from_pretrained(sample_data / "owlv2-processor")
    Owlv2Processor(Owlv2ImageProcessorPil(), tokenizer).save_pretrained(detector)
    sam_model(SamConfig()).save_pretrained(segmenter)
    SamProcessor(SamImageProcessorPil()).save_pretrained(segmenter)

    defects = [
        DefectConfig(
            name="scratch", prompts=["a long scratch", "scratched metal"], counter_prompts=["a seam"], threshold=0.01
        ),
        DefectConfig(name="dent", prompts=["a dent in the surface"], threshold=0.01, min_area_mm2=1.0),
    ]
    inspect = InspectConfig(
        detector=DetectorConfig(model=str(detector)), segmenter=SegmenterConfig(model=str(segmenter)), max_detections=5
    )
    config = Config(
        version=1, cameras=[{"name": "a", "source": {"kind": "synthetic"}}], defects=defects, inspect=inspect
    )
    inspector = build_inspector(config.inspect, WorkerConfig(threads=2))
    times = {}

    def timed(step: str, action):  # type: ignore[no-untyped-def]
        began = time.perf_counter()
        result = action()
        times[step] = time.perf_counter() - began
        return result

    timed("open", inspector.open)
    timed("encode the prompts", lambda: inspector.set_defects(config.defects))
    picture = picture_of(1920, 1080)
    (first,) = timed("judge", lambda: inspector.judge([picture], [CameraSettings(scale=0.2)]))
    (second,) = timed("judge again", lambda: inspector.judge([picture], [CameraSettings(scale=0.2)]))
    print({step: f"{seconds:.1f} s" for step, seconds in times.items()})

    assert first, "random weights fire everywhere at this threshold"
    assert first == second
    assert len(first) <= 5
    for found in first:
        left, top, right, bottom = found.box_xyxy_px
        assert 0 <= left < right <= 1920
        assert 0 <= top < bottom <= 1080
        if found.mask_rle is not None:
            mask = from_rle(found.mask_rle)
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            assert found.box_xyxy_px == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            assert found.extent is not None
            assert found.extent.area_px == mask.sum()
    assert any(found.mask_rle is not None for found in first)
