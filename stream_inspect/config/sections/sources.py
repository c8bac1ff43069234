"""`cameras[].source`: where the frames of a camera come from, a model for each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from stream_inspect.config.address import plain_url
from stream_inspect.config.base import Model, OptionValue
from stream_inspect.config.login import Login

_RTSP_RULE = "a URL: rtsp://host:port/path"


def _rtsp_url(text: str) -> str:
    instead = (
        "write them under `username` and `password`, the password as {env: NAME} or {file: PATH}; "
        "there `@` is written as it is, and not as %40"
    )
    return plain_url(text, ("rtsp", "rtsps"), _RTSP_RULE, instead)


RtspUrl = Annotated[
    str,
    Field(json_schema_extra={"pattern": "^[Rr][Tt][Ss][Pp][Ss]?://", "x-rule": _RTSP_RULE}),
    AfterValidator(_rtsp_url),
]


class RtspSource(Login):
    """An RTSP camera: H.264, H.265 or MJPEG over TCP or UDP, with Basic or Digest authentication."""

    kind: Literal["rtsp"]
    url: RtspUrl = Field(description="rtsp://host:port/path, without user and password.")
    transport: Literal["tcp", "udp"] = Field("tcp", description="TCP loses no packets; UDP has less delay.")
    open_timeout_s: float = Field(2.0, ge=0.5, le=30, description="Maximum time for an attempt to connect.")
    read_timeout_s: float = Field(1.5, ge=0.2, le=30, description="Reconnect after this long without a packet.")


class UsbSource(Model):
    """A USB or other V4L2 camera."""

    kind: Literal["usb"]
    device: str = Field("/dev/video0", description="Device file; /dev/v4l/by-id/... stays the same after a restart.")
    width_px: int | None = Field(None, ge=16, le=16384, description="Picture width; the driver's default if absent.")
    height_px: int | None = Field(None, ge=16, le=16384, description="Picture height; the driver's default if absent.")
    fps: float | None = Field(None, gt=0, le=1000, description="Frame rate; the driver's default if absent.")
    input_format: str | None = Field(None, description="mjpeg, yuyv422, h264, ...; the driver's default if absent.")


class GigeSource(Model):
    """A GigE Vision camera through Aravis."""

    kind: Literal["gige"]
    device: str | None = Field(None, description="Aravis device id or IP address; the first camera found if absent.")
    pixel_format: Literal["mono8", "rgb8", "bgr8", "bayer_rg8", "bayer_gb8", "bayer_gr8", "bayer_bg8", "yuv422_8"] = (
        Field("mono8", description="Pixel format requested from the camera.")
    )
    width_px: int | None = Field(None, ge=16, le=16384, description="Picture width; the camera's own if absent.")
    height_px: int | None = Field(None, ge=16, le=16384, description="Picture height; the camera's own if absent.")
    fps: float | None = Field(None, gt=0, le=1000, description="Frame rate; the camera's own if absent.")
    exposure_us: float | None = Field(None, gt=0, le=10_000_000, description="Exposure; the camera's own if absent.")
    gain_db: float | None = Field(None, ge=0, le=60, description="Gain; the camera's own if absent.")
    packet_size_bytes: int | None = Field(
        None, ge=576, le=16000, description="Network packet size; 8000 where every switch supports jumbo frames."
    )
    buffers: int = Field(10, ge=3, le=100, description="Number of frame buffers in the driver.")


class FileSource(Model):
    """A video file."""

    kind: Literal["file"]
    path: Path = Field(description="The video, relative to the configuration file.")
    pace: Literal["real_time", "fast"] = Field("real_time", description="As recorded, or as fast as frames are read.")
    loop: bool = Field(False, description="Start again at the end, as a new session.")


class ImagesSource(Model):
    """A folder of pictures, each judged alone: none is left out or dropped, nothing is tracked, each find is an event.

    It is read once, to its end. `sampling`, `track`, `decide` and the belt's speed have no effect on it.
    """

    kind: Literal["images"]
    path: Path = Field(description="The folder, relative to the configuration file.")
    fps: float = Field(5.0, gt=0, le=1000, description="Pictures per second at most; defines the time of each.")
    pace: Literal["real_time", "fast"] = Field(
        "real_time", description="At that rate, or as fast as they are judged. A slow model is waited for either way."
    )
    loop: bool = Field(False, description="Start again at the end, as a new session.")


class SyntheticSource(Model):
    """The synthetic line: a belt with parts, defects and distractors, and exact truth."""

    kind: Literal["synthetic"]
    seed: int = Field(1, ge=0, lt=2**63, description="Seed of the belt, its parts and their defects.")
    width_px: int = Field(1280, ge=128, le=4096, multiple_of=4, description="Picture width.")
    height_px: int = Field(720, ge=128, le=4096, multiple_of=4, description="Picture height: 360 mm of the belt.")
    fps: float = Field(25.0, gt=0, le=240, description="Frame rate.")
    pace: Literal["real_time", "fast"] = Field("real_time", description="At that rate, or as fast as frames are read.")
    duration_s: float | None = Field(None, gt=0, description="End after this long; endless if absent.")


class PluginSource(Model):
    """A camera from another package (entry point group `stream_inspect.camera`)."""

    kind: Literal["plugin"]
    plugin: str = Field(min_length=1, description="Name of the entry point.")
    options: dict[str, OptionValue] = Field({}, description="Passed to the plug-in unchanged; secrets are allowed.")


Source = Annotated[
    RtspSource | UsbSource | GigeSource | FileSource | ImagesSource | SyntheticSource | PluginSource,
    Field(discriminator="kind"),
]
