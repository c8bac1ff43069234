"""GigE Vision cameras through Aravis, by GObject introspection.

An installation needs Aravis with its typelib, and PyGObject in the service's environment:
`apt install gir1.2-aravis-0.8 libgirepository1.0-dev libcairo2-dev pkg-config gcc python3-dev` and the extra `gige`
(`make demo EXTRAS=dev,gige`). None of it is imported before a GigE camera is opened.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from stream_inspect.capture.camera import CameraError, CameraInfo, CapturedFrame, FrameSink
from stream_inspect.capture.device_clock import DeviceClock
from stream_inspect.capture.planes import copy_bgr_to_slot, copy_gray_to_slot, copy_yuyv_to_slot
from stream_inspect.config.models import CameraConfig, GigeSource
from stream_inspect.messages import Clock
from stream_inspect.picture import Picture, UInt8Array

_TIME_BASE = Fraction(1, 1_000_000_000)
_SILENT_LIMIT_S = 1.5
_MOST_MISSING = 1000
"""A larger gap in the frame numbers means that the camera restarted its count."""
_LAST_SHORT_ID = 0xFFFF
"""GigE Vision 1.x counts blocks from 1 to 65535 and begins at 1 again."""

CopyToSlot = Callable[[UInt8Array, FrameSink], Picture]


def _from(code: int) -> CopyToSlot:
    """A copy to the slot with a conversion by OpenCV."""

    def copy_to_slot(raw: UInt8Array, sink: FrameSink) -> Picture:
        return copy_bgr_to_slot(np.asarray(cv2.cvtColor(raw, code), np.uint8), sink)

    return copy_to_slot


# Pixel format: GenICam name, bytes a pixel, how it gets into the slot.
_FORMATS: dict[str, tuple[str, int, CopyToSlot]] = {
    "mono8": ("Mono8", 1, copy_gray_to_slot),
    "rgb8": ("RGB8", 3, _from(cv2.COLOR_RGB2BGR)),
    "bgr8": ("BGR8", 3, copy_bgr_to_slot),
    "bayer_rg8": ("BayerRG8", 1, _from(cv2.COLOR_BayerRGGB2BGR)),
    "bayer_gb8": ("BayerGB8", 1, _from(cv2.COLOR_BayerGBRG2BGR)),
    "bayer_gr8": ("BayerGR8", 1, _from(cv2.COLOR_BayerGRBG2BGR)),
    "bayer_bg8": ("BayerBG8", 1, _from(cv2.COLOR_BayerBGGR2BGR)),
    "yuv422_8": ("YUV422_8", 2, copy_yuyv_to_slot),
}


class GigeCamera:
    """One GigE Vision camera. Its timestamps are the pts of the frames and smooth their host time."""

    def __init__(self, config: CameraConfig) -> None:
        assert isinstance(config.source, GigeSource)
        self._source = config.source
        self._genicam_name, self._bytes_per_px, self._copy_to_slot = _FORMATS[config.source.pixel_format]
        self._aravis: Any = None
        self._glib_error: Any = RuntimeError
        self._camera: Any = None
        self._stream: Any = None
        self._clock = DeviceClock()
        self._last_id: int | None = None
        self._last_pts = -1
        self._missing = 0
        self._held: Any = None
        self._lost = False
        self._route = ""

    def open(self) -> CameraInfo:
        aravis, self._glib_error = _import_aravis()
        self._lost = False
        self._aravis = aravis
        name = self._source.device or "any GigE camera"
        self._route = ""
        try:
            self._camera = aravis.Camera.new(_address_of(aravis, self._source.device))
            self._route = _route(self._camera)
            fps = self._configure()
            self._stream = self._camera.create_stream(None, None)
            payload_bytes = self._camera.get_payload()
            for _ in range(self._source.buffers):
                self._stream.push_buffer(aravis.Buffer.new_allocate(payload_bytes))
            _, _, width_px, height_px = self._camera.get_region()
            self._camera.start_acquisition()
        except self._glib_error as error:
            self.close()
            raise CameraError(f"{name}{self._route}: {error.message}") from None
        self._clock = DeviceClock()
        self._last_id, self._last_pts, self._missing = None, -1, 0
        return CameraInfo(
            width_px=width_px,
            height_px=height_px,
            fps=fps,
            codec=self._source.pixel_format,
            time_base=_TIME_BASE,
            clock=Clock.DEVICE,
        )

    def read(self, sink: FrameSink) -> CapturedFrame | None:
        """As in the contract; each frame number that the camera skipped counts as one bad frame."""
        if self._stream is None:
            raise CameraError("the camera is not open")
        if self._missing:
            self._missing -= 1
            return None
        buffer = self._held or self._pop()
        if self._held is None:
            self._missing = self._missing_before(buffer.get_frame_id())
            if self._missing:
                self._held = buffer
                return self.read(sink)
        self._held = None
        try:
            return self._take(buffer, time.monotonic_ns(), sink)
        finally:
            self._stream.push_buffer(buffer)

    def close(self) -> None:
        """Release the camera; one that no longer answers is released in the background.

        Aravis repeats each command to a dead camera for seconds, eleven in all; a new connection need not wait for it.
        """
        if self._camera is None:
            return
        held = [self._held, self._stream, self._camera]
        self._held = self._stream = self._camera = None
        if self._lost:
            threading.Thread(target=held.clear, name="gige-release", daemon=True).start()
            return
        with contextlib.suppress(self._glib_error):
            held[-1].stop_acquisition()

    def _configure(self) -> float | None:
        """Apply the configured settings; returns the frame rate. Raises GLib.Error."""
        source, camera = self._source, self._camera
        camera.set_pixel_format_from_string(self._genicam_name)
        if source.width_px or source.height_px:
            _, _, width_px, height_px = camera.get_region()
            camera.set_region(-1, -1, source.width_px or width_px, source.height_px or height_px)
        if source.fps:
            camera.set_frame_rate(source.fps)
        if source.exposure_us:
            camera.set_exposure_time(source.exposure_us)
        if source.gain_db is not None:
            camera.set_gain(source.gain_db)
        if source.packet_size_bytes and camera.is_gv_device():
            camera.gv_set_packet_size(source.packet_size_bytes)
        return float(camera.get_frame_rate()) or None

    def _pop(self) -> Any:
        buffer = self._stream.timeout_pop_buffer(round(_SILENT_LIMIT_S * 1e6))
        if buffer is None:
            self._lost = True
            name = self._source.device or "the camera"
            raise CameraError(f"{name}{self._route}: no data for {_SILENT_LIMIT_S:g} s")
        return buffer

    def _missing_before(self, frame_id: int) -> int:
        """How many frame numbers were skipped before this one."""
        last, self._last_id = self._last_id, frame_id
        if last is None or not frame_id:
            return 0
        missing = frame_id - last - 1
        if missing < 0 and last <= _LAST_SHORT_ID:
            missing += _LAST_SHORT_ID
        return missing if 0 < missing <= _MOST_MISSING else 0

    def _take(self, buffer: Any, arrival_mono_ns: int, sink: FrameSink) -> CapturedFrame | None:
        if buffer.get_status() != self._aravis.BufferStatus.SUCCESS:
            return None
        raw = self._pixels(buffer)
        if raw is None:
            return None
        device_ns = buffer.get_timestamp() or arrival_mono_ns
        if device_ns <= self._last_pts:
            raise CameraError("the camera's clock restarted")  # a new session gives its frames new identities
        self._last_pts = device_ns
        mono_ns = self._clock.host_mono_ns(device_ns, arrival_mono_ns)
        return CapturedFrame(
            picture=self._copy_to_slot(raw, sink),
            pts=device_ns,
            time_base=_TIME_BASE,
            capture_mono_ns=mono_ns,
            capture_utc_ns=time.time_ns() - (time.monotonic_ns() - mono_ns),
            clock=Clock.DEVICE,
        )

    def _pixels(self, buffer: Any) -> UInt8Array | None:
        """(H, W) or (H, W, channels) uint8, or None where the buffer holds only part of a picture."""
        width, height = buffer.get_image_width(), buffer.get_image_height()
        padding = buffer.get_image_padding()[0]
        row_bytes = width * self._bytes_per_px
        data = np.frombuffer(buffer.get_data(), np.uint8)
        if data.size < height * (row_bytes + padding):
            return None
        rows = data[: height * (row_bytes + padding)].reshape(height, row_bytes + padding)[:, :row_bytes]
        return rows if self._bytes_per_px == 1 else rows.reshape(height, width, self._bytes_per_px)


def _address_of(aravis: Any, device: str | None) -> str:
    """The address by which to open a camera, of the list that Aravis makes now, in a second. Raises `CameraError`.

    By an address Aravis chooses the interface of the same subnet. By an id it takes whichever interface first brought
    an answer to its search, or did so once: on a host with two, the stream then goes to the wrong one, and never comes.
    `device` is an address, an id, a serial number or a MAC address; None is the first GigE camera that answers.
    """
    if device is not None and _is_address(device):
        return device
    aravis.update_device_list()
    for index in range(aravis.get_n_devices()):
        if aravis.get_device_protocol(index) != "GigEVision":
            continue
        names = (aravis.get_device_id(index), aravis.get_device_serial_nbr(index), aravis.get_device_physical_id(index))
        if device is None or device in names:
            return str(aravis.get_device_address(index))
    if device is not None:
        return device  # Aravis knows cameras by other names too: the one that the user gave it
    raise CameraError("no GigE camera answers on any network of this host: is it powered, and in the same subnet?")


def _is_address(device: str) -> bool:
    try:
        ipaddress.ip_address(device)
    except ValueError:
        return False
    return True


def _route(camera: Any) -> str:
    """Which camera was opened and which interface of this host it streams to, for error messages."""
    if not camera.is_gv_device():
        return ""
    device = camera.get_device()
    ends = [end.get_address().to_string() for end in (device.get_device_address(), device.get_interface_address())]
    return f" (camera {ends[0]} to this host's interface {ends[1]})"


def _import_aravis() -> tuple[Any, Any]:
    """The Aravis module and GLib's error class. Raises `CameraError` saying what to install."""
    try:
        import gi
    except ImportError as error:
        raise CameraError(
            f"GigE cameras need PyGObject in this Python environment ({error}): apt install libgirepository1.0-dev "
            "libcairo2-dev pkg-config gcc python3-dev, then `make demo EXTRAS=dev,gige` in a checkout, or "
            "pip install 'stream-inspect[gige]'"
        ) from None
    try:
        gi.require_version("Aravis", "0.8")
        from gi.repository import Aravis, GLib
    except (ImportError, ValueError) as error:
        raise CameraError(f"GigE cameras need Aravis ({error}): apt install gir1.2-aravis-0.8") from None
    return Aravis, GLib.Error
