"""What announces the parts of a line without a picture, made of its configuration: a photo-eye, a pitch, or both."""

from __future__ import annotations

from collections.abc import Mapping

from stream_inspect.config.inputs import InputConfig
from stream_inspect.config.models import LineConfig
from stream_inspect.config.sections.lines import EyeConfig, PitchParts, TriggerParts
from stream_inspect.track.part_signals import EveryPlace, PartSignal, PhotoEye, Pitch
from stream_inspect.track.photo_eye_input import PhotoEyeInput

_BOUNCE = 0.1
"""Of a part's length: two edges that are nearer are one."""


def announced_by(
    line: LineConfig, inputs: Mapping[str, InputConfig], entry_mm: float, fastest_mm_s: float
) -> tuple[EveryPlace | None, PhotoEyeInput | None]:
    """The places that are parts by themselves, and the photo-eye; None for what the line does not have.

    `entry_mm` is where the line comes into the first picture, and `fastest_mm_s` what its belt runs at most.
    """
    parts, eye = line.parts, line.eye
    places: EveryPlace | None = None
    signal: PartSignal | None = None
    if isinstance(parts, TriggerParts):
        spacing_mm = parts.length_mm
        signal = PhotoEye(parts.at_mm, parts.length_mm, _BOUNCE * parts.length_mm)
    elif isinstance(parts, PitchParts):
        spacing_mm, length_mm = parts.pitch_mm, parts.length_mm or parts.pitch_mm
        pitch = Pitch(spacing_mm, length_mm, None if parts.eye else -(parts.phase_mm or 0.0))
        if parts.eye is not None and parts.eye.sees == "parts":
            signal = PhotoEye(parts.eye.at_mm, length_mm, _BOUNCE * length_mm, pitch)
        else:
            signal = places = EveryPlace(pitch, entry_mm, parts.eye.at_mm if parts.eye else 0.0)
    if signal is None or eye is None:
        return places, None
    return places, _input(eye, inputs, signal, spacing_mm, fastest_mm_s)


def _input(
    eye: EyeConfig, inputs: Mapping[str, InputConfig], signal: PartSignal, spacing_mm: float, fastest_mm_s: float
) -> PhotoEyeInput:
    """`config/plant_lines.py` sees that the input is there and has the photo-eye."""
    named = {one.name: one for one in inputs[eye.input].photo_eyes}
    one = named[eye.photo_eye] if eye.photo_eye is not None else next(iter(named.values()))
    bits = getattr(one, "counter_bits", None)  # Modbus alone states it
    return PhotoEyeInput(eye, one.name, signal, spacing_mm=spacing_mm, counter_bits=bits, fastest_mm_s=fastest_mm_s)
