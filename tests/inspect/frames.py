"""Headers of frames for tests."""

from __future__ import annotations

from stream_inspect.messages import Clock, DueFrame, FrameHeader, FrameId, RingSlot


def header(
    camera: str,
    *,
    seq: int = 0,
    capture_mono_ns: int = 0,
    width_px: int = 160,
    height_px: int = 120,
    slot: RingSlot | None = None,
    ledger_index: int = 0,
) -> FrameHeader:
    return FrameHeader(
        id=FrameId(camera=camera, session=1, seq=seq, pts=seq, time_base_num=1, time_base_den=25),
        width_px=width_px,
        height_px=height_px,
        color_matrix="bt601",
        full_range=False,
        capture_mono_ns=capture_mono_ns,
        capture_utc_ns=0,
        clock=Clock.ARRIVAL,
        ledger_index=ledger_index,
        slot=slot,
    )


def due_frame(camera: str, *, seq: int = 0, capture_mono_ns: int = 0, owner: int = 7, ticket: int = 1) -> DueFrame:
    return DueFrame(header=header(camera, seq=seq, capture_mono_ns=capture_mono_ns), owner=owner, ticket=ticket)
