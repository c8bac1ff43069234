"""What can be wrong between `lines` and the `inputs` that they read."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from stream_inspect.config.base import ConfigFinding
from stream_inspect.config.inputs import InputConfig
from stream_inspect.config.inputs.base import Named
from stream_inspect.config.inputs.modbus import ModbusInputConfig
from stream_inspect.config.models import Config, LineConfig
from stream_inspect.config.problems import did_you_mean
from stream_inspect.config.sections.lines import EncoderOdometer, TriggerParts

SLOWEST_HZ = 5.0
"""A belt is lost sight of when its encoder is read more seldom: it is silent after 1 s, and a read may fail."""


def plant_line_findings(config: Config) -> Iterator[ConfigFinding]:
    """The findings, each at the key that names the input, or what is missing in it."""
    lines = {config.line_of(camera.name) for camera in config.cameras}
    for index, one in enumerate(config.inputs):
        if (name := one.line or config.line) not in lines:
            message = f"no camera watches the line {name}; the cameras watch {', '.join(sorted(lines))}."
            yield ConfigFinding(("inputs", index, "line"), message + did_you_mean(name, sorted(lines)))
    for index, line in enumerate(config.lines):
        wholes = {"odometer": _odometer(config, line), "parts": _parts(config, line), "lot": _lot(config, line)}
        for part, findings in wholes.items():
            for finding in findings:
                yield ConfigFinding(("lines", index, part, *finding.path), finding.message)


def _odometer(config: Config, line: LineConfig) -> Iterator[ConfigFinding]:
    odometer = line.odometer
    if not isinstance(odometer, EncoderOdometer):
        return
    source = yield from _source(config, line, odometer.input)
    if source is None:
        return
    if source.encoder is None:
        yield ConfigFinding(("input",), f"{source.name} reads no encoder: give inputs.{source.name}.encoder")
    elif not isinstance(source, ModbusInputConfig):
        yield ConfigFinding(
            ("input",), f"{source.kind} hands over changes only: a belt that stands looks like one that is not read"
        )
    elif source.rate_hz < SLOWEST_HZ:
        yield ConfigFinding(("input",), f"{source.name} is read at {source.rate_hz:g} Hz, needed are {SLOWEST_HZ:g}")
    else:
        fastest_mm_s = max(camera.belt.fastest_mm_s for camera in config.cameras_of(line.name) if camera.belt)
        wraps_s = 2 ** (source.encoder.bits - 1) * odometer.mm_per_count / fastest_mm_s
        if wraps_s < 1.0:
            yield ConfigFinding(
                ("mm_per_count",),
                f"a counter of {source.encoder.bits} bits may turn over within {wraps_s:.2g} s at "
                f"{fastest_mm_s:g} mm/s, and has to last 1 s: use a wider one, or coarser counts",
            )


def _parts(config: Config, line: LineConfig) -> Iterator[ConfigFinding]:
    parts = line.parts
    if not isinstance(parts, TriggerParts):
        return
    source = yield from _source(config, line, parts.input)
    if source is None:
        return
    if not source.photo_eyes:
        yield ConfigFinding(("input",), f"{source.name} reads no photo-eye: give inputs.{source.name}.photo_eyes")
    elif parts.photo_eye is None and len(source.photo_eyes) > 1:
        yield ConfigFinding((), f"photo_eye is needed: {source.name} has {_listed(source.photo_eyes)}")
    if parts.photo_eye is not None and source.photo_eyes:
        yield from _known("photo_eye", parts.photo_eye, source, source.photo_eyes)
    if parts.serial is not None:
        yield from _known("serial", parts.serial, source, source.texts)


def _lot(config: Config, line: LineConfig) -> Iterator[ConfigFinding]:
    if line.lot is None:
        return
    source = yield from _source(config, line, line.lot.input)
    if source is not None:
        yield from _known("text", line.lot.text, source, source.texts)


def _source(config: Config, line: LineConfig, name: str) -> Generator[ConfigFinding, None, InputConfig | None]:
    """The input of this name, which is one of this line; None after a finding."""
    source = config.input_named(name)
    if source is None:
        names = [one.name for one in config.inputs]
        has = f"no input has this name; there are {', '.join(names)}." if names else "no inputs are configured"
        yield ConfigFinding(("input",), has + did_you_mean(name, names))
    elif (reads := source.line or config.line) != line.name:
        yield ConfigFinding(("input",), f"{name} is an input of the line {reads}: set inputs.{name}.line")
        return None
    return source


def _known(key: str, name: str, source: InputConfig, named: Sequence[Named]) -> Iterator[ConfigFinding]:
    if name not in {one.name for one in named}:
        has = f"; it has {_listed(named)}." + did_you_mean(name, [one.name for one in named]) if named else ""
        yield ConfigFinding((key,), f"{source.name} reads no {name}{has}")


def _listed(named: Sequence[Named]) -> str:
    return ", ".join(one.name for one in named)
