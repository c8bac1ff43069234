"""The real web stage, served on a free port of this computer, and what feeds it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stream_inspect.config.models import Config
from stream_inspect.messages import (
    CONDITION_REPEAT_S,
    ActiveCondition,
    ConditionKind,
    Event,
    EventState,
    Extent,
    LineState,
    LineStatus,
    LivePicture,
)
from stream_inspect.store.events import EventStore
from stream_inspect.web.stage import WebStage


def config(state_dir: Path, cameras: tuple[str, ...] = ("cam",), **sections: object) -> Config:
    """A configuration with these cameras and the page on any free port. `camera` has more keys of each of them."""
    camera = dict(sections.pop("camera", {}))  # type: ignore[call-overload]
    web = {"port": 0, **dict(sections.pop("web", {}))}  # type: ignore[call-overload]
    return Config.model_validate(
        {
            "version": 1,
            "line": "press-7",
            "state_dir": state_dir,
            "cameras": [{"name": name, "source": {"kind": "synthetic"}, **camera} for name in cameras],
            "defects": [{"name": "crack", "prompts": ["a crack"]}],
            "metrics": {"enabled": False},
            "web": web,
            **sections,
        }
    )


class Served:
    """The stage, open, with an event log of its own."""

    def __init__(self, state_dir: Path, cameras: tuple[str, ...] = ("cam",), **sections: object) -> None:
        self.state_dir = state_dir
        (state_dir / "clips").mkdir(parents=True, exist_ok=True)
        (state_dir / "pictures").mkdir(exist_ok=True)
        path = state_dir / "events.sqlite"
        self.store = EventStore(path)
        self.stage = WebStage(config(state_dir, cameras, **sections), store_path=path, state_dir=state_dir)
        self.stage.open()
        self._status: tuple[LineState, list[ActiveCondition], dict[str, Any]] = ("starting", [], {})
        self._silent = threading.Event()
        self._repeating = threading.Thread(target=self._repeat, daemon=True)
        self.url = self.stage.url.rstrip("/")
        self.port = int(self.url.rpartition(":")[2])

    def show(
        self,
        number: int,
        camera: str = "cam",
        size_bytes: int = 0,
        fresh_for_s: float = 1.5,
        size_px: tuple[int, int] = (160, 90),
    ) -> None:
        """A live picture arrives: gray, brighter with each number."""
        gray = np.full((size_px[1], size_px[0], 3), 20 + number * 13 % 200, np.uint8)
        jpeg = cv2.imencode(".jpg", gray)[1].tobytes()
        now_ns = time.monotonic_ns()
        picture = LivePicture(
            camera=camera,
            frame_seq=number,
            capture_mono_ns=now_ns,
            capture_utc_ns=time.time_ns(),
            fresh_for_s=fresh_for_s,
            jpeg=jpeg.ljust(size_bytes, b"\0"),
        )
        list(self.stage.process([picture]))

    def report(self, state: LineState = "ok", *conditions: ActiveCondition, **more: Any) -> None:
        """The supervisor reports how the line stands, and repeats it from then on."""
        self._status = (state, list(conditions), more)
        self._send_status()
        if not self._repeating.is_alive():
            self._repeating.start()

    def fall_silent(self) -> None:
        """The supervisor reports nothing more."""
        self._silent.set()

    def _repeat(self) -> None:
        while not self._silent.wait(CONDITION_REPEAT_S):
            self._send_status()

    def _send_status(self) -> None:
        state, conditions, more = self._status
        now_ns = time.time_ns()
        message = LineStatus(state=state, conditions=conditions, mono_ns=time.monotonic_ns(), utc_ns=now_ns, **more)
        list(self.stage.process([message]))

    def happen(self, event: Event) -> None:
        """An event is decided: first in the log, then told."""
        self.store.append([event])
        list(self.stage.process([event]))

    def close(self) -> None:
        self.fall_silent()
        self.stage.close()
        self.store.close()


def defect(n: int = 1, camera: str = "cam", severity: str = "critical") -> Event:
    event_id = f"{camera}-1-crack-{n}"
    return Event(
        id=event_id,
        key=f"{event_id}:confirmed",
        kind="defect",
        state=EventState.CONFIRMED,
        line="press-7",
        camera=camera,
        name="crack",
        severity=severity,
        first_seen_utc_ns=time.time_ns(),
        last_seen_utc_ns=time.time_ns(),
        score=0.71,
        extent=Extent(area_px=10, length_px=5, width_px=2, area_mm2=3.1, length_mm=12.34, width_mm=0.51),
        picture=f"pictures/{event_id}.jpg",
        clip=f"clips/{event_id}.mp4",
    )


def active(
    kind: ConditionKind = ConditionKind.NO_SIGNAL, camera: str = "cam", detail: str = "no frames", source: str = ""
) -> ActiveCondition:
    since_utc_ns = time.time_ns() - 60 * 10**9
    source = source or (f"capture.{camera}" if camera else "supervisor")
    return ActiveCondition(kind=kind, camera=camera, source=source, detail=detail, since_utc_ns=since_utc_ns)


def condition(name: str = "no_signal", state: EventState = EventState.CONFIRMED, camera: str = "cam") -> Event:
    event_id = f"{camera}-1-{name}-1"
    return Event(
        id=event_id,
        key=f"{event_id}:{state}",
        kind="condition",
        state=state,
        line="press-7",
        camera=camera,
        name=name,
        severity="critical",
        first_seen_utc_ns=time.time_ns(),
        last_seen_utc_ns=time.time_ns(),
        reason="no frame for 1.5 s",
    )


def eventually(check: Callable[[], object], what: str, within_s: float = 5.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)
