"""Messages that the transport's tests send."""

from __future__ import annotations

from stream_inspect.messages import (
    Clock,
    Condition,
    ConditionKind,
    Credit,
    DueFrame,
    FrameHeader,
    FrameId,
    Inspection,
    RingSlot,
)


def header(
    seq: int = 0, *, slot: RingSlot | None = None, width_px: int = 64, height_px: int = 48, ledger_index: int = 0
) -> FrameHeader:
    return FrameHeader(
        id=FrameId(camera="cam", session=1, seq=seq, pts=seq, time_base_num=1, time_base_den=25),
        width_px=width_px,
        height_px=height_px,
        color_matrix="bt601",
        full_range=False,
        capture_mono_ns=seq,
        capture_utc_ns=seq,
        clock=Clock.ARRIVAL,
        ledger_index=ledger_index,
        slot=slot,
    )


def due(seq: int, owner: int = 1, ledger_index: int = 0) -> DueFrame:
    return DueFrame(header=header(seq, ledger_index=ledger_index), owner=owner, ticket=seq)


def credit(ticket: int) -> Credit:
    return Credit(worker="inspect.0", owner=1, ticket=ticket)


def condition(number: int) -> Condition:
    return Condition(camera="cam", kind=ConditionKind.BLACK, active=True, detail="dark", mono_ns=number, utc_ns=number)


def inspection(seq: int) -> Inspection:
    return Inspection(frame=header(seq), detections=[], model_hash="", prompts_hash="", judged_mono_ns=seq)
