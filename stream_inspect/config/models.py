"""The whole YAML file as typed models: units in names, ranges on numbers, unknown keys refused.

The descriptions are the configuration reference: `docs/configuration.md` and the JSON Schema are generated from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from stream_inspect.errors import StreamInspectError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Seconds = Annotated[float, Field(gt=0)]
Point = tuple[float, float]


class Model(BaseModel):
    """Base of all config models: unknown keys are refused, values never change behind the reader's back."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


# --- cameras -----------------------------------------------------------------------------------------------------


class RtspSource(Model):
    """An RTSP camera: H.264, H.265 or MJPEG over TCP or UDP, with Basic or Digest authentication."""

    kind: Literal["rtsp"]
    url: str = Field(pattern=r"^rtsps?://", description="rtsp://host:port/path, without user and password.")
    transport: Literal["tcp", "udp"] = Field("tcp", description="TCP loses no packets; UDP has less delay.")
    username: str | None = Field(None, description="User name, for Basic or Digest, whichever the camera asks for.")
    password: SecretStr | None = Field(None, description="Password: {env: NAME} or {file: PATH}.")
    open_timeout_s: float = Field(2.0, ge=0.5, le=30, description="Give up an attempt to connect after this long.")
    read_timeout_s: float = Field(1.5, ge=0.2, le=30, description="No packet for this long means the camera hangs.")


class UsbSource(Model):
    """A USB or other V4L2 camera."""

    kind: Literal["usb"]
    device: str = Field("/dev/video0", description="Device file; /dev/v4l/by-id/... survives a reboot.")
    width_px: int | None = Field(None, ge=16, le=16384)
    height_px: int | None = Field(None, ge=16, le=16384)
    fps: float | None = Field(None, gt=0, le=1000)
    input_format: str | None = Field(None, description="mjpeg, yuyv422, h264, ...; the driver's default if absent.")


class GigeSource(Model):
    """A GigE Vision camera through Aravis."""

    kind: Literal["gige"]
    device: str | None = Field(None, description="Aravis device id or IP address; the first camera found if absent.")
    pixel_format: Literal["mono8", "rgb8", "bgr8", "bayer_rg8", "bayer_gb8", "bayer_gr8", "bayer_bg8", "yuv422_8"] = (
        "mono8"
    )
    width_px: int | None = Field(None, ge=16, le=16384)
    height_px: int | None = Field(None, ge=16, le=16384)
    fps: float | None = Field(None, gt=0, le=1000)
    exposure_us: float | None = Field(None, gt=0)
    gain_db: float | None = Field(None, ge=0)
    packet_size_bytes: int | None = Field(
        None, ge=576, le=16000, description="Network packet size; jumbo frames: 8000."
    )
    buffers: int = Field(10, ge=3, le=100)


class FileSource(Model):
    """A video file."""

    kind: Literal["file"]
    path: Path
    pace: Literal["real_time", "fast"] = Field("real_time", description="As recorded, or as fast as frames are taken.")
    loop: bool = Field(False, description="Begin again at the end, as a new session.")


class ImagesSource(Model):
    """A folder of pictures, in order of name."""

    kind: Literal["images"]
    path: Path
    fps: float = Field(5.0, gt=0, le=1000)
    pace: Literal["real_time", "fast"] = "real_time"
    loop: bool = False


class SyntheticSource(Model):
    """The synthetic line: a belt with parts, defects and distractors, and exact truth."""

    kind: Literal["synthetic"]
    seed: int = Field(1, ge=0)
    width_px: int = Field(1280, ge=64, le=4096)
    height_px: int = Field(720, ge=64, le=4096)
    fps: float = Field(25.0, gt=0, le=240)
    pace: Literal["real_time", "fast"] = "real_time"
    duration_s: float | None = Field(None, gt=0, description="End after this long; never if absent.")


class PluginSource(Model):
    """A camera from another package (entry point group `stream_inspect.camera`)."""

    kind: Literal["plugin"]
    plugin: str
    options: dict[str, str | int | float | bool] = {}


Source = Annotated[
    RtspSource | UsbSource | GigeSource | FileSource | ImagesSource | SyntheticSource | PluginSource,
    Field(discriminator="kind"),
]


class Belt(Model):
    """A conveyor under the camera. With it, tracks live in belt coordinates and sizes are in mm."""

    direction: Literal["left_to_right", "right_to_left", "top_to_bottom", "bottom_to_top"]
    speed_mm_s: float = Field(gt=0, le=20000, description="Belt speed.")
    mm_per_px: float = Field(gt=0, le=100, description="Scale on the belt, in the original picture.")


class Sampling(Model):
    """Which frames are due for judging; the others are counted as not_due."""

    rate_hz: float = Field(8.0, gt=0, le=240, description="Judged frames a second, by the media clock.")


class Conditions(Model):
    """When a camera's picture counts as wrong. The event comes within half a second of these times."""

    no_signal_after_s: float = Field(1.5, ge=0.2, le=600)
    black_after_s: float = Field(1.0, ge=0.1, le=600)
    black_luma_max: int = Field(24, ge=0, le=255, description="99 % of the picture at or below this luma is black.")
    frozen_after_s: float = Field(1.5, ge=0.1, le=600, description="Only while the belt is known to move.")


class Camera(Model):
    """One camera."""

    name: Name
    source: Source
    line: Name | None = Field(None, description="Production line this camera watches; the file's `line` if absent.")
    region_px: list[Point] | None = Field(
        None,
        min_length=3,
        description="Polygon of interest, in px of the original picture; all of it if absent.",
    )
    mm_per_px: float | None = Field(None, gt=0, le=100, description="Scale, for a camera without a belt.")
    belt: Belt | None = None
    sampling: Sampling = Sampling()
    conditions: Conditions = Conditions()

    @property
    def scale_mm_per_px(self) -> float | None:
        """Millimetres a pixel where known: the belt's scale, else the camera's."""
        return self.belt.mm_per_px if self.belt else self.mm_per_px


# --- inspection --------------------------------------------------------------------------------------------------


class Defect(Model):
    """A defect, described in plain words. The PLC sees the name; engineers tune the prompts."""

    name: Name
    prompts: list[str] = Field(min_length=1, max_length=32, description="Wordings; the best match counts.")
    counter_prompts: list[str] = Field(
        [], max_length=32, description="What looks alike and is no defect: it wins where it scores higher."
    )
    threshold: float = Field(0.3, gt=0, lt=1, description="Lowest score that counts.")
    min_area_mm2: float | None = Field(None, ge=0, description="Smallest area; needs the camera's scale.")
    min_area_px: float | None = Field(None, ge=0, description="Smallest area, in px of the original picture.")
    severity: Literal["minor", "major", "critical"] = "major"


class Detector(Model):
    """The open-vocabulary detector."""

    kind: str = "owlv2"
    model: str = Field("tiny", description="`tiny` (embedded), a hub id, or a local folder.")
    revision: str | None = Field(None, description="Hub revision to pin.")
    precision: Literal["float32", "bfloat16", "float16"] = "float32"


class Segmenter(Model):
    """The segmenter, run on hits only."""

    kind: str = "sam"
    model: str = Field("tiny", description="`tiny` (embedded), a hub id, or a local folder.")
    revision: str | None = None
    precision: Literal["float32", "bfloat16", "float16"] = "float32"


class InspectWorker(Model):
    """One inspect process."""

    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto: cuda if there is one, else cpu."
    )
    threads: int = Field(1, ge=1, le=128, description="CPU threads of torch.")


class Inspect(Model):
    """The inspect stage."""

    detector: Detector = Detector()
    segmenter: Segmenter | None = Segmenter()
    workers: list[InspectWorker] = Field([InspectWorker()], min_length=1, max_length=64)
    batch_max_frames: int = Field(4, ge=1, le=256, description="Frames in one batch; halved when memory runs out.")
    fuse_overlap: float = Field(
        0.3, ge=0, le=1, description="Boxes of one defect that share more than this part are one."
    )
    max_detections: int = Field(50, ge=1, le=1000, description="Most detections kept a frame, best first.")


# --- track and decide --------------------------------------------------------------------------------------------


class Track(Model):
    """The tracker."""

    kind: str = Field("auto", description="auto: belt where the camera has one, else iou.")
    forget_after_s: float = Field(1.0, gt=0, le=60, description="A track unseen for this long has ended.")
    match_distance_px: float | None = Field(
        None, gt=0, description="Farthest match on the belt; from the box if absent."
    )


class Decide(Model):
    """From tracks to events: a defect is confirmed when it was seen in n of the last m judged frames that show it."""

    confirm_hits: int = Field(2, ge=1, le=100, description="n")
    confirm_window: int = Field(4, ge=1, le=100, description="m")

    @model_validator(mode="after")
    def _n_of_m(self) -> Decide:
        if self.confirm_hits > self.confirm_window:
            raise ValueError("confirm_hits (n) must not exceed confirm_window (m)")
        return self


# --- outputs -----------------------------------------------------------------------------------------------------


class MqttAlertConfig(Model):
    """Events to an MQTT broker, QoS 1, with retained status and last will."""

    kind: Literal["mqtt"]
    name: Name = "mqtt"
    host: str
    port: int = Field(1883, ge=1, le=65535)
    tls: bool = False
    ca_file: Path | None = None
    username: str | None = None
    password: SecretStr | None = None
    client_id: str | None = None
    topic: str = Field("stream_inspect/{line}/{camera}/events", description="{line} and {camera} are filled in.")
    status_topic: str = "stream_inspect/{line}/status"
    timeout_s: float = Field(5.0, gt=0, le=120)


class WebhookAlertConfig(Model):
    """Events to an HTTP(S) address, signed as Standard Webhooks lays down, retried until taken."""

    kind: Literal["webhook"]
    name: Name = "webhook"
    url: str = Field(pattern=r"^https?://")
    secret: SecretStr | None = Field(None, description="whsec_...: signs each message. {env: NAME} or {file: PATH}.")
    timeout_s: float = Field(5.0, gt=0, le=120)
    ca_file: Path | None = None


class FileAlertConfig(Model):
    """Events as JSON lines, fsynced one by one."""

    kind: Literal["file"]
    name: Name = "file"
    path: Path = Field(Path("events.jsonl"), description="Relative paths lie in `state_dir`.")


class PluginAlertConfig(Model):
    """An alert from another package (entry point group `stream_inspect.alert`)."""

    kind: Literal["plugin"]
    name: Name
    plugin: str
    options: dict[str, str | int | float | bool] = {}


AlertConfig = Annotated[
    MqttAlertConfig | WebhookAlertConfig | FileAlertConfig | PluginAlertConfig, Field(discriminator="kind")
]


class Recorder(Model):
    """Clips and pictures of events."""

    enabled: bool = True
    pre_roll_s: float = Field(1.5, ge=0, le=60)
    post_roll_s: float = Field(1.5, ge=0, le=60)
    max_clip_s: float = Field(30.0, gt=0, le=600)
    height_px: int = Field(720, ge=120, le=2160, description="Clips are scaled down to this height.")
    max_age_days: float = Field(30.0, gt=0)
    max_size_gb: float = Field(20.0, gt=0)
    min_free_gb: float = Field(1.0, ge=0, description="Stop recording (never judging) when the disk has less.")


class Web(Model):
    """The live page."""

    enabled: bool = True
    host: str = Field("127.0.0.1", description="Any other address than this host needs a token.")
    port: int = Field(8080, ge=0, le=65535, description="0: any free port.")
    token: SecretStr | None = Field(None, description="{env: NAME} or {file: PATH}; asked for on the page.")
    live_rate_hz: float = Field(10.0, gt=0, le=60)
    live_height_px: int = Field(540, ge=120, le=2160)


class Transport(Model):
    """The frame ring and the sockets."""

    ring_dir: Path = Field(Path("/dev/shm"), description="Where frames lie; a container's default 64 MB are too few.")
    ring_s: float = Field(4.0, gt=0.5, le=120, description="Seconds of frames kept a camera: pre-roll plus judging.")
    ring_max_mb: int = Field(1024, ge=16, le=65536, description="Most memory of one camera's ring.")


class Metrics(Model):
    """Prometheus metrics and /healthz, served by the supervisor."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(9108, ge=0, le=65535, description="0: any free port.")


class Log(Model):
    """Logs go to stderr: they mark transitions, not frames."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = Field("auto", description="auto: text on a terminal, else json.")


class Config(Model):
    """One production line or plant."""

    version: Literal[1]
    line: Name = "line1"
    state_dir: Path = Field(Path("state"), description="Events, outbox, clips; relative to the configuration file.")
    cameras: list[Camera] = Field(min_length=1, max_length=256)
    defects: list[Defect] = Field(min_length=1, max_length=256)
    inspect: Inspect = Inspect()
    track: Track = Track()
    decide: Decide = Decide()
    alerts: list[AlertConfig] = []
    recorder: Recorder = Recorder()
    web: Web = Web()
    transport: Transport = Transport()
    metrics: Metrics = Metrics()
    log: Log = Log()

    def only_camera(self, name: str) -> Config:
        """This configuration with one of its cameras. Raises `StreamInspectError` when there is none of this name."""
        chosen = [camera for camera in self.cameras if camera.name == name]
        if not chosen:
            known = ", ".join(camera.name for camera in self.cameras)
            raise StreamInspectError(f"no camera is called {name!r}; the configuration has: {known}")
        return self.model_copy(update={"cameras": chosen})

    def line_of(self, camera: str) -> str:
        """The production line that this camera watches."""
        return next((c.line for c in self.cameras if c.name == camera and c.line), self.line)
