"""Events and configurations for the tests of store, outbox and alerts."""

from __future__ import annotations

import time
from pathlib import Path

from stream_inspect.config.models import Config
from stream_inspect.decide.part_events import part_event
from stream_inspect.messages import (
    Clock,
    Event,
    EventState,
    FrameRef,
    Interval,
    PartDefect,
    PartVerdict,
    Reason,
    Verdict,
)


def an_event(
    n: int,
    *,
    state: EventState = EventState.CONFIRMED,
    camera: str = "cam1",
    line: str = "line1",
    name: str = "scratch",
    session: int = 1,
    capture_mono_ns: int | None = None,
) -> Event:
    """The n-th event of this camera and defect, captured now."""
    utc_ns = time.time_ns()
    event_id = f"{camera}-{session}-{name}-{n}"
    return Event(
        id=event_id,
        key=f"{event_id}:{state}",
        kind="defect",
        state=state,
        line=line,
        camera=camera,
        name=name,
        severity="major",
        first_seen_utc_ns=utc_ns,
        last_seen_utc_ns=utc_ns,
        score=0.75,
        box_xyxy_px=(10.0, 20.0, 30.0, 45.5),
        outline_px=[[(10.0, 20.0), (30.0, 20.0), (30.0, 45.5)]],
        track=n,
        views=2,
        frame=FrameRef(
            session=session,
            seq=n,
            pts=n * 40,
            pts_s=n * 0.04,
            width_px=640,
            height_px=480,
            capture_mono_ns=time.monotonic_ns() if capture_mono_ns is None else capture_mono_ns,
            capture_utc_ns=utc_ns,
            clock=Clock.ARRIVAL,
        ),
        picture=f"pictures/{event_id}.jpg",
        clip=f"clips/{event_id}.mp4",
        reason="Kratzer, 3 µm",
    )


_REASONS = {
    Verdict.PASS: (Reason.ENOUGH_VIEWS, "3 usable views, 3 needed"),
    Verdict.FAIL: (Reason.DEFECT, "hole 0.80"),
    Verdict.UNDECIDED: (Reason.NOT_JUDGED, "0 usable views, 3 needed; 3 not judged"),
}


def a_part(n: int, verdict: Verdict = Verdict.FAIL, *, age_s: float = 0.0, line: str = "line1", run: int = 1) -> Event:
    """The event of the n-th part of this run of the line, decided so long ago."""
    reason, why = _REASONS[verdict]
    found = PartDefect(camera="cam1", track=n, defect="hole", score=0.8, confirmed=True)
    decided_utc_ns = time.time_ns() - round(age_s * 1e9)
    return part_event(
        PartVerdict(
            line=line,
            run=run,
            part=n,
            lane=n % 2,
            serial=f"P-{n:04}",
            along=Interval(100.0, 200.0),
            verdict=verdict,
            reason=reason,
            why=why,
            views=3 if verdict is not Verdict.UNDECIDED else 0,
            defects=[found] if verdict is Verdict.FAIL else [],
            is_final=False,
            decided_mono_ns=time.monotonic_ns() - round(age_s * 1e9),
            decided_utc_ns=decided_utc_ns,
            trigger_utc_ns=decided_utc_ns - 100_000_000,
            gate_utc_ns=decided_utc_ns + 900_000_000,
        )
    )


def a_config(state_dir: Path, *alerts: dict[str, object]) -> Config:
    """A whole configuration with these outputs."""
    camera = {"name": "cam1", "source": {"kind": "synthetic"}}
    defect = {"name": "scratch", "prompts": ["a scratch"]}
    return Config.model_validate(
        {"version": 1, "state_dir": state_dir, "cameras": [camera], "defects": [defect], "alerts": alerts}
    )
