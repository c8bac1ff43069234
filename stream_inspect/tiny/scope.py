"""What the embedded models know, and on what they are used: on anything but the synthetic line they only demonstrate.

A recording with 67 real defects gave "0 defects". Whatever shows a verdict of these models says what it is worth.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stream_inspect.config.models import (
    CameraConfig,
    Config,
    DefectConfig,
    InspectConfig,
    SyntheticSource,
)
from stream_inspect.inspect.models import BUILT_IN
from stream_inspect.tiny.defaults import ANY_DEFECT_PROMPTS, ANY_PART_PROMPTS
from stream_inspect.tiny.vocabulary import CONCEPTS, FILLERS

TINY = "tiny"
"""The name of the embedded models in a configuration."""
VERDICTS = "the embedded models (tiny) know only the synthetic line; of anything else their verdicts mean nothing"
OUTLINES = "the embedded segmenter (tiny) knows only the synthetic line; of anything else its outlines mean nothing"
ADVICE = (
    "set inspect.detector.model: google/owlv2-base-patch16-ensemble and inspect.segmenter.model: "
    "facebook/sam-vit-base, or the folders of such models"
)
_WORD = re.compile(r"[^\W_]+")
_PHRASES = sorted(
    {phrase for row in (*CONCEPTS.values(), ANY_DEFECT_PROMPTS, ANY_PART_PROMPTS) for phrase in row},
    key=len,
    reverse=True,
)


def out_of_scope(inspect: InspectConfig, camera: CameraConfig | None = None) -> str:
    """Why what this configuration says of a camera's pictures means nothing; "" where it means something.

    Without a camera: of pictures that are not those of a synthetic line.
    """
    if camera is not None and isinstance(camera.source, SyntheticSource):
        return ""
    detector, segmenter = inspect.detector, inspect.segmenter
    if (detector.kind, detector.model) == (BUILT_IN["detector"], TINY):
        return VERDICTS
    if segmenter is not None and (segmenter.kind, segmenter.model) == (BUILT_IN["segmenter"], TINY):
        return OUTLINES
    return ""


def cameras_out_of_scope(config: Config) -> dict[str, str]:
    """The cameras of which the embedded models judge pictures that they do not know, each with the reason."""
    reasons = {camera.name: out_of_scope(config.inspect, camera) for camera in config.cameras}
    return {name: reason for name, reason in reasons.items() if reason}


def cameras_warning(config: Config) -> str:
    """Why what the embedded models say of which cameras means nothing; "" where it means something."""
    reasons = cameras_out_of_scope(config)
    return f"{next(iter(reasons.values()))} (camera {', '.join(reasons)})" if reasons else ""


def known_words() -> str:
    """All words that the embedded detector was trained on, those of one meaning together."""
    return "; ".join(", ".join(row) for row in (*CONCEPTS.values(), ANY_DEFECT_PROMPTS, ANY_PART_PROMPTS))


def unknown_prompts(defects: Sequence[DefectConfig]) -> list[str]:
    """The prompts and counter-prompts that mean nothing to the embedded detector."""
    texts = [text for defect in defects for text in (*defect.prompts, *defect.counter_prompts)]
    return [text for text in dict.fromkeys(texts) if not _knows(text)]


def words(defects: Sequence[DefectConfig]) -> str:
    """Which of the defects' prompts the embedded detector does not know, and those that it knows."""
    unknown = unknown_prompts(defects)
    if not unknown:
        return f"tiny knows only these words: {known_words()}"
    return f"tiny does not know: {', '.join(unknown)}. It knows only these words: {known_words()}"


def _knows(prompt: str) -> bool:
    """Whether a prompt is a known phrase, perhaps with words around it that change nothing."""
    rest = f" {' '.join(_WORD.findall(prompt.lower()))} "
    left = rest
    for phrase in _PHRASES:
        left = left.replace(f" {phrase} ", "  ")
    return left != rest and set(left.split()) <= set(FILLERS)
