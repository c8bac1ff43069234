"""A small belt in a real frame ring: frames, judged frames and events as the stages before would send them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from stream_inspect.config.models import Config
from stream_inspect.messages import (
    Clock,
    Detection,
    Event,
    EventState,
    Extent,
    FrameHeader,
    FrameId,
    FrameRef,
    Tracked,
    TrackUpdate,
)
from stream_inspect.picture import Picture, UInt8Array
from stream_inspect.transport.ring import RingWriter

SPEED_PX_S = 200.0
DEFECT_PX = 40


def config(state_dir: Path, **sections: object) -> Config:
    """A configuration with one camera, `cam`, and one defect, `crack`."""
    return Config.model_validate(
        {
            "version": 1,
            "state_dir": state_dir,
            "cameras": [{"name": "cam", "source": {"kind": "synthetic"}}],
            "defects": [{"name": "crack", "prompts": ["a crack"], "severity": "critical"}],
            **sections,
        }
    )


@dataclass
class Belt:
    """Writes frames of a moving belt with a frame counter in blocks, and says what `track` and `decide` would say."""

    ring_dir: Path
    camera: str = "cam"
    session: int = 1
    width_px: int = 640
    height_px: int = 360
    fps: float = 25.0
    slots: int = 100
    time_base: tuple[int, int] = (1, 90_000)
    ring_number: int = 0
    seq: int = 0
    headers: list[FrameHeader] = field(default_factory=list)
    _writer: RingWriter | None = None
    _texture: UInt8Array | None = None

    def __post_init__(self) -> None:
        path = self.ring_dir / f"{self.camera}.{self.ring_number}.ring"
        self._writer = RingWriter(path, self.slots, self.width_px, self.height_px)
        noise = np.random.default_rng(7).integers(60, 160, (self.height_px // 8, self.width_px // 4), dtype=np.uint8)
        wide = cv2.resize(noise, (self.width_px * 2, self.height_px), interpolation=cv2.INTER_CUBIC)
        self._texture = np.asarray(wide, dtype=np.uint8)

    def picture(self, seq: int) -> UInt8Array:
        """(H, W, 3) uint8 BGR: the belt at this frame, with the frame's number as 16 black or white blocks."""
        shift = int(seq * SPEED_PX_S / self.fps) % self.width_px
        gray = self._texture[:, self.width_px - shift : 2 * self.width_px - shift]
        bgr = cv2.cvtColor(np.ascontiguousarray(gray), cv2.COLOR_GRAY2BGR)
        block = self.width_px // 20
        for bit in range(16):
            value = 235 if seq >> bit & 1 else 20
            bgr[block : 2 * block, (bit + 1) * block : (bit + 2) * block] = value
        left = round(self.defect_x(seq))
        cv2.rectangle(bgr, (left, 160), (left + DEFECT_PX - 1, 160 + DEFECT_PX - 1), (40, 40, 200), cv2.FILLED)
        return np.asarray(bgr, dtype=np.uint8)

    def defect_x(self, seq: int) -> float:
        """Left edge of the one defect."""
        return 40 + (seq * SPEED_PX_S / self.fps) % (self.width_px - 100)

    def shoot(self, pts: int | None = None, now_mono_ns: int | None = None) -> FrameHeader:
        """Capture the next frame into the ring."""
        assert self._writer is not None
        num, den = self.time_base
        self._writer.begin()[:] = Picture.from_bgr(self.picture(self.seq)).i420
        header = FrameHeader(
            id=FrameId(
                camera=self.camera,
                session=self.session,
                seq=self.seq,
                pts=round(self.seq / self.fps * den / num) if pts is None else pts,
                time_base_num=num,
                time_base_den=den,
            ),
            width_px=self.width_px,
            height_px=self.height_px,
            color_matrix="bt601",
            full_range=False,
            capture_mono_ns=time.monotonic_ns() if now_mono_ns is None else now_mono_ns,
            capture_utc_ns=time.time_ns(),
            clock=Clock.ARRIVAL,
            ledger_index=self.seq,
            slot=self._writer.commit(),
        )
        self.headers.append(header)
        self.seq += 1
        return header

    def tracked(self, header: FrameHeader, first_pts_s: float, track: int = 1, ended: bool = False) -> Tracked:
        """The judged frame with its one track."""
        left = self.defect_x(header.id.seq)
        box = (left, 160.0, left + DEFECT_PX, 160.0 + DEFECT_PX)
        update = TrackUpdate(
            track=track,
            defect="crack",
            seen=not ended,
            left=ended,
            score=0.71,
            box_xyxy_px=box,
            velocity_px_s=(SPEED_PX_S, 0.0),
            first_pts_s=first_pts_s,
            last_pts_s=header.id.pts_s,
            detection=Detection(defect="crack", score=0.71, box_xyxy_px=box, severity="critical"),
        )
        return Tracked(frame=header, tracks=[] if ended else [update], ended=[update] if ended else [])

    def event(self, header: FrameHeader, n: int = 1, track: int = 1, state: EventState = EventState.CONFIRMED) -> Event:
        """The event confirmed in this frame."""
        identity = header.id
        event_id = f"{self.camera}-{identity.session}-crack-{n}"
        left = self.defect_x(identity.seq)
        return Event(
            id=event_id,
            key=f"{event_id}:{state}",
            kind="defect",
            state=state,
            line="line1",
            camera=self.camera,
            name="crack",
            severity="critical",
            first_seen_utc_ns=header.capture_utc_ns,
            last_seen_utc_ns=header.capture_utc_ns,
            score=0.71,
            score_seq=identity.seq,
            box_xyxy_px=(left, 160.0, left + DEFECT_PX, 160.0 + DEFECT_PX),
            extent=Extent(area_px=1600, length_px=40, width_px=40, area_mm2=100.0, length_mm=10.0, width_mm=10.0),
            track=track,
            views=2,
            frame=FrameRef(
                session=identity.session,
                seq=identity.seq,
                pts=identity.pts,
                pts_s=identity.pts_s,
                width_px=header.width_px,
                height_px=header.height_px,
                capture_mono_ns=header.capture_mono_ns,
                capture_utc_ns=header.capture_utc_ns,
                clock=header.clock,
            ),
            picture=f"pictures/{event_id}.jpg",
            clip=f"clips/{event_id}.mp4",
            model_hash="m",
            prompts_hash="p",
        )

    def close(self) -> None:
        assert self._writer is not None
        self._writer.close()


def number_in(bgr: UInt8Array) -> int:
    """The frame number that `Belt.picture` has drawn, read back from a picture of any size."""
    block = bgr.shape[1] / 20
    y = round(1.5 * block)
    return sum(1 << bit for bit in range(16) if bgr[y, round((bit + 1.5) * block)].mean() > 128)
