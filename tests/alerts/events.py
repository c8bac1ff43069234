"""Events and configurations for the tests of store, outbox and alerts."""

from __future__ import annotations

import time
from pathlib import Path

from stream_inspect.config.models import Config
from stream_inspect.messages import Clock, Event, EventState, FrameRef


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


def a_config(state_dir: Path, *alerts: dict[str, object]) -> Config:
    """A whole configuration with these outputs."""
    camera = {"name": "cam1", "source": {"kind": "synthetic"}}
    defect = {"name": "scratch", "prompts": ["a scratch"]}
    return Config.model_validate(
        {"version": 1, "state_dir": state_dir, "cameras": [camera], "defects": [defect], "alerts": alerts}
    )
