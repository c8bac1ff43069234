"""What capture reports: a frame's header and a camera's conditions, made here for the line and for a replay alike.

A camera class may hand over NumPy's scalars, which no message can hold: what is made here holds Python's.
"""

from __future__ import annotations

from dataclasses import replace

from stream_inspect.belt.look import BeltLooked
from stream_inspect.belt.position import Position
from stream_inspect.capture.camera import CapturedFrame
from stream_inspect.capture.conditions import Change
from stream_inspect.messages import BeltSight, Clock, Condition, FrameHeader, FrameId, RingSlot


def frame_header(
    frame: CapturedFrame, *, camera: str, session: int, seq: int, ledger_index: int, slot: RingSlot | None = None
) -> FrameHeader:
    """The header of a captured frame; `slot` is where its picture lies, if in a ring."""
    return FrameHeader(
        id=FrameId(
            camera=camera,
            session=int(session),
            seq=int(seq),
            pts=int(frame.pts),
            time_base_num=int(frame.time_base.numerator),
            time_base_den=int(frame.time_base.denominator),
        ),
        width_px=int(frame.picture.width_px),
        height_px=int(frame.picture.height_px),
        color_matrix=frame.picture.matrix,
        full_range=bool(frame.picture.full_range),
        capture_mono_ns=int(frame.capture_mono_ns),
        capture_utc_ns=int(frame.capture_utc_ns),
        clock=frame.clock,
        ledger_index=int(ledger_index),
        slot=slot,
        file=frame.file,
    )


def belt_sight(frame: FrameHeader, look: BeltLooked, way: Position | None) -> BeltSight:
    """What this frame shows of the belt; `way` is how far it has run in the session, None where that is not known."""
    return BeltSight(
        frame=frame,
        way_mm=None if way is None else float(way.mm),
        way_noise_mm=0.0 if way is None else float(way.noise_mm),
        way_drift_mm=0.0 if way is None else float(way.drift_mm),
        parts=list(look.parts),
        learning=bool(look.learning),
    )


def condition(change: Change, *, camera: str, frame: FrameHeader | None, utc_offset_ns: int) -> Condition:
    """A condition as it stands after a change; `frame` is the camera's latest.

    `utc_offset_ns` is UTC minus the clock that the change's time is in.
    """
    since_ns = round(float(change.since_s) * 1e9)
    return Condition(
        camera=camera,
        kind=change.kind,
        active=bool(change.active),
        source=f"capture.{camera}",
        detail=change.detail,
        mono_ns=since_ns,
        utc_ns=since_ns + int(utc_offset_ns),
        frame=frame,
    )


def at_media_time(frame: CapturedFrame) -> CapturedFrame:
    """The frame as if it had been captured when its pts says, on a clock that is the recording's alone."""
    time_base = frame.time_base
    media_ns = int(frame.pts) * int(time_base.numerator) * 1_000_000_000 // int(time_base.denominator)
    return replace(frame, capture_mono_ns=media_ns, capture_utc_ns=media_ns, clock=Clock.MEDIA)
