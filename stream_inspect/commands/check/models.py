"""Checks that the models are on this computer, complete, and fit the configuration; loads none of them."""

from __future__ import annotations

import os

from stream_inspect import registry
from stream_inspect.config.models import Config, DetectorConfig, SegmenterConfig
from stream_inspect.findings import Finding, fail, ok, warn
from stream_inspect.inspect.detect.detector import ModelError
from stream_inspect.inspect.models import ModelKind, resolve
from stream_inspect.inspect.prompt_length import refuse_long_prompts
from stream_inspect.inspect.prompts import PromptsError
from stream_inspect.tiny import scope


def check_model(kind: ModelKind, config: DetectorConfig | SegmenterConfig) -> list[Finding]:
    """The files of one model."""
    if config.kind not in registry.BUILT_IN[kind]:
        return _plugin(kind, config.kind)
    try:
        found = resolve(kind, config.model, config.revision)
    except ModelError as error:
        return [fail(kind, str(error))]
    family = found.config.get("model_type")
    side_px = found.config.get("vision_config", {}).get("image_size")
    size = f", input {side_px}x{side_px} px" if side_px else ""
    return [ok(kind, f"{config.model}: {family}{size}, {found.size_bytes / 1e6:.0f} MB, {found.model_hash[:12]}")]


def check_scope(config: Config) -> list[Finding]:
    """Whether the embedded models know what they are used on, and the prompts: they were trained on few words."""
    found = []
    if text := scope.cameras_warning(config):
        found.append(warn("models", text, scope.ADVICE))
    if config.inspect.detector.model == scope.TINY:
        if scope.unknown_prompts(config.defects):
            found.append(warn("detector", scope.words(config.defects), "use these words, or a full-size model"))
        elif text:
            found.append(ok("detector", scope.words(config.defects)))
    return found


def check_prompts(config: Config) -> list[Finding]:
    """Whether the detector reads each prompt whole."""
    try:
        refuse_long_prompts(config.inspect.detector, config.defects, config.part_prompts)
    except PromptsError as error:
        return [fail("prompts", str(error))]
    except ModelError:
        return []  # `check_model` reports it
    return []


def check_devices(config: Config) -> list[Finding]:
    """Whether the workers' GPUs exist. Imports torch where a worker may use one, which takes seconds."""
    found = []
    for index, worker in enumerate(config.inspect.workers):
        item, device = f"worker {index}", worker.device
        if device != "cpu":
            try:
                from stream_inspect.inspect.device import choose_device

                device = choose_device(worker.device)
            except ModelError as error:
                found.append(fail(item, str(error)))
                continue
        found.append(ok(item, f"runs on {device}, {worker.threads} CPU thread{'s'[: worker.threads != 1]}"))
        if device == "cpu" and config.inspect.detector.precision != "float32":
            found.append(
                warn(item, f"{config.inspect.detector.precision} is not faster on a CPU", "set precision: float32")
            )
    threads, cores = sum(worker.threads for worker in config.inspect.workers), len(os.sched_getaffinity(0))
    if threads > cores:
        found.append(
            warn("workers", f"configured for {threads} CPU threads, but there are {cores} cores", "lower threads")
        )
    return found


def check_tracker(config: Config) -> list[Finding]:
    """Whether a tracker of another package can be loaded."""
    kind = config.track.kind
    return [] if kind == "auto" or kind in registry.BUILT_IN["tracker"] else _plugin("tracker", kind)


def _plugin(kind: registry.Kind, name: str) -> list[Finding]:
    try:
        found = registry.load(kind, name)
    except (registry.UnknownPluginError, ImportError, AttributeError) as error:
        return [fail(kind, f"cannot load plug-in {name}: {error}")]
    return [ok(kind, f"plug-in {name}: {found.__module__}.{found.__qualname__}")]
