"""What is known of a replay before its first verdict: whether the configuration fits the recording, and the models."""

from __future__ import annotations

from stream_inspect.capture.camera import CameraInfo
from stream_inspect.config.fits import misfits
from stream_inspect.config.models import Config, InspectConfig
from stream_inspect.errors import UsageError
from stream_inspect.inspect.inspector import inspector_hash
from stream_inspect.inspect.models import resolve
from stream_inspect.tiny import scope


class MisfitError(UsageError):
    """With this configuration nothing would be found in this recording. The text says what to change."""


def refuse_misfits(config: Config, info: CameraInfo) -> list[str]:
    """What of the first camera's configuration fits this recording badly. Raises `MisfitError` where nothing fits."""
    camera = config.cameras[0]
    found = misfits(camera, config.decide, (info.width_px, info.height_px), info.fps)
    if unfit := [str(misfit) for misfit in found if misfit.fatal]:
        raise MisfitError(f"camera {camera.name} does not fit this recording: {'; '.join(unfit)}")
    return [str(misfit) for misfit in found]


def scope_warnings(config: Config, recorded_hash: str) -> list[str]:
    """Whether the embedded models judged what they do not know; `recorded_hash` is that of recorded inspections."""
    if recorded_hash:
        return [scope.VERDICTS] if _are_embedded(recorded_hash) else []
    reason = scope.out_of_scope(config.inspect)
    if not reason:
        return []
    unknown = scope.unknown_prompts(config.defects) if reason == scope.VERDICTS else []
    words = f"tiny does not know: {', '.join(unknown)}. It knows only these words: {scope.known_words()}"
    return [f"{reason}; {scope.ADVICE}", *([words] if unknown else [])]


def _are_embedded(model_hash: str) -> bool:
    """Whether recorded detections are those of the embedded models, by the hash of what made them."""
    detector, segmenter = resolve("detector", scope.TINY), resolve("segmenter", scope.TINY)
    both, alone = InspectConfig(), InspectConfig(segmenter=None)
    return model_hash in (inspector_hash(both, detector, segmenter), inspector_hash(alone, detector, None))
