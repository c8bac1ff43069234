"""A line with an encoder and a photo-eye on one PLC, in messages: what its inputs and its camera say."""

from __future__ import annotations

from typing import Any

from stream_inspect.config.models import Config
from stream_inspect.messages import (
    BeltReading,
    BeltSight,
    Clock,
    FrameHeader,
    FrameId,
    Inspection,
    PlantReadings,
    PlantValue,
    Trigger,
)

S = 1_000_000_000
SPEED_MM_S = 600.0
MM_PER_COUNT = 0.5
EYE_MM, PART_MM = -100.0, 120.0
OF = {"line": "line1", "input": "plc"}


def config(
    *,
    eye: dict[str, Any] | None = None,
    plc: dict[str, Any] | None = None,
    speed_mm_s: float = SPEED_MM_S,
    **line: Any,
) -> Config:
    """A belt at 600 mm/s under a picture of 1280 mm, with a photo-eye 100 mm before it."""
    modbus = {
        "kind": "modbus",
        "name": "plc",
        "host": "127.0.0.1",
        "rate_hz": 50,
        "encoder": {"address": 100},
        "photo_eyes": [{"name": "infeed", "address": 7, **(eye or {})}],
        "texts": [{"name": "serial", "address": 110, "registers": 8}],
    }
    return Config.model_validate(
        {
            "version": 1,
            "cameras": [
                {
                    "name": "top",
                    "source": {"kind": "synthetic"},
                    "belt": {"direction": "left_to_right", "speed_mm_s": speed_mm_s, "mm_per_px": 1.0},
                }
            ],
            "defects": [{"name": "hole", "prompts": ["hole"]}],
            "inputs": [modbus | (plc or {})],
            "lines": [
                {
                    "name": "line1",
                    "odometer": {"kind": "encoder", "input": "plc", "mm_per_count": MM_PER_COUNT},
                    "parts": {
                        "kind": "trigger",
                        "input": "plc",
                        "at_mm": EYE_MM,
                        "length_mm": PART_MM,
                        "serial": "serial",
                    },
                    **line,
                }
            ],
        }
    )


def header(seq: int, mono_ns: int) -> FrameHeader:
    """A due frame."""
    return FrameHeader(
        id=FrameId(camera="top", session=1, seq=seq, pts=seq, time_base_num=1, time_base_den=8),
        width_px=1280,
        height_px=720,
        color_matrix="bt601",
        full_range=False,
        capture_mono_ns=mono_ns,
        capture_utc_ns=1_700_000_000 * S + mono_ns,
        clock=Clock.ARRIVAL,
        ledger_index=seq,
        due=seq,
    )


def sight(seq: int, mono_ns: int, way_mm: float | None = None) -> BeltSight:
    """What the frame shows of the belt: how far it has run if that is given, and no parts."""
    return BeltSight(
        frame=header(seq, mono_ns),
        way_mm=way_mm,
        way_drift_mm=0.1 * seq,
        parts=[],
        learning=False,
    )


def judged(seq: int, mono_ns: int) -> Inspection:
    """The frame was judged, and nothing was found."""
    return Inspection(
        frame=header(seq, mono_ns), detections=[], model_hash="m", prompts_hash="p", judged_mono_ns=mono_ns
    )


def count(mm: float, mono_ns: int) -> PlantReadings:
    """The encoder's count when the belt has run so far."""
    of_belt = BeltReading(**OF, count=round(mm / MM_PER_COUNT), bits=32, mono_ns=mono_ns, round_trip_ns=0)
    return PlantReadings(readings=[of_belt])


def edge(value: bool | int, mono_ns: int, after_ns: int | None, serial: str = "") -> PlantReadings:
    """The photo-eye's reading, with the text that came before it."""
    eye = Trigger(**OF, name="infeed", value=value, mono_ns=mono_ns, after_ns=after_ns)
    text = [PlantValue(**OF, name="serial", value=serial, mono_ns=mono_ns)] if serial else []
    return PlantReadings(readings=[*text, eye])
