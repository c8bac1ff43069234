"""Opens a camera and measures a few seconds of its frames: codec, size, rate, key frames, clock."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import (
    CameraError,
    CameraInfo,
    CapturedFrame,
    EndOfMediaError,
    FrameSink,
    NoPictureError,
)
from stream_inspect.capture.memory_sink import ScratchArray
from stream_inspect.commands.check.folder import check_folder
from stream_inspect.config.confirmation import one_miss_ends_the_track
from stream_inspect.config.fits import misfits
from stream_inspect.config.models import CameraConfig, Config, FileSource, RtspSource, Source
from stream_inspect.findings import Finding, fail, ok, warn
from stream_inspect.messages import Clock
from stream_inspect.registry import UnknownPluginError

MEASURE_S = 2.0
"""Long enough to measure a frame rate."""
KEY_FRAME_WAIT_S = 4.0
"""How long to wait for a second key frame."""
CLOCK_WAIT_S = 6.5
"""How long to wait for an RTSP camera's first sender report: RFC 3550 has one every 5 s, give or take a quarter. Which
clock a camera has must not depend on the moment of the check."""
_MOST_FRAMES = 300
_LONGEST_GOP_S = 1.1
"""A second, plus a frame or two."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a camera delivers, as measured."""

    width_px: int
    height_px: int
    fps: float


@dataclass(slots=True)
class _Frames:
    """Statistics of a few seconds of frames. Times are media times."""

    count: int = 0
    bad: int = 0
    shortfall: str = ""
    first_s: float = 0.0
    last_s: float = 0.0
    keys_s: list[float] = field(default_factory=list)
    clock: str = ""

    def note(self, frame: CapturedFrame) -> None:
        at_s = float(frame.pts * frame.time_base)
        self.first_s = at_s if self.count == 0 else self.first_s
        self.last_s = at_s
        self.count += 1
        self.clock = frame.clock
        if frame.is_key:
            self.keys_s.append(at_s)

    @property
    def fps(self) -> float | None:
        passed_s = self.last_s - self.first_s
        return (self.count - 1) / passed_s if self.count > 2 and passed_s > 0 else None

    @property
    def gop_s(self) -> float | None:
        """Longest time between two key frames; 0 where every frame is one; None where only one was seen."""
        if len(self.keys_s) == self.count:
            return 0.0
        return max((b - a for a, b in zip(self.keys_s, self.keys_s[1:], strict=False)), default=None)


def check_camera(config: CameraConfig, busy: bool) -> tuple[list[Finding], Seen | None]:
    """Open the camera, measure, close it. `busy`: a service with this configuration runs and may hold the camera."""
    item = f"camera {config.name}"
    if config.stills:
        findings, size_px = check_folder(config)
        return findings, Seen(*size_px, config.stated_fps or 0.0) if size_px else None
    try:
        camera = make_camera(config)
    except (UnknownPluginError, ImportError) as error:
        return [fail(item, f"cannot load its plug-in: {error}")], None
    try:
        info = camera.open()
        frames = _look(camera.read, may_send_time=isinstance(config.source, RtspSource))
    except NoPictureError as error:  # it was reached; the text says what came and what to change
        return [fail(item, str(error))], None
    except CameraError as error:
        advice = "a service with this state_dir is running and may hold the camera: stop it during the check"
        return [fail(item, str(error), advice if busy else _advice(config))], None
    finally:
        camera.close()
    if not frames.count:
        return [
            fail(item, f"opened, but delivered no intact frame within {MEASURE_S:g} s ({frames.bad} corrupt)")
        ], None
    fps = frames.fps or info.fps or 0.0
    seen = Seen(info.width_px, info.height_px, info.fps or fps)
    return [ok(item, _described(config, info, frames)), *_complaints(item, config, info, frames, fps)], seen


def _look(read: Callable[[FrameSink], CapturedFrame | None], may_send_time: bool) -> _Frames:
    frames, sink = _Frames(), ScratchArray()
    started_s = time.monotonic()
    try:
        while True:
            enough_s = MEASURE_S if frames.gop_s is not None else KEY_FRAME_WAIT_S
            most = _MOST_FRAMES
            if may_send_time and frames.clock != Clock.RTCP:
                enough_s, most = CLOCK_WAIT_S, sys.maxsize
            if time.monotonic() - started_s > enough_s or frames.count >= most:
                break
            frame = read(sink)
            if frame is None:
                frames.bad += 1
            else:
                frames.note(frame)
    except EndOfMediaError as end:  # a short file
        frames.shortfall = end.shortfall
    return frames


def _described(config: CameraConfig, info: CameraInfo, frames: _Frames) -> str:
    rate = f"{info.fps:g} fps" if info.fps else "frame rate not reported"
    measured = f" (measured {frames.fps:.1f})" if frames.fps else ""
    if frames.gop_s is None:
        keys = f"no second key frame in {frames.last_s - frames.first_s:.1f} s"
    else:
        keys = "every frame a key frame" if frames.gop_s == 0 else f"a key frame every {frames.gop_s:.1f} s"
    length = f", {info.frame_count} frames" if info.frame_count else ""
    size = f"{info.codec} {info.width_px}x{info.height_px}"
    seen_as = f" (turned by {config.rotate_deg} degrees)" if config.rotate_deg else ""
    if scale := config.scale_mm_per_px:  # a scale measured on another stream of the camera is seen here
        seen_as += f" of {info.width_px * scale:.0f}x{info.height_px * scale:.0f} mm"
    return f"{size}{seen_as}, {rate}{measured}, {keys}, clock: {_clock(config, frames)}{length}"


def _clock(config: CameraConfig, frames: _Frames) -> str:
    if isinstance(config.source, RtspSource) and frames.clock != Clock.RTCP:
        return f"{frames.clock} (the camera sent no time of its own that can be trusted within {CLOCK_WAIT_S:g} s)"
    return frames.clock


def _complaints(item: str, config: CameraConfig, info: CameraInfo, frames: _Frames, fps: float) -> list[Finding]:
    found = [ok(item, note) for note in info.notes.honoured]
    found += [warn(item, note) for note in info.notes.ignored]
    if isinstance(config.source, RtspSource) and (frames.gop_s is None or frames.gop_s > _LONGEST_GOP_S):
        found.append(
            warn(
                item,
                "long key-frame interval: after a reconnect there is no picture until the next key frame",
                "set the camera's key-frame (I-frame, GOP) interval to 1 s",
            )
        )
    if shortfall := frames.shortfall or info.shortfall:
        found.append(warn(item, f"the recording is not whole: {shortfall}", _COPY_AGAIN))
    advice = _DAMAGE_ADVICE.get(config.source.kind, _NETWORK)
    bad = frames.bad + info.bad_frames * isinstance(config.source, FileSource)
    if bad:
        found.append(warn(item, f"{bad} of {bad + frames.count} frames were corrupt", advice))
    if info.fps and fps < 0.8 * info.fps:
        found.append(
            warn(
                item,
                f"reports {info.fps:g} fps but delivers {fps:.1f}",
                "" if isinstance(config.source, FileSource) else _SLOW_ADVICE,
            )
        )
    if fps and config.sampling.rate_hz > 1.05 * fps:
        found.append(
            warn(
                item,
                f"sampling.rate_hz is {config.sampling.rate_hz:g}, but the camera delivers only {fps:.1f} fps: "
                "every frame is judged",
            )
        )
    return found


def check_fit(config: Config, seen: Sequence[Seen | None]) -> list[Finding]:
    """Whether regions, belts and the rule of `decide` fit what each camera delivers."""
    found = []
    for camera, size in zip(config.cameras, seen, strict=True):
        item = f"camera {camera.name}"
        if size is not None:
            line = config.parts_of(config.line_of(camera.name))
            unfit = misfits(camera, config.decide, (size.width_px, size.height_px), size.fps, line)
            found += [(fail if misfit.fatal else warn)(item, misfit.text, misfit.advice) for misfit in unfit]
        if camera.stills:
            continue  # a find is confirmed by its picture alone
        if one_miss_ends_the_track(camera, config.track, config.decide):
            interval_s, hits = 1 / camera.sampling.rate_hz, config.decide.confirm_hits
            found.append(
                warn(
                    item,
                    f"judged frames are {interval_s:g} s apart, and track.forget_after_s is "
                    f"{config.track.forget_after_s:g} s: a defect is confirmed only by {hits} frames in a row",
                    f"set track.forget_after_s above {interval_s:g}",
                )
            )
    return found


_NETWORK = "check the network: cable, switch, packet size, transport: tcp"
_COPY_AGAIN = "copy it again from where it was recorded"
_DAMAGE_ADVICE = {"file": _COPY_AGAIN, "usb": "check its cable, and try a USB port of its own"}
_SLOW_ADVICE = "check its exposure time (too little light?) and its network link"


def _advice(config: CameraConfig) -> str:
    match config.source.kind:
        case "rtsp":
            return _rtsp_advice(config.source)
        case "usb":
            return "`v4l2-ctl --list-devices` lists the cameras; the service's user must be in the group `video`"
        case "gige":
            return "`arv-tool-0.8` lists the cameras; host and camera must be in the same network"
    return ""


def _rtsp_advice(source: Source) -> str:
    """FFmpeg's error for an unreachable camera may be anything; whether its port is open says more."""
    assert isinstance(source, RtspSource)
    parts = urlsplit(source.url)
    host, port = parts.hostname or "", parts.port or (322 if parts.scheme == "rtsps" else 554)
    try:
        socket.create_connection((host, port), timeout=source.open_timeout_s).close()
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror
        return f"cannot connect to {host}:{port} ({reason}): check the address, the cable and the network"
    return (
        f"port {host}:{port} is open: check user name, password and path "
        "(`ffplay -rtsp_transport tcp URL` shows the same)"
    )
