"""What can be wrong between values that are each right, such as a ring shorter than the clips it feeds.

What concerns the values of one mapping alone, its model states itself (`Model.crosscheck`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator

from stream_inspect import registry
from stream_inspect.config.base import ConfigFinding, Model
from stream_inspect.config.fits import belt_misfits, part_misfits, region_misfits
from stream_inspect.config.models import Config, PluginSource
from stream_inspect.config.plant_lines import plant_line_findings
from stream_inspect.config.plugin import unknown_plugin
from stream_inspect.config.problems import did_you_mean
from stream_inspect.config.tree import Path

RING_MARGIN_S = 1.0
"""The ring is longer than the pre-roll by this: a clip is begun when its event is confirmed, after judging, and its
first frame must still be in the ring then."""

Check = Callable[[Config], Iterator[ConfigFinding]]


def _areas(config: Config) -> Iterator[ConfigFinding]:
    without = [camera.name for camera in config.cameras if camera.scale_mm_per_px is None]
    for index, defect in enumerate(config.defects):
        if without and defect.min_area_mm2 is not None and defect.min_area_px is None:
            yield ConfigFinding(
                ("defects", index, "min_area_mm2"),
                f"needs the scale of every camera, and {', '.join(without)} has none: "
                "set its mm_per_px (or belt.mm_per_px), or add min_area_px for it",
            )


def _kinds(config: Config) -> Iterator[ConfigFinding]:
    wanted: list[tuple[registry.Kind, str, Path]] = [
        ("detector", config.inspect.detector.kind, ("inspect", "detector", "kind"))
    ]
    if config.inspect.segmenter:
        wanted.append(("segmenter", config.inspect.segmenter.kind, ("inspect", "segmenter", "kind")))
    if config.track.kind != "auto":
        wanted.append(("tracker", config.track.kind, ("track", "kind")))
    for index, camera in enumerate(config.cameras):
        if isinstance(camera.source, PluginSource):
            wanted.append(("camera", camera.source.plugin, ("cameras", index, "source", "plugin")))
    for kind, name, path in wanted:
        if message := unknown_plugin(kind, name, ("auto",) if kind == "tracker" else ()):
            yield ConfigFinding(path, message)


def _belt_tracker(config: Config) -> Iterator[ConfigFinding]:
    without = [camera.name for camera in config.cameras if camera.belt is None]
    if config.track.kind == "belt" and without:
        message = f"belt needs a belt on every camera, and {', '.join(without)} has none: use auto"
        yield ConfigFinding(("track", "kind"), message)


def _lines(config: Config) -> Iterator[ConfigFinding]:
    watched = {config.line_of(camera.name) for camera in config.cameras}
    for index, line in enumerate(config.lines):
        if line.name not in watched:
            names = sorted(watched)
            message = f"no camera watches this line; the cameras watch {', '.join(names)}."
            yield ConfigFinding(("lines", index, "name"), message + did_you_mean(line.name, names))
        if line.name in {other.name for other in config.lines[:index]}:
            yield ConfigFinding(("lines", index, "name"), "is listed twice")
    for index, alert in enumerate(config.alerts):
        if not config.lines and alert.verdicts not in ([], type(alert).model_fields["verdicts"].default):
            message = "has no effect: no line's parts are accounted for, see `lines`"
            yield ConfigFinding(("alerts", index, "verdicts"), message)
    for index, camera in enumerate(config.cameras):
        if camera.belt is None and config.parts_of(line_name := config.line_of(camera.name)):
            message = f"is needed: the parts of {line_name} are accounted for, and this camera watches it"
            yield ConfigFinding(("cameras", index, "belt"), message)


def _regions(config: Config) -> Iterator[ConfigFinding]:
    """Only where the configuration states the size of the picture; the others are known with their first picture."""
    for index, camera in enumerate(config.cameras):
        if (size_px := camera.stated_size_px) is not None:
            for misfit in region_misfits(camera, size_px):
                yield ConfigFinding(("cameras", index, *misfit.key), str(misfit))


def _confirmation(config: Config) -> Iterator[ConfigFinding]:
    """As `_regions`."""
    for index, camera in enumerate(config.cameras):
        if (size_px := camera.stated_size_px) is not None:
            line = config.parts_of(config.line_of(camera.name))
            found = belt_misfits(camera, config.decide, size_px, camera.stated_fps)
            for misfit in [*found, *part_misfits(camera, line, size_px, camera.stated_fps)]:
                if misfit.fatal:
                    yield ConfigFinding(("cameras", index, *misfit.key), str(misfit))


def _stated(value: object, path: Path = ()) -> Iterator[ConfigFinding]:
    """What each model itself finds wrong between its values."""
    if isinstance(value, Model):
        for finding in value.crosscheck():
            yield ConfigFinding((*path, *finding.path), finding.message)
        for key in type(value).model_fields:
            yield from _stated(getattr(value, key, None), (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _stated(item, (*path, index))


def _ring(config: Config) -> Iterator[ConfigFinding]:
    needed_s = config.recorder.pre_roll_s + RING_MARGIN_S
    if not config.recorder.enabled or config.transport.ring_s >= needed_s:
        return
    if "ring_s" in config.transport.model_fields_set:
        yield ConfigFinding(
            ("transport", "ring_s"),
            f"{config.transport.ring_s:g} s are too short for clips: recorder.pre_roll_s and a margin for judging "
            f"need at least {needed_s:g} s",
        )
    else:
        yield ConfigFinding(
            ("recorder", "pre_roll_s"),
            f"needs a longer ring than transport.ring_s, {config.transport.ring_s:g} s: "
            f"set that to at least {needed_s:g}, which leaves a margin for judging",
        )


def _web(config: Config) -> Iterator[ConfigFinding]:
    if config.web.enabled and config.web.token is None and not is_loopback(config.web.host):
        yield ConfigFinding(
            ("web", "host"),
            f"{config.web.host} can be reached from other computers: set web.token ({{env: NAME}} or {{file: PATH}}), "
            "or listen on 127.0.0.1",
        )
    if config.web.enabled and config.metrics.enabled and config.web.port == config.metrics.port != 0:
        yield ConfigFinding(("metrics", "port"), f"{config.metrics.port} is web.port too: choose another")


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches an address to listen on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


CHECKS: tuple[tuple[Check, tuple[Path, ...]], ...] = (
    (_areas, (("cameras",),)),
    (_kinds, ()),
    (_belt_tracker, (("cameras",), ("track",))),
    (_lines, (("cameras",), ("line",))),
    (plant_line_findings, (("cameras",), ("line",), ("inputs",))),
    (_regions, ()),
    (_confirmation, (("cameras",), ("decide",))),
    (_stated, ()),
    (_ring, (("recorder", "enabled"), ("recorder", "pre_roll_s"), ("transport", "ring_s"))),
    (_web, (("web", "enabled"), ("web", "host"), ("web", "token"))),
)
"""Each check with what must be free of other problems for its findings to be worth anything."""


def crosscheck(config: Config, wrong: list[Path]) -> Iterator[ConfigFinding]:
    """The findings, leaving out those that may only follow from the values at the paths `wrong`."""
    for check, depends_on in CHECKS:
        if any(_overlap(path, on) for path in wrong for on in depends_on):
            continue
        yield from check(config)


def _overlap(one: Path, other: Path) -> bool:
    """Whether one path leads to or through the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
