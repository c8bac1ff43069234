"""What is known of a replay before its first verdict: whether the configuration fits the recording, and the models."""

from __future__ import annotations

from stream_inspect.capture.camera import CameraInfo
from stream_inspect.config.fits import misfits
from stream_inspect.config.models import Config, InspectConfig
from stream_inspect.errors import UsageError
from stream_inspect.inspect.inspector import inspector_hash
from stream_inspect.inspect.models import resolve
from stream_inspect.inspect.prompt_length import refuse_long_prompts
from stream_inspect.tiny import scope


class MisfitError(UsageError):
    """With this configuration nothing would be found in this recording. The text says what to change."""


def before_judging(config: Config, info: CameraInfo, *, recorded_hash: str | None) -> list[str]:
    """What makes the verdicts worth less than they look, in sentences.

    `recorded_hash` is that of the models which made recorded inspections; None where the configured ones will judge.
    Raises `MisfitError`; `PromptsError` for prompts that the detector cannot read.
    """
    for line in config.lines:
        if line.odometer.kind == "encoder" or line.parts.kind == "trigger":
            raise MisfitError(
                f"{line.name} is followed by inputs of the plant, which no recording has: `--set lines=[]` judges it "
                "without verdicts on parts"
            )
    if recorded_hash is None:
        refuse_long_prompts(config.inspect.detector, config.defects, config.part_prompts)
    return [*info.notes.ignored, *_misfits(config, info), *_scope(config, recorded_hash)]


def _misfits(config: Config, info: CameraInfo) -> list[str]:
    """What of the first camera's configuration fits this recording badly. Raises `MisfitError` where nothing does."""
    camera = config.cameras[0]
    line = config.parts_of(config.line_of(camera.name))
    found = misfits(camera, config.decide, (info.width_px, info.height_px), info.fps, line)
    if unfit := [str(misfit) for misfit in found if misfit.fatal]:
        raise MisfitError(f"camera {camera.name} does not fit this recording: {'; '.join(unfit)}")
    return [str(misfit) for misfit in found]


def _scope(config: Config, recorded_hash: str | None) -> list[str]:
    """Whether the embedded models judge what they do not know."""
    if recorded_hash is not None:
        return [scope.VERDICTS] if _are_embedded(recorded_hash) else []
    reason = scope.out_of_scope(config.inspect)
    if not reason:
        return []
    words = [scope.words(config.defects)] if reason == scope.VERDICTS else []
    return [*words, f"{reason}; {scope.ADVICE}"]


def _are_embedded(model_hash: str) -> bool:
    """Whether recorded detections are those of the embedded models, by the hash of what made them."""
    detector, segmenter = resolve("detector", scope.TINY), resolve("segmenter", scope.TINY)
    both, alone = InspectConfig(), InspectConfig(segmenter=None)
    return model_hash in (inspector_hash(both, detector, segmenter), inspector_hash(alone, detector, None))
