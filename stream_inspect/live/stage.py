"""The live stage: annotated JPEGs of each camera, fresh, or a panel that says that there are none."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from stream_inspect import metrics
from stream_inspect.config.models import Config
from stream_inspect.draw.annotate import draw
from stream_inspect.draw.caption import caption, put_text, utc_text
from stream_inspect.draw.judged import JudgedFrames
from stream_inspect.draw.parts import draw_parts
from stream_inspect.draw.scale import scaled, size_at_height
from stream_inspect.draw.strokes import Colour
from stream_inspect.messages import (
    ActiveCondition,
    AnyMessage,
    ConditionKind,
    FrameHeader,
    FrameOrder,
    LineStatus,
    LivePicture,
    Output,
    PartsShown,
    Tracked,
)
from stream_inspect.picture import UInt8Array
from stream_inspect.transport.ring import RingError, RingReader

JPEG_QUALITY = 80
_HIDE_UNSEEN_AFTER_S = 1.2
"""The live picture runs ahead of judging, so the newest judged frame may be this old: its boxes are moved on."""
_KEEP_TRACKS_S = 4 * _HIDE_UNSEEN_AFTER_S
"""Judged frames older than what is drawn are not needed; these leave room for frames that come late."""
_PANEL_EVERY_S = 1.0
_PANEL_SIZE_PX = (960, 540)
_BLACK_BGR = (24, 20, 18)
_WARNING_BGR, _CALM_BGR = (60, 60, 240), (90, 78, 66)
_WORDS = {
    ConditionKind.NO_SIGNAL: "NO SIGNAL",
    ConditionKind.BLACK: "PICTURE IS BLACK",
    ConditionKind.FROZEN: "PICTURE IS FROZEN",
}
_INTERVALS, _SILENT_INTERVALS = 5, 3
"""A camera that is slower than `no_signal_after_s` is silent after this many of its frame intervals. Here that is the
median of the last ones, so that a pause does not count; capture takes the rate that the camera states."""


class _View:
    """What the live picture of one camera is made of."""

    def __init__(self, name: str, no_signal_after_s: float, now_mono_ns: int, *, stills: bool = False) -> None:
        self.name = name
        self._stills = stills
        self.judged = JudgedFrames(_KEEP_TRACKS_S, _HIDE_UNSEEN_AFTER_S)
        self.parts: PartsShown | None = None
        """Those of the newest frame whose parts are known."""
        self.newest: FrameHeader | None = None
        self.shown: FrameOrder | None = None
        self.next_mono_ns = now_mono_ns
        self.next_panel_mono_ns = 0
        self.arrived_mono_ns = now_mono_ns
        self.condition: ActiveCondition | None = None
        """What is wrong with the picture now."""
        self.has_ended = False
        """Its recording has been read to its end."""
        self._no_signal_after_s = no_signal_after_s
        self._intervals_s: deque[float] = deque(maxlen=_INTERVALS)

    def see(self, header: FrameHeader) -> None:
        """A frame to show arrived."""
        if self.newest is not None and self.newest.id.session == header.id.session:
            self._intervals_s.append((header.capture_mono_ns - self.newest.capture_mono_ns) / 1e9)
        self.newest, self.arrived_mono_ns = header, time.monotonic_ns()

    def captured(self, header: FrameHeader) -> None:
        """A frame was captured. A picture that stands alone is shown once it is judged: no other has its marks."""
        if not self._stills:
            self.see(header)

    def tracked(self, tracked: Tracked) -> None:
        """A frame was judged."""
        self.judged.add(tracked)
        if self._stills:
            self.see(tracked.frame)

    @property
    def silent_after_s(self) -> float:
        """Without a frame for this long, the camera is silent."""
        interval_s = statistics.median(self._intervals_s) if self._intervals_s else 0.0
        return max(self._no_signal_after_s, _SILENT_INTERVALS * interval_s)


class LiveStage:
    """Reads `frames`, `tracked`, `parts_shown` and `status`; sends `live`."""

    wake_fd: int | None = None

    def __init__(self, config: Config, *, ring_dir: Path) -> None:
        self._height_px = config.web.live_height_px
        self._period_ns = int(1e9 / config.web.live_rate_hz)
        self._ring = RingReader(ring_dir)
        now_ns = time.monotonic_ns()
        self._views = {
            camera.name: _View(camera.name, camera.conditions.no_signal_after_s, now_ns, stills=camera.stills)
            for camera in config.cameras
        }

    def open(self) -> None:
        """Nothing to get ready: rings are mapped when their first frame comes."""

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        """Remember the newest frame, the tracks, the parts and the conditions of each camera."""
        for message in batch:
            if isinstance(message, FrameHeader):
                if view := self._views.get(message.id.camera):
                    view.captured(message)
            elif isinstance(message, Tracked):
                if view := self._views.get(message.frame.id.camera):
                    view.tracked(message)
            elif isinstance(message, PartsShown):
                if view := self._views.get(message.frame.id.camera):
                    view.parts = message
            elif isinstance(message, LineStatus):
                self._take_conditions(message)
        return ()

    def tick(self, now_mono_ns: int) -> Iterator[Output]:
        """A picture of each camera whose turn it is and that has a new frame; a panel of each that has none."""
        for view in self._views.values():
            if now_mono_ns < view.next_mono_ns:
                continue
            picture = self._picture(view, now_mono_ns)
            if picture is not None:
                # From the due time, not from now: the rate is kept although ticks come when they come.
                view.next_mono_ns = max(view.next_mono_ns + self._period_ns, now_mono_ns - self._period_ns)
                metrics.LIVE_PICTURES.labels(view.name).inc()
                yield Output("live", picture)

    def undelivered(self, output: Output) -> None:
        """`live` is a broadcast: it is never refused."""

    def close(self) -> None:
        self._ring.close()

    def _take_conditions(self, status: LineStatus) -> None:
        """A level, repeated: after a restart of any process the banner stands again, and goes when the status says."""
        for view in self._views.values():
            view.condition = next(
                (one for one in status.conditions if one.camera == view.name and one.kind in _WORDS), None
            )
            view.has_ended = view.name in status.ended

    def _picture(self, view: _View, now_mono_ns: int) -> LivePicture | None:
        header = view.newest
        silent_s = (now_mono_ns - view.arrived_mono_ns) / 1e9
        if header is None or silent_s > view.silent_after_s:
            return self._panel(view, now_mono_ns, silent_s)
        if header.id.order == view.shown:
            return None
        try:
            with self._ring.view(header) as picture:
                width_px, height_px = size_at_height(header.width_px, header.height_px, self._height_px)
                bgr = np.ascontiguousarray(scaled(picture, width_px, height_px).to_bgr())
        except RingError:
            return None  # overwritten while we looked: the next header names a fresher one
        view.shown = header.id.order
        scale = height_px / header.height_px
        taken = []
        if view.parts is not None:
            taken = draw_parts(bgr, view.parts, header.id, scale, hide_after_s=_HIDE_UNSEEN_AFTER_S)
        draw(bgr, view.judged.marks(header.id), scale, taken=taken)
        if view.condition is not None:
            bgr = _dimmed(bgr)
            _announce(bgr, _WORDS[view.condition.kind], view.condition.since_utc_ns)
        caption(bgr, f"{view.name}   {utc_text(header.capture_utc_ns)}")
        return LivePicture(
            camera=view.name,
            frame_seq=header.id.seq,
            capture_mono_ns=header.capture_mono_ns,
            capture_utc_ns=header.capture_utc_ns,
            fresh_for_s=view.silent_after_s,
            jpeg=_jpeg(bgr),
        )

    def _panel(self, view: _View, now_mono_ns: int, silent_s: float) -> LivePicture | None:
        """Instead of an old picture, which would be taken for the present."""
        if silent_s <= view.silent_after_s or now_mono_ns < view.next_panel_mono_ns:
            return None
        view.next_panel_mono_ns = now_mono_ns + int(_PANEL_EVERY_S * 1e9)
        width_px, height_px = _PANEL_SIZE_PX
        header = view.newest
        if header is not None:
            width_px, height_px = size_at_height(header.width_px, header.height_px, self._height_px)
        bgr = np.full((height_px, width_px, 3), _BLACK_BGR, np.uint8)
        now_utc_ns = time.time_ns()
        if view.has_ended:
            _announce(bgr, "END OF THE RECORDING", header.capture_utc_ns if header else None, _CALM_BGR)
        else:
            _announce(bgr, "NO PICTURE", header.capture_utc_ns if header else None)
        caption(bgr, f"{view.name}   {utc_text(now_utc_ns)}")
        return LivePicture(
            camera=view.name,
            frame_seq=header.id.seq if header else 0,
            capture_mono_ns=now_mono_ns,
            capture_utc_ns=now_utc_ns,
            fresh_for_s=_PANEL_EVERY_S,
            jpeg=_jpeg(bgr),
        )


def _dimmed(bgr: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.convertScaleAbs(bgr, alpha=0.45), dtype=np.uint8)


def _announce(bgr: UInt8Array, words: str, since_utc_ns: int | None, bar_bgr: Colour = _WARNING_BGR) -> None:
    """Large words in the middle, on a bar, red where they are an alarm."""
    height, width = bgr.shape[:2]
    top, bottom = round(height * 0.38), round(height * 0.62)
    cv2.rectangle(bgr, (0, top), (width, bottom), bar_bgr, cv2.FILLED)
    left = round(width * 0.05)
    put_text(bgr, words, left, round(height * 0.50), height / 12)
    since = f"since {utc_text(since_utc_ns)}" if since_utc_ns is not None else "since startup"
    put_text(bgr, since, left, round(height * 0.58), height / 26)


def _jpeg(bgr: UInt8Array) -> bytes:
    encoded, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        raise ValueError(f"cannot encode a picture of shape {bgr.shape} as JPEG")
    return jpeg.tobytes()
