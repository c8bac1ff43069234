"""Tracks as the track stage hands them over, in a few words."""

from __future__ import annotations

from stream_inspect.config.models import Config
from stream_inspect.messages import (
    Clock,
    Condition,
    ConditionKind,
    Detection,
    Event,
    Extent,
    FrameHeader,
    FrameId,
    Tracked,
    TrackUpdate,
)

S = 1_000_000_000
START_UTC_NS = 1_700_000_000 * S


def config(**changes) -> Config:
    """Two cameras, two defects, 2 of 4."""
    return Config.model_validate(
        {
            "version": 1,
            "line": "press",
            "cameras": [
                {"name": "top", "source": {"kind": "synthetic"}},
                {"name": "side", "line": "oven", "source": {"kind": "synthetic"}},
            ],
            "defects": [{"name": "scratch", "prompts": ["a scratch"]}, {"name": "crack", "prompts": ["a crack"]}],
            **changes,
        }
    )


def header(seq: int, camera: str = "top", session: int = 3) -> FrameHeader:
    """Frames at 8 a second."""
    return FrameHeader(
        id=FrameId(camera=camera, session=session, seq=seq, pts=seq, time_base_num=1, time_base_den=8),
        width_px=1280,
        height_px=720,
        color_matrix="bt601",
        full_range=False,
        capture_mono_ns=seq * S // 8,
        capture_utc_ns=START_UTC_NS + seq * S // 8,
        clock=Clock.ARRIVAL,
        ledger_index=seq,
    )


def update(
    track: int = 1, seq: int = 0, *, seen: bool = True, left: bool = False, score: float = 0.3, x: float = 100.0, **more
) -> TrackUpdate:
    """A track in the frame `seq`, 40 px wide."""
    box = (x + seq, 100.0, x + seq + 40, 140.0)
    found = Detection(
        defect=more.get("defect", "scratch"),
        score=score,
        box_xyxy_px=box,
        severity="critical",
        outline_px=[[(x, 100.0), (x + 40, 140.0), (x, 140.0)]],
        extent=Extent(area_px=800, length_px=40, width_px=20),
    )
    return TrackUpdate(
        track=track,
        defect=more.get("defect", "scratch"),
        seen=seen,
        left=left,
        score=score,
        box_xyxy_px=box,
        velocity_px_s=(8.0, 0.0),
        first_pts_s=0.0,
        last_pts_s=seq / 8,
        detection=found if seen else None,
    )


def tracked(seq: int, *tracks: TrackUpdate, ended: list[TrackUpdate] | None = None, **where) -> Tracked:
    return Tracked(
        frame=header(seq, **where), tracks=list(tracks), ended=ended or [], model_hash="models", prompts_hash="prompts"
    )


def condition(
    active: bool, at_s: float = 0.0, kind: ConditionKind = ConditionKind.BLACK, camera="top", source="capture.top"
) -> Condition:
    return Condition(
        source=source,
        camera=camera,
        kind=kind,
        active=active,
        detail="the picture is black" if active else "",
        mono_ns=round(at_s * S),
        utc_ns=START_UTC_NS + round(at_s * S),
        frame=header(7, camera) if camera else None,
    )


def events(outputs) -> list[Event]:
    return [output.message for output in outputs if output.topic == "events"]
