"""What can be wrong between `lines` and the `inputs` that they read."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from stream_inspect.config.base import ConfigFinding
from stream_inspect.config.inputs import InputConfig
from stream_inspect.config.inputs.base import Named
from stream_inspect.config.models import Config, LineConfig
from stream_inspect.config.problems import did_you_mean
from stream_inspect.config.sections.lines import EncoderOdometer, EyeConfig


def plant_line_findings(config: Config) -> Iterator[ConfigFinding]:
    """The findings, each at the key that names the input, or what is missing in it."""
    lines = {config.line_of(camera.name) for camera in config.cameras}
    for index, one in enumerate(config.inputs):
        if (name := one.line or config.line) not in lines:
            message = f"no camera watches the line {name}; the cameras watch {', '.join(sorted(lines))}."
            yield ConfigFinding(("inputs", index, "line"), message + did_you_mean(name, sorted(lines)))
    for index, line in enumerate(config.lines):
        eye = ("parts", "eye") if line.parts.kind == "pitch" else ("parts",)
        wholes = {
            ("odometer",): _odometer(config, line),
            eye: _eye(config, line, line.eye),
            ("lot",): _lot(config, line),
        }
        for path, findings in wholes.items():
            for finding in findings:
                yield ConfigFinding(("lines", index, *path, *finding.path), finding.message)


def _odometer(config: Config, line: LineConfig) -> Iterator[ConfigFinding]:
    odometer = line.odometer
    if not isinstance(odometer, EncoderOdometer):
        return
    source = yield from _source(config, line, odometer.input)
    if source is None:
        return
    if source.encoder is None:
        yield ConfigFinding(("input",), f"{source.name} reads no encoder: give inputs.{source.name}.encoder")
    elif too_seldom := source.encoder_too_seldom():
        yield ConfigFinding(("input",), too_seldom)
    else:
        fastest_mm_s = max(camera.belt.fastest_mm_s for camera in config.cameras_of(line.name) if camera.belt)
        wraps_s = 2 ** (source.encoder.bits - 1) * odometer.mm_per_count / fastest_mm_s
        if wraps_s < 1.0:
            yield ConfigFinding(
                ("mm_per_count",),
                f"a counter of {source.encoder.bits} bits may turn over within {wraps_s:.2g} s at "
                f"{fastest_mm_s:g} mm/s, and has to last 1 s: use a wider one, or coarser counts",
            )


def _eye(config: Config, line: LineConfig, eye: EyeConfig | None) -> Iterator[ConfigFinding]:
    if eye is None:
        return
    source = yield from _source(config, line, eye.input)
    if source is None:
        return
    if not source.photo_eyes:
        yield ConfigFinding(("input",), f"{source.name} reads no photo-eye: give inputs.{source.name}.photo_eyes")
    elif eye.photo_eye is None and len(source.photo_eyes) > 1:
        yield ConfigFinding((), f"photo_eye is needed: {source.name} has {_listed(source.photo_eyes)}")
    if eye.photo_eye is not None and source.photo_eyes:
        yield from _known("photo_eye", eye.photo_eye, source, source.photo_eyes)
    if eye.serial is not None:
        yield from _known("serial", eye.serial, source, source.texts)


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
