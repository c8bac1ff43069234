"""`inspect`: the models, the processes that run them, and what they report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stream_inspect.config.base import RELOADABLE, Model

_MODEL = (
    "A hub id, a local folder, or `tiny` (embedded; knows only the synthetic line, of anything else its verdicts mean "
    "nothing)."
)


class DetectorConfig(Model):
    """The open-vocabulary detector."""

    kind: str = Field("owlv2", min_length=1, description="`owlv2`, or a plug-in (group `stream_inspect.detector`).")
    model: str = Field("tiny", min_length=1, description=_MODEL)
    revision: str | None = Field(None, description="Hub revision to pin: a tag or a commit.")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Number format of the weights; a GPU is faster with bfloat16 or float16."
    )


class SegmenterConfig(Model):
    """The segmenter, run on hits only. `segmenter: null` turns it off; events then have boxes but no masks."""

    kind: str = Field("sam", min_length=1, description="`sam`, or a plug-in (group `stream_inspect.segmenter`).")
    model: str = Field("tiny", min_length=1, description=_MODEL)
    revision: str | None = Field(None, description="Hub revision to pin: a tag or a commit.")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Number format of the weights; a GPU is faster with bfloat16 or float16."
    )


class WorkerConfig(Model):
    """One inspect process; it has its own copy of the models. Every worker serves every camera."""

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto: cuda if available, otherwise cpu; cuda:1 is the second GPU.",
        json_schema_extra={"x-rule": "auto, cpu, cuda or cuda:N"},
    )
    threads: int = Field(1, ge=1, le=128, description="CPU threads of torch.")


class InspectConfig(Model):
    """The inspect stage."""

    detector: DetectorConfig = DetectorConfig()
    segmenter: SegmenterConfig | None = Field(SegmenterConfig(), description="null: boxes only, no masks.")
    workers: list[WorkerConfig] = Field(
        [WorkerConfig()], min_length=1, max_length=64, description="Inspect processes; use one for each GPU."
    )
    batch_max_frames: int = Field(4, ge=1, le=256, description="Largest batch, in frames; halved when memory runs out.")
    fuse_overlap: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Boxes of one defect are merged where they overlap by more than this share of the smaller one.",
        json_schema_extra=RELOADABLE,
    )
    max_detections: int = Field(
        50,
        ge=1,
        le=1000,
        description="Maximum per frame; the best are kept, of the best 200 boxes (or four times this).",
        json_schema_extra=RELOADABLE,
    )
